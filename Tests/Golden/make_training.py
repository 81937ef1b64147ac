"""Steps of torch.optim.AdamW(fused=True) and of clip_grad_norm_, for the tests of training: training.safetensors.

    parameters  of shapes [4, 3], [4], [2, 4, 3, 3] and [], in float32 and float64; both hold the same start
    gradients   of every step

Tensors are named `<float32|float64>.<what>`:

    start<i>, gradient<n>.<i>       the parameters before, and the gradients of steps n = 1 .. 6
    adam<n>.<i>, adamw<n>.<i>       the parameters after a step, without and with weight decay
    adamw.first<i>, adamw.second<i> the moments after the last step
    clipped<i>                      the gradients of step 1, clipped to a norm

Metadata `rates` are the learning rates of the steps; `options` beta1, beta2, epsilon and weightDecay of the second run (the first
has PyTorch's own beta and epsilon, and no decay); `norms` holds maximum and what clip_grad_norm_ returned, by precision.
"""

import golden  # first: it sets the threads

import numpy as np
import torch

import splitmix

torch.set_num_threads(1)

shapes = [[4, 3], [4], [2, 4, 3, 3], []]
rates = [1e-2, 1e-2, 3e-3, 0.0, 2e-2, 1e-3]
settings = {"beta1": 0.85, "beta2": 0.97, "epsilon": 1e-6, "weightDecay": 0.2}
maximum = 2.5


def single(seed, shape):
    """Unit-variance values that float32 holds exactly."""
    return splitmix.unit(seed, shape).astype(np.float32)


def main():
    options = golden.options(__doc__.splitlines()[0], "training.safetensors", seed=400)
    tensors, norms = {}, {"maximum": maximum}
    for precision in ("float64", "float32"):
        convert = lambda value: torch.from_numpy(np.array(value.astype(precision)))
        start = [convert(single(options.seed + i, shape)) for i, shape in enumerate(shapes)]
        gradients = [
            [convert(single(options.seed + 10 * n + i, shape) * (i + 1)) for i, shape in enumerate(shapes)]
            for n in range(1, len(rates) + 1)
        ]
        for i, value in enumerate(start):
            tensors[f"{precision}.start{i}"] = golden.array(value.clone())
        runs = {
            "adam": dict(),
            "adamw": dict(
                betas=(settings["beta1"], settings["beta2"]), eps=settings["epsilon"], weight_decay=settings["weightDecay"]
            ),
        }
        for name, arguments in runs.items():
            parameters = [value.clone().requires_grad_() for value in start]
            optimizer = torch.optim.AdamW(parameters, fused=True, **({"weight_decay": 0.0} | arguments))
            for n, rate in enumerate(rates, 1):
                optimizer.param_groups[0]["lr"] = rate
                for i, parameter in enumerate(parameters):
                    gradient = gradients[n - 1][i]
                    tensors[f"{precision}.gradient{n}.{i}"] = golden.array(gradient.clone())
                    parameter.grad = gradient.clone()
                optimizer.step()
                for i, parameter in enumerate(parameters):
                    tensors[f"{precision}.{name}{n}.{i}"] = golden.array(parameter.detach().clone())
        for i, parameter in enumerate(parameters):
            tensors[f"{precision}.adamw.first{i}"] = golden.array(optimizer.state[parameter]["exp_avg"].clone())
            tensors[f"{precision}.adamw.second{i}"] = golden.array(optimizer.state[parameter]["exp_avg_sq"].clone())
        for parameter, gradient in zip(parameters, gradients[0]):
            parameter.grad = gradient.clone()
        norms[precision] = float(torch.nn.utils.clip_grad_norm_(parameters, maximum))
        for i, parameter in enumerate(parameters):
            tensors[f"{precision}.clipped{i}"] = golden.array(parameter.grad)
    assert norms["float64"] > 2 * maximum and abs(norms["float32"] - norms["float64"]) < 1e-5 * norms["float64"], norms
    metadata = {"rates": rates, "options": settings, "norms": norms, "seed": str(options.seed), "torch": torch.__version__}
    golden.save(options.out, tensors, metadata)


if __name__ == "__main__":
    main()
