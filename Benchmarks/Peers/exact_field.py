"""The exact posterior mean of a point set as one would write it in PyTorch and NumPy, way by way, beside its matrix products.

    l = -|x - alpha y|^2 / (2 sigma^2),  w = softmax(l),  mean = w y,  log density = logsumexp(l)

`naive` holds all logits [B, N]; `chunked` takes distances (cdist) of chunks with a running maximum; `online` takes products of
tiles of 512 points with a running maximum; `attention` is torch's scaled_dot_product_attention, with |y|^2 as one more column,
which gives no density; `numpy` takes blocks of 512 points; `keops` is PyKeOps' LazyTensor, where it is installed. All serve
moderate sigma only: they form |x|^2 + |y|^2 - 2 x.y, or no density.

Prints one JSON object a line, {"name", "value", "unit"}:

    gemm                    one [B, d] x [d, N] and one [B, N] x [N, d] product, seconds
    <sigma> <way>           seconds; and `<way> memory`, what a first call adds to the resident memory at its peak, MB
"""

import argparse
import ctypes
import json
import os
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--points", type=int, default=5000, help="N (default: %(default)s)")
parser.add_argument("--dimension", type=int, default=3072, help="d (default: %(default)s)")
parser.add_argument("--batch", type=int, default=64, help="B (default: %(default)s)")
parser.add_argument("--sigma", type=float, action="append", help="noise levels, alpha = 1 (default: 0.1, 1, 10 and 80)")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--way", action="append", help="only these")
parser.add_argument("--file", help="the points, .npy, mapped into memory; random ones where left out")
options = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(options.threads)

import numpy as np
import torch

try:
    from pykeops.torch import LazyTensor
except Exception:
    LazyTensor = None


def naive(x, y, squares, precision):
    l = precision * (x @ y.T - 0.5 * squares)
    return torch.softmax(l, dim=1) @ y, torch.logsumexp(l, dim=1) - 0.5 * precision * x.square().sum(dim=1)


def running(x, y, logits, size):
    top = x.new_full([len(x), 1], -torch.inf)
    total, mean = x.new_zeros([len(x), 1]), torch.zeros_like(x)
    for start in range(0, len(y), size):
        tile = y[start : start + size]
        l = logits(start, tile)
        new = torch.maximum(top, l.amax(dim=1, keepdim=True))
        w, shrink = torch.exp(l - new), torch.exp(top - new)
        top, total, mean = new, total * shrink + w.sum(dim=1, keepdim=True), mean * shrink + w @ tile
    return mean / total, (top + total.log())[:, 0]


def chunked(x, y, squares, precision):
    return running(x, y, lambda start, tile: torch.cdist(x, tile).square() * (-0.5 * precision), 4096)


def online(x, y, squares, precision):
    return running(x, y, lambda start, tile: precision * (x @ tile.T - 0.5 * squares[start : start + len(tile)]), 512)


def attention(x, y, squares, precision):
    query = torch.nn.functional.pad(x, (0, 1), value=1.0) * precision
    key, value = torch.cat([y, -0.5 * squares[:, None]], dim=1), torch.nn.functional.pad(y, (0, 1))
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(query[None, None], key[None, None], value[None, None], scale=1.0)[0, 0, :, :-1]


def numpy(x, y, squares, precision):
    x, y, squares = x.numpy(), y.numpy(), squares.numpy()
    top, total = np.full([len(x), 1], -np.inf, x.dtype), np.zeros([len(x), 1], x.dtype)
    mean = np.zeros_like(x)
    for start in range(0, len(y), 512):
        tile = y[start : start + 512]
        l = (x @ tile.T - 0.5 * squares[start : start + 512]) * x.dtype.type(precision)
        new = np.maximum(top, l.max(axis=1, keepdims=True))
        w, shrink = np.exp(l - new), np.exp(top - new)
        top, total, mean = new, total * shrink + w.sum(axis=1, keepdims=True), mean * shrink + w @ tile
    return mean / total, (top + np.log(total))[:, 0]


def keops(x, y, squares, precision):
    l = ((LazyTensor(x[:, None, :]) - LazyTensor(y[None, :, :])) ** 2).sum(-1) * (-0.5 * precision)
    return l.sumsoftmaxweight(LazyTensor(y[None, :, :]), axis=1), l.logsumexp(axis=1)


def report(name, value, unit):
    print(json.dumps({"name": name, "value": value, "unit": unit}), flush=True)


def seconds(work):
    times = []
    for _ in range(options.runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
        if sum(times) > 3:
            break
    return statistics.median(times)


def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024


def growth(work):
    """What a call adds to the resident memory at its peak, MB; nothing where the system does not tell."""
    try:
        # What was freed before must not hide what is taken now.
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = status("VmRSS")
        work()
        return status("VmHWM") - before
    except (OSError, AttributeError):
        work()
        return float("nan")


def main():
    torch.set_num_threads(options.threads)
    N, d, B = options.points, options.dimension, options.batch
    kind = {"dtype": getattr(torch, options.precision), "generator": torch.Generator().manual_seed(0)}
    if options.file:
        y = torch.from_numpy(np.load(options.file, mmap_mode="c"))
    else:
        y = torch.rand(N, d, **kind) * 2 - 1
    squares = torch.cat([part.square().sum(dim=1) for part in y.split(4096)])
    ways = {"naive": naive, "chunked": chunked, "online": online, "attention": attention, "numpy": numpy}
    # It compiles a program per dimension, and differences of thousands of columns are not what it is for.
    if LazyTensor is not None and d <= 64 and N * d * B <= 1 << 33:
        ways["keops"] = keops
    # It wants two more copies of the points, and one of all logits.
    if N * d > 1 << 30:
        del ways["attention"], ways["naive"]
    with torch.no_grad():
        if not options.file:
            weights = torch.rand(B, N, **kind)
            x = torch.rand(B, d, **kind)
            (x @ y.T, weights @ y)
            report("gemm", seconds(lambda: (x @ y.T, weights @ y)), "s")
            del weights
        for index, sigma in enumerate(options.sigma or [0.1, 1.0, 10.0, 80.0]):
            x = y[torch.arange(B) * 7919 % N] + sigma * torch.randn(B, d, **kind)
            for name, way in ways.items():
                if options.way and name not in options.way:
                    continue
                work = lambda: way(x, y, squares, 1 / sigma**2)
                start = time.perf_counter()
                peak = growth(work)
                once = time.perf_counter() - start
                # What takes long needs no second run.
                report(f"{sigma:g} {name}", once if once > 10 else seconds(work), "s")
                if index == 0:
                    report(f"{name} memory", peak, "MB")


if __name__ == "__main__":
    main()
