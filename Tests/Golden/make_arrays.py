"""Files of every format, written by NumPy, safetensors and Pillow, and the values they hold.

Run it with a Python that has numpy, safetensors and pillow:  python Tests/Golden/make_arrays.py [--seed 0]
"""

import argparse
import io
import pathlib

import numpy as np
import safetensors
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent / "arrays"
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
random = np.random.default_rng(parser.parse_args().seed)

NUMPY_TYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
               "float16", "float32", "float64", "complex64", "complex128"]
# Types that NumPy lacks, by safetensors' name; and how many elements are in how many bytes.
OTHER_TYPES = {"bfloat16": (1, 2), "float8_e4m3fn": (1, 1), "float8_e5m2": (1, 1), "float8_e8m0fnu": (1, 1),
               "float4_e2m1fn_x2": (2, 1)}
SHAPE = (3, 4, 5)


def values(dtype, shape=SHAPE):
    """Any bits at all: NaNs, infinities and subnormal numbers too."""
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(random.bytes(size), dtype).reshape(shape).copy()


def save_npy(name, array, version=None):
    with open(here / name, "wb") as file:
        np.lib.format.write_array(file, array, version)


def make_npy():
    for dtype in NUMPY_TYPES:
        array = values(dtype)
        swapped = array.astype(array.dtype.newbyteorder(">"))
        (here / f"{dtype}.bin").write_bytes(array.tobytes())
        save_npy(f"{dtype}-rows.npy", array)
        save_npy(f"{dtype}-columns.npy", np.asfortranarray(array))
        save_npy(f"{dtype}-big-rows.npy", swapped)
        save_npy(f"{dtype}-big-columns.npy", np.asfortranarray(swapped))
    array = np.frombuffer((here / "float32.bin").read_bytes(), "float32").reshape(SHAPE)
    save_npy("version-2.npy", array, (2, 0))
    save_npy("version-3.npy", array, (3, 0))
    for shape in [(), (1,), (60,), (6, 10), (1, 1, 60, 1), (0,), (3, 0, 5), (1,) * 36]:
        count = int(np.prod(shape))
        name = "x".join(map(str, shape)) or "scalar"
        save_npy(f"shape-{name}.npy", np.arange(count, dtype="int32").reshape(shape))
    np.save(here / "hostile-object.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    np.save(here / "hostile-record.npy", np.zeros(2, dtype=[("x", "f4"), ("y", "f4")]))
    np.save(here / "hostile-string.npy", np.array(["a", "bc"]))
    np.save(here / "hostile-bytes.npy", np.array([b"a", b"bc"]))
    np.save(here / "hostile-date.npy", np.array(["2026-01-01"], dtype="datetime64[D]"))
    np.save(here / "hostile-long-double.npy", np.zeros(1, dtype="longdouble"))
    np.save(here / "hostile-void.npy", np.zeros(1, dtype="V2"))


def make_safetensors():
    tensors = {dtype: np.frombuffer((here / f"{dtype}.bin").read_bytes(), dtype).reshape(SHAPE)
               for dtype in NUMPY_TYPES if dtype != "complex128"}
    save_file(tensors, here / "numpy.safetensors")
    few = {"b": tensors["float32"], "a": tensors["float32"][:, :1].copy(), 'quote " tab \t é \x01 \\ 日本': tensors["int8"],
           "scalar": np.array(2.5, "float32"), "empty": np.zeros((0, 4), "uint8")}
    save_file(few, here / "names.safetensors", metadata={"format": "line\nbreak \"quoted\" /"})
    save_file({}, here / "none.safetensors")

    specs, kept = {}, []
    for dtype, (elements, size) in OTHER_TYPES.items():
        data = np.frombuffer(random.bytes(60 * size // elements), "uint8").copy()
        (here / f"{dtype}.bin").write_bytes(data.tobytes())
        kept.append(data)
        # For two elements in a byte the binding takes the shape in bytes, and the file holds it in elements.
        shape = SHAPE if elements == 1 else (3, 10)
        specs[dtype] = safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=data.ctypes.data, data_len=data.nbytes)
    (here / "other.safetensors").write_bytes(safetensors.serialize(specs))


def make_csv():
    table = values("float64", (6, 3))
    table[0] = [1e-310, -0.0, 123456789012345678]
    table[~np.isfinite(table)] = 0.1
    np.save(here / "table.npy", table)
    np.savetxt(here / "table.csv", table, delimiter=",")
    np.savetxt(here / "table-names.csv", table, delimiter=",", header='x,"y, z",', comments="", fmt="%s")
    np.savetxt(here / "table-semicolons.csv", table, delimiter=";", fmt="%s", newline="\r\n")
    np.savetxt(here / "table-tabs.csv", table, delimiter="\t", fmt="%.17g", newline="\n\n", encoding="utf-8")


def make_png():
    grey = random.integers(0, 256, (5, 7), dtype="uint8")
    colour = random.integers(0, 256, (5, 7, 3), dtype="uint8")
    alpha = random.integers(0, 256, (5, 7, 1), dtype="uint8")
    wide = random.integers(0, 65536, (5, 7), dtype="uint16")

    def save(name, image, expected, **options):
        image.save(here / f"{name}.png", **options)
        np.save(here / f"{name}.npy", expected)

    save("grey", Image.fromarray(grey), grey)
    save("colour", Image.fromarray(colour), colour)
    save("colour-alpha", Image.fromarray(np.concatenate([colour, alpha], 2)), colour)
    save("grey-alpha", Image.fromarray(np.concatenate([grey[..., None], alpha], 2)), grey)
    bits = Image.fromarray(grey).convert("1")
    save("bits", bits, np.asarray(bits.convert("L")))
    palette = Image.fromarray(colour).quantize(16)
    save("palette", palette, np.asarray(palette.convert("RGB")))
    save("palette-alpha", palette, np.asarray(palette.convert("RGB")), transparency=3)
    save("grey-16", Image.fromarray(wide), np.round(wide / 65535 * 255).astype("uint8"))
    notes = PngImagePlugin.PngInfo()
    notes.add(b"gAMA", (100_000).to_bytes(4, "big"))
    notes.add_text("note", "x" * 100, zip=True)
    save("linear-gamma", Image.fromarray(colour), colour, pnginfo=notes)

    (here / "folder").mkdir(exist_ok=True)
    pictures = random.integers(0, 256, (3, 4, 6), dtype="uint8")
    for name, picture in zip(["10.png", "9.PNG", "a.png"], pictures):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "png")
        (here / "folder" / name).write_bytes(buffer.getvalue())
    np.save(here / "folder.npy", pictures)


here.mkdir(exist_ok=True)
make_npy()
make_safetensors()
make_csv()
make_png()
