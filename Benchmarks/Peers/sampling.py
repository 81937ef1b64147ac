"""What twenty DDIM steps cost PyTorch in Python, eagerly and on one thread: one JSON object a line, {"name", "value", "unit"}.

    ddim.<batch>      4 hidden layers of 128, SiLU, EDM's preconditioning, 20 Karras steps from 80 to 0.002, float32

The loop is that of https://github.com/NVlabs/edm/blob/main/generate.py without its second-order correction.
"""

import argparse
import json
import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn

from overhead import nanoseconds


class Denoiser(nn.Module):
    """x̂₀ = c_skip x + c_out F(c_in x, c_noise), with sines and cosines of the noise beside the point."""

    def __init__(self, dimension=2, width=128, depth=4, sigma_data=0.5):
        super().__init__()
        self.sigma_data = sigma_data
        self.register_buffer("frequencies", torch.logspace(math.log10(0.5), math.log10(4), 4))
        sizes = [dimension + 8] + [width] * depth
        layers = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(width, dimension))

    def forward(self, x, sigma):
        sigma = sigma.reshape(-1, 1)
        data = self.sigma_data
        c_skip = data**2 / (sigma**2 + data**2)
        c_out = sigma * data / (sigma**2 + data**2).sqrt()
        c_in = 1 / (data**2 + sigma**2).sqrt()
        c_noise = sigma.log() / 4
        angles = c_noise * self.frequencies
        features = torch.cat([angles.sin(), angles.cos()], 1).expand(len(x), -1)
        return c_skip * x + c_out * self.layers(torch.cat([c_in * x, features], 1))


def sample(model, x, times):
    for now, after in zip(times[:-1], times[1:]):
        denoised = model(x, now)
        x = x + (after - now) * (x - denoised) / now
    return x


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Denoiser().eval()
    ramp = torch.linspace(0, 1, 21)
    times = (80 ** (1 / 7) + ramp * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    start = 80 * torch.randn(options.batch, 2)
    with torch.no_grad():
        value = nanoseconds(lambda: sample(model, start, times), options.runs, options.seconds)
    print(json.dumps({"name": f"ddim.{options.batch}", "value": value / 1000, "unit": "µs"}), flush=True)


if __name__ == "__main__":
    main()
