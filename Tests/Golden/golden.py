"""What the golden scripts share: their two options, and a writer whose bytes depend on nothing but its arguments."""

import argparse
import json
import os

import numpy as np

# One thread, so that sums come out in one order; set before anybody imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_dtypes = {
    "float64": "F64", "float32": "F32", "int64": "I64", "int32": "I32", "uint8": "U8", "bool": "BOOL",
}


def options(description, output, seed=0):
    """`--seed` and `--out`; the defaults remake the committed file."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=seed, help="base of every stream (default: %(default)s)")
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), output)
    parser.add_argument("--out", default=beside, help=f"the file to write (default: {output} beside the script)")
    return parser.parse_args()


def array(value):
    """A numpy array of a tensor or of anything numpy takes."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def save(path, tensors, metadata):
    """Writes a safetensors file.  The reference writer orders its metadata by chance; this one sorts.

    Wide elements come first, so that each tensor is aligned to its own element size.
    """
    arrays = {name: np.asarray(array(value), order="C") for name, value in tensors.items()}
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header, offset = {"__metadata__": {key: _text(metadata[key]) for key in sorted(metadata)}}, 0
    for name in names:
        entry = arrays[name]
        header[name] = {
            "dtype": _dtypes[entry.dtype.name], "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.nbytes],
        }
        offset += entry.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False).tobytes())
    print(f"{os.path.basename(path)}: {len(names)} tensors, {os.path.getsize(path)} bytes")


def _text(value):
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
