"""The likelihood of a network's samples as one would write it in PyTorch: torchdiffeq's dopri5 and one Hutchinson probe.

    dx/dk = x - D(x, k),   dl/dk = z.(z - (dD/dx)^T z),   k = log sigma, EDM (alpha = 1), sigma from .002 to 80
    log p(x) = log N(x_80; 0, 80^2) + l

D is an MLP of x and k, 3 -> 128 -> 128 -> 128 -> 128 -> 2 with SiLU, wrapped as EDM wraps it (sigma_data = .5). Its weights,
the samples and the probe are SplitMix streams (Tests/Golden/splitmix.py), so that anybody can make the same:

    weights of layer i [out, in]   unit(1000 + 2 i) / sqrt(in)       biases  symmetric(1001 + 2 i) / 10
    samples [B, 2]                 symmetric(7)                      probe   the signs of symmetric(8)

Prints one JSON object: the seconds of one evaluation of the right-hand side (value), how many there were, the seconds of the
whole and the mean log-likelihood.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Tests/Golden"))

import splitmix
import torch
import torch.nn.functional as F
from torchdiffeq import odeint


def network(dtype):
    sizes = [3, 128, 128, 128, 128, 2]
    layers = []
    for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:])):
        weight = splitmix.unit(1000 + 2 * i, [fan_out, fan_in]) / math.sqrt(fan_in)
        layers.append([torch.tensor(a, dtype=dtype) for a in (weight, splitmix.symmetric(1001 + 2 * i, [fan_out]) / 10)])
    return layers


def denoise(layers, x, k):
    s2, d2 = math.exp(2 * k), 0.25
    h = torch.cat([x / math.sqrt(s2 + d2), torch.full_like(x[:, :1], k / 4)], dim=1)
    for weight, bias in layers[:-1]:
        h = F.silu(F.linear(h, weight, bias))
    return d2 / (s2 + d2) * x + math.sqrt(s2 * d2 / (s2 + d2)) * F.linear(h, *layers[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rtol", type=float, default=1e-5)
    parser.add_argument("--atol", type=float, default=1e-5)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dtype = getattr(torch, options.dtype)
    layers = network(dtype)
    x0 = torch.tensor(splitmix.symmetric(7, [options.batch, 2]), dtype=dtype)
    probe = torch.tensor(splitmix.symmetric(8, [options.batch, 2]), dtype=dtype).sign()
    ends = torch.tensor([math.log(0.002), math.log(80.0)], dtype=torch.float64)
    count = 0

    def rates(k, state):
        nonlocal count
        count += 1
        with torch.enable_grad():
            x = state[0].detach().requires_grad_()
            data = denoise(layers, x, float(k))
            (pulled,) = torch.autograd.grad(data, x, probe)
        return x.detach() - data.detach(), (probe * (probe - pulled)).sum(dim=1)

    def run():
        nonlocal count
        count = 0
        start = time.perf_counter()
        x, gain = odeint(rates, (x0, x0.new_zeros(len(x0))), ends, method="dopri5", rtol=options.rtol, atol=options.atol)
        x, gain = x[-1].double(), gain[-1].double()
        log_p = -0.5 * x.square().sum(dim=1) / 80**2 - math.log(2 * math.pi * 80**2) + gain
        return time.perf_counter() - start, log_p.mean().item()

    run()
    found = [run() for _ in range(options.runs)]
    seconds = statistics.median(each[0] for each in found)
    print(json.dumps({
        "name": f"likelihood.{options.dtype}.{options.batch}", "value": seconds / count, "unit": "s",
        "evaluations": count, "seconds": seconds, "mean_log_likelihood": found[0][1],
    }), flush=True)


if __name__ == "__main__":
    main()
