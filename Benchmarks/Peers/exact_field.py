"""The exact posterior mean, score, trace and F v of a point set as one would write them in PyTorch, timed on one thread.

    l = -|x / alpha - y|^2 / (2 k^2), k = sigma / alpha, by |x|^2 + |y|^2 - 2 x.y;  w = softmax(l)
    over points in chunks, with a running maximum; second moments as printed, not centred:
        tr F = d / sigma^2 - (alpha^2 / sigma^4) (sum_i w_i |y_i|^2 - |ybar|^2)
        F v  = v / sigma^2 - (alpha^2 / sigma^4) (sum_i w_i y_i (y_i.v) - ybar (ybar.v))

Prints one JSON object a line, {"name", "value", "unit"}, for every precision:

    exact_field.<precision>.all         posterior mean, score, trace and F v of k directions, seconds
    exact_field.<precision>.score       posterior mean and score only, seconds
    exact_field.<precision>.rate        GFLOP/s of `all`, counting its matrix products only: 4 (1 + k) B N d
    gemm.<precision>.seconds, .rate     one [B, d] x [d, N] and one [B, N] x [N, d] product, (1 + k) times
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch


def exact_field(x, vs, points, squares, alpha, sigma, chunk):
    """x [B, d], vs [k, B, d] (k may be 0), points [N, d] and their squared norms [N]; the results by name."""
    centre, k2 = x / alpha, (sigma / alpha) ** 2
    B, d = x.shape
    top = x.new_full([B, 1], -torch.inf)
    total, norm, mean, moments = x.new_zeros([B, 1]), x.new_zeros([B, 1]), torch.zeros_like(x), torch.zeros_like(vs)
    own = centre.square().sum(dim=1, keepdim=True)
    for start in range(0, len(points), chunk):
        y, square = points[start : start + chunk], squares[start : start + chunk]
        l = (centre @ y.T * 2 - own - square) / (2 * k2)
        new = torch.maximum(top, l.amax(dim=1, keepdim=True))
        w, shrink = torch.exp(l - new), torch.exp(top - new)
        top, total, norm = new, total * shrink + w.sum(dim=1, keepdim=True), norm * shrink + w @ square[:, None]
        mean = mean * shrink + w @ y
        if len(vs):
            moments = moments * shrink + (w * (vs @ y.T)) @ y
    mean, norm, moments = mean / total, norm / total, moments / total
    curvature = moments - mean * (mean * vs).sum(dim=-1, keepdim=True)
    return {
        "posterior_mean": mean,
        "score": (alpha * mean - x) / sigma**2,
        "trace": d / sigma**2 - alpha**2 / sigma**4 * (norm[:, 0] - mean.square().sum(dim=1)),
        "matvec": vs / sigma**2 - alpha**2 / sigma**4 * curvature,
    }


def seconds(work, runs):
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=5000, help="N (default: %(default)s)")
    parser.add_argument("--dimension", type=int, default=3072, help="d (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="B (default: %(default)s)")
    parser.add_argument("--directions", type=int, default=1, help="k (default: %(default)s)")
    parser.add_argument("--alpha", type=float, default=0.7)
    parser.add_argument("--sigma", type=float, default=2.1)
    parser.add_argument("--chunk", type=int, default=4096, help="points at a time (default: %(default)s)")
    parser.add_argument("--precision", choices=["float32", "float64"], action="append", help="default: both")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    N, d, B, k = options.points, options.dimension, options.batch, options.directions

    def report(name, value, unit):
        print(json.dumps({"name": name, "value": value, "unit": unit}), flush=True)

    with torch.no_grad():
        for precision in options.precision or ["float32", "float64"]:
            generator = torch.Generator().manual_seed(options.seed)
            kind = {"dtype": getattr(torch, precision), "generator": generator}
            points = torch.rand(N, d, **kind) * 2 - 1
            x = options.alpha * points[torch.arange(B) * 7919 % N] + options.sigma * torch.randn(B, d, **kind)
            vs = torch.rand(k, B, d, **kind) * 2 - 1
            squares = points.square().sum(dim=1)
            rest = (points, squares, options.alpha, options.sigma, options.chunk)
            every = seconds(lambda: exact_field(x, vs, *rest), options.runs)
            report(f"exact_field.{precision}.all", every, "s")
            report(f"exact_field.{precision}.score", seconds(lambda: exact_field(x, vs[:0], *rest), options.runs), "s")
            work = 4e-9 * (1 + k) * B * N * d
            report(f"exact_field.{precision}.rate", work / every, "GFLOP/s")
            weights = torch.rand(B, N, **kind)
            products = seconds(lambda: [(x @ points.T, weights @ points) for _ in range(1 + k)], options.runs)
            report(f"gemm.{precision}.seconds", products, "s")
            report(f"gemm.{precision}.rate", work / products, "GFLOP/s")


if __name__ == "__main__":
    main()
