"""How many training steps a second PyTorch takes in eager mode, on one thread: one JSON object a line, {"name", "value", "unit"}.

A step is the forward pass, the mean squared error to fixed targets, the backward pass and torch.optim.AdamW(fused=True). The
networks are those of Sources/Networks; `networks` has each with the shape of a point.
"""

import argparse
import json
import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch import nn

from overhead import nanoseconds


class MLP(nn.Module):
    """The point and the sinusoidal features of its noise, then `depth` layers of `width` with SiLU."""

    def __init__(self, dimension=2, width=128, depth=4):
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(math.log2(0.5), math.log2(4), 4, base=2))
        sizes = [dimension + 9] + depth * [width]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:]))
        self.last = nn.Linear(width, dimension)

    def forward(self, x, noise):
        column = noise[:, None]
        phases = column * self.frequencies
        h = torch.cat([x.flatten(1), torch.cat([column, phases.sin(), phases.cos()], 1)], 1)
        for layer in self.layers:
            h = F.silu(layer(h))
        return self.last(h).reshape(x.shape)


networks = {"mlp": (MLP, [2])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=networks, default="mlp")
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="length of one run (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, shape = networks[options.network]
    for batch in options.batch:
        network = make()
        x, noise, target = torch.randn(batch, *shape), torch.randn(batch), torch.randn(batch, *shape)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01, fused=True)

        def step():
            optimizer.zero_grad(set_to_none=True)
            F.mse_loss(network(x, noise), target).backward()
            optimizer.step()

        value = 1e9 / nanoseconds(step, options.runs, options.seconds)
        print(json.dumps({"name": f"training.{options.network}.{batch}", "value": value, "unit": "step/s"}), flush=True)


if __name__ == "__main__":
    main()
