"""Reads a folder of event files with TensorBoard's own reader and checks what `make_events.py` put there.

    read_events.py [FOLDER]      the committed one where none is given
"""

import io
import math
import os
import sys

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

beside = os.path.dirname(os.path.abspath(__file__))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(beside, "events")
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0}).Reload()
    assert events.file_version == 2.0, events.file_version
    assert sorted(events.Tags()["scalars"]) == ["loss", "rate"], events.Tags()
    assert sorted(events.Tags()["images"]) == ["samples/colour", "samples/grey"], events.Tags()

    # Steps 5 to 7 of the first file are forgotten.
    loss = [(event.wall_time, event.step, event.value) for event in events.Scalars("loss")]
    expected = [(1700000001.0 + step, step, float(np.float32(1 / (1 + step)))) for step in range(5)]
    expected += [(1700000105.0, 5, -5.0), (1700000106.0, 6, -6.0)]
    expected += [(1700000150.0, step, 0.5) for step in (127, 128, 16383, 16384)] + [(1700000200.0, 2**40, math.inf)]
    assert loss == expected, loss
    rate = [event.value for event in events.Scalars("rate")]
    assert rate[:5] == [0.0] * 5 and len(rate) == 7 and all(map(math.isnan, rate[5:])), rate

    for tag, step, name in [("samples/grey", 4, "grey"), ("samples/colour", 6, "colour-alpha")]:
        (event,) = events.Images(tag)
        found = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        assert event.step == step and (event.height, event.width) == found.shape[:2], event.step
        with Image.open(os.path.join(beside, "arrays", f"{name}.png")) as picture:
            assert (found == np.asarray(picture)).all(), tag
    print(f"{len(loss)} losses, {len(rate)} rates and 2 pictures are right")


if __name__ == "__main__":
    main()
