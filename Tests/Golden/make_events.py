"""Two event files of one training that was interrupted, as TensorBoard's own writer and messages make them.

The second begins at step 5: what the first has from there on is out of date.  `read_events.py` reads them back.
"""

import argparse
import os

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

beside = os.path.dirname(os.path.abspath(__file__))


def picture(name):
    """The bytes of a picture that `make_arrays.py` wrote."""
    with open(os.path.join(beside, "arrays", name), "rb") as file:
        return file.read()


def scalars(wall_time, step, **values):
    value = [summary_pb2.Summary.Value(tag=tag, simple_value=number) for tag, number in values.items()]
    return event_pb2.Event(wall_time=wall_time, step=step, summary=summary_pb2.Summary(value=value))


def image(wall_time, step, tag, name, height, width, colorspace):
    content = summary_pb2.Summary.Image(
        height=height, width=width, colorspace=colorspace, encoded_image_string=picture(name))
    value = summary_pb2.Summary.Value(tag=tag, image=content)
    return event_pb2.Event(wall_time=wall_time, step=step, summary=summary_pb2.Summary(value=[value]))


def write(path, wall_time, first_step, events):
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        for event in [
            event_pb2.Event(wall_time=wall_time, file_version="brain.Event:2"),
            event_pb2.Event(wall_time=wall_time, step=first_step, session_log=start), *events,
        ]:
            writer.write(event.SerializeToString(deterministic=True))
        writer.flush()
    print(f"{os.path.basename(path)}: {len(events)} events, {os.path.getsize(path)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=os.path.join(beside, "events"), help="the folder (default: %(default)s)")
    folder = parser.parse_args().out
    os.makedirs(folder, exist_ok=True)
    first = [scalars(1700000001.0 + step, step, loss=1 / (1 + step), rate=0.0) for step in range(8)]
    first += [image(1700000020.25, 4, "samples/grey", "grey.png", 5, 7, 1)]
    write(f"{folder}/events.out.tfevents.1700000000.host.1", 1700000000.5, 0, first)
    second = [scalars(1700000100.0 + step, step, loss=-float(step), rate=float("nan")) for step in range(5, 7)]
    # Where numbers become a byte longer.
    second += [scalars(1700000150.0, step, loss=0.5) for step in (127, 128, 16383, 16384)]
    second += [scalars(1700000200.0, 2**40, loss=float("inf"))]
    second += [image(1700000200.0, 6, "samples/colour", "colour-alpha.png", 5, 7, 4)]
    write(f"{folder}/events.out.tfevents.1700000100.host.2", 1700000099.0, 5, second)


if __name__ == "__main__":
    main()
