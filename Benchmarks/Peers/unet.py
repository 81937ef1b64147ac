"""One training step of a U-Net as PyTorch does it, on one thread: forward, mean squared error, gradients by every parameter.

The network is Tests/Golden/networks.py's, eager. Prints one JSON object a line, {"name", "value", "unit"}:

    unet.step.<name>        seconds of a step, the median over runs
"""

import argparse
import json
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Tests/Golden"))

import torch

import networks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="what the figure is called")
    parser.add_argument("--size", type=int, required=True, help="pixels on a side")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--configuration", type=json.loads, required=True, help="JSON, as UNet.Configuration encodes itself")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    network = networks.make(networks.UNet, options.configuration)
    parameters = list(network.parameters())
    x = torch.randn(options.batch, options.configuration["channels"], options.size, options.size)
    target, noise = torch.randn_like(x), torch.randn(options.batch)

    def step():
        start = time.perf_counter()
        torch.autograd.grad((network(x, noise) - target).square().mean(), parameters)
        return time.perf_counter() - start

    step()
    value = statistics.median(step() for _ in range(options.runs))
    print(json.dumps({"name": f"unet.step.{options.name}", "value": value, "unit": "s"}), flush=True)


if __name__ == "__main__":
    main()
