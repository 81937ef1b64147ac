"""The exact trace of a network's Jacobian by vmap over the basis vectors, as one would write it in PyTorch.

The network is an MLP d -> 1024 -> 1024 -> 1024 -> d with SiLU and random weights; the trace is taken at one point. Prints one
JSON object: the seconds of one trace.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.func import vjp, vmap


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for d in options.dimensions:
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Linear(d, 1024), torch.nn.SiLU(), torch.nn.Linear(1024, 1024), torch.nn.SiLU(),
            torch.nn.Linear(1024, 1024), torch.nn.SiLU(), torch.nn.Linear(1024, d))
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        x, basis = torch.randn(1, d), torch.eye(d)

        def trace():
            _, pull = vjp(network, x)
            rows = vmap(lambda v: pull(v[None])[0][0])(basis)
            return rows.diagonal().sum()

        trace()
        times = []
        for _ in range(5 if d > 1000 else 30):
            start = time.perf_counter()
            trace()
            times.append(time.perf_counter() - start)
        print(json.dumps({"name": f"trace.full-vjp.{d}", "value": statistics.median(times), "unit": "s"}), flush=True)


if __name__ == "__main__":
    main()
