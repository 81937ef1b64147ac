"""What PyTorch in Python costs per operation, on one thread: one JSON object a line, {"name", "value", "unit"}.

    add.1, add.64x64, matmul.64x64      float32, without gradients
    mlp.forward.<batch>                 4 hidden layers of 128, SiLU, 2 -> 2, without gradients
    mlp.step.<batch>                    mean squared error, gradients by every weight (no optimiser)

Every value is the median of `--runs` runs, each as many repetitions as fill `--seconds`.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F


def nanoseconds(work, runs, seconds):
    """The median time of one call, over runs of equal length."""
    repetitions, elapsed = 1, 0.0
    while True:
        start = time.perf_counter()
        for _ in range(repetitions):
            work()
        elapsed = time.perf_counter() - start
        if elapsed > seconds / 4:
            break
        repetitions *= 2
    repetitions = max(1, round(repetitions * seconds / elapsed))
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        for _ in range(repetitions):
            work()
        times.append((time.perf_counter() - start) / repetitions * 1e9)
    return statistics.median(times)


def network(generator):
    """Weights and biases of 2 -> 128 -> 128 -> 128 -> 128 -> 2."""
    sizes = [2, 128, 128, 128, 128, 2]
    layers = []
    for fan_in, fan_out in zip(sizes, sizes[1:]):
        weight = torch.randn(fan_out, fan_in, generator=generator) / fan_in**0.5
        layers.append((weight.requires_grad_(), torch.zeros(fan_out).requires_grad_()))
    return layers


def forward(layers, x):
    for weight, bias in layers[:-1]:
        x = F.silu(F.linear(x, weight, bias))
    return F.linear(x, *layers[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="length of one run (default: %(default)s)")
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(options.seed)
    random = lambda *shape: torch.randn(*shape, generator=generator)

    def report(name, work):
        value = nanoseconds(work, options.runs, options.seconds)
        print(json.dumps({"name": name, "value": value, "unit": "ns"}), flush=True)

    layers = network(generator)
    weights = [weight for layer in layers for weight in layer]
    with torch.no_grad():
        one, other = random(1), random(1)
        report("add.1", lambda: torch.add(one, other))
        a, b = random(64, 64), random(64, 64)
        report("add.64x64", lambda: torch.add(a, b))
        report("matmul.64x64", lambda: torch.matmul(a, b))
    for batch in options.batch:
        x, target = random(batch, 2), random(batch, 2)
        with torch.no_grad():
            report(f"mlp.forward.{batch}", lambda: forward(layers, x))
        report(f"mlp.step.{batch}", lambda: torch.autograd.grad(F.mse_loss(forward(layers, x), target), weights))


if __name__ == "__main__":
    main()
