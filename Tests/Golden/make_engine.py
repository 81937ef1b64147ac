"""Derivatives of two small networks by PyTorch, for the engine's tests: engine.safetensors.

    mlp    5 -> 16 -> 16 -> 3, SiLU between the layers, batch 4
    conv   conv 3 -> 8 (3x3, padding 1), group_norm (4 groups, eps 1e-5, affine), SiLU, conv 8 -> 3, on [2, 3, 8, 8]

Tensors are named `<network>.<float32|float64>.<what>`:

    input, weight0 .. weightN       the arguments of f; both precisions hold the same, float32-representable values
    cotangent, direction, directions    u like f(x);  v like x;  six directions like x, stacked in front
    forward                         f(x)
    vjp.<argument>                  the gradient of sum(u f(x)) by every argument
    jvp                             J v, by forward mode
    reverse_jvp.<argument>          the gradient of sum(u J v) by the input and by every weight: reverse over forward
    hvp                             the Hessian of sum(f(x)^2) along v: forward over reverse
    vmap_jvp                        J v for the six directions
    jacobian                        (mlp only) the Jacobian of every sample by itself, [4, 3, 5]
"""

import golden  # first: it sets the threads

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import grad, jacrev, jvp, vjp, vmap

import splitmix

torch.set_num_threads(1)


def mlp(x, w0, b0, w1, b1, w2, b2):
    h = F.silu(F.linear(x, w0, b0))
    return F.linear(F.silu(F.linear(h, w1, b1)), w2, b2)


def conv(x, w0, b0, scale, shift, w1, b1):
    h = F.silu(F.group_norm(F.conv2d(x, w0, b0, padding=1), 4, scale, shift, eps=1e-5))
    return F.conv2d(h, w1, b1, padding=1)


networks = {
    "mlp": (mlp, [4, 5], [4, 3], [[16, 5], [16], [16, 16], [16], [3, 16], [3]]),
    "conv": (conv, [2, 3, 8, 8], [2, 3, 8, 8], [[8, 3, 3, 3], [8], [8], [8], [3, 8, 3, 3], [3]]),
}


def results(f, arguments, u, v, vs):
    """Everything that is stored about f at its arguments, by name."""
    x, weights = arguments[0], arguments[1:]
    names = ["input"] + [f"weight{i}" for i in range(len(weights))]
    every = tuple(range(len(arguments)))

    def along(*arguments, direction=v):
        return jvp(lambda x: f(x, *arguments[1:]), (arguments[0],), (direction,))[1]

    def energy(x):
        return f(x, *weights).square().sum()

    out = {"forward": f(*arguments), "jvp": along(*arguments)}
    out |= {f"vjp.{name}": value for name, value in zip(names, vjp(f, *arguments)[1](u))}
    mixed = grad(lambda *arguments: (u * along(*arguments)).sum(), argnums=every)(*arguments)
    out |= {f"reverse_jvp.{name}": value for name, value in zip(names, mixed)}
    out["hvp"] = jvp(grad(energy), (x,), (v,))[1]
    out["vmap_jvp"] = vmap(lambda direction: along(*arguments, direction=direction))(vs)
    if f is mlp:
        out["jacobian"] = vmap(jacrev(lambda row: f(row, *weights)))(x)
    return out


def single(seed, shape):
    """Unit-variance values that float32 holds exactly."""
    return splitmix.unit(seed, shape).astype(np.float32)


def main():
    options = golden.options(__doc__.splitlines()[0], "engine.safetensors", seed=100)
    tensors, worst, seed = {}, {}, options.seed
    for network, (f, input_shape, output_shape, weight_shapes) in networks.items():
        values = {"input": single(seed, input_shape), "cotangent": single(seed + 1, output_shape)}
        values |= {"direction": single(seed + 2, input_shape), "directions": single(seed + 3, [6] + input_shape)}
        for i, shape in enumerate(weight_shapes):
            fan_in = np.prod(shape[1:]) if len(shape) > 1 else 10
            value = single(seed + 4 + i, shape) / np.sqrt(fan_in)
            values[f"weight{i}"] = (value + (network == "conv" and i == 2)).astype(np.float32)
        seed += 20
        truth = {}
        for precision in ("float64", "float32"):
            inputs = {name: torch.from_numpy(value.astype(precision)) for name, value in values.items()}
            arguments = [inputs["input"]] + [inputs[f"weight{i}"] for i in range(len(weight_shapes))]
            outputs = results(f, arguments, inputs["cotangent"], inputs["direction"], inputs["directions"])
            for name, value in (inputs | outputs).items():
                tensors[f"{network}.{precision}.{name}"] = golden.array(value)
            for name, value in outputs.items():
                if precision == "float64":
                    truth[name] = value
                else:
                    # J v does not depend on the last bias: that gradient is zero.
                    size = float(truth[name].abs().max()) or 1.0
                    worst[f"{network}.{name}"] = float((value - truth[name]).abs().max()) / size
    assert all(error < 1e-5 for error in worst.values()), worst
    name = max(worst, key=worst.get)
    print(f"float32 against float64: worst max|err|/max|true| {worst[name]:.1e} ({name})")
    layout = {network: {"input": shapes[1], "weights": shapes[3]} for network, shapes in networks.items()}
    golden.save(options.out, tensors, {"networks": layout, "seed": str(options.seed), "torch": torch.__version__})


if __name__ == "__main__":
    main()
