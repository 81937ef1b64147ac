"""Small networks by PyTorch, with a scalar head on each: networks.safetensors.

Tensors are float64, named `<network>.<what>`:

    parameter.<name>, head.<name>       the parameters, under the names Swift gives them
    input, noise, condition             the arguments; some networks have no condition
    features, output, scalar            what they give
    cotangent, scalar_cotangent         u like output;  w like scalar
    gradient.<name>, gradient.head.<name>, gradient.input, gradient.noise, gradient.condition
                                        the gradient of sum(u output) + sum(w scalar) by everything; of a weight only its sum
                                        over the first axis, to keep the file small
"""

import golden  # first: it sets the threads

import math

import torch

import networks
import splitmix

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

# Configurations as Swift writes them, and the shapes of inputs.
mlp = dict(dimension=3, width=8, depth=2, conditionWidth=2)
grey = dict(
    channels=1, width=4, multipliers=[1, 2], blocks=1, attention=[], heads=1, conditionWidth=0, embeddingWidth=6)
colour = dict(
    channels=3, width=4, multipliers=[1, 2], blocks=1, attention=[1], heads=2, conditionWidth=5, embeddingWidth=8)
cases = {
    "mlp": (networks.MLP, mlp, [4, 3]),
    "grey": (networks.UNet, grey, [2, 6, 4]),
    "colour": (networks.UNet, colour, [2, 3, 4, 8]),
}


def fill(module, seed):
    """Every parameter from a stream of its own, of about the size it has when trained."""
    for index, (name, parameter) in enumerate(module.named_parameters()):
        values = torch.tensor(splitmix.unit(seed + index, list(parameter.shape)))
        if "norm" in name and name.endswith("weight"):
            values = 1 + values / 4
        elif parameter.ndim > 1:
            values = values / math.sqrt(parameter[0].numel())
        else:
            values = values / 4
        parameter.data.copy_(values)


def results(architecture, configuration, shape, seed):
    network = networks.make(architecture, configuration)
    head = networks.ScalarHead(network.feature_width)
    fill(network, seed)
    fill(head, seed + 200)
    arguments = {"input": splitmix.unit(seed + 300, shape), "noise": splitmix.symmetric(seed + 301, shape[:1])}
    if configuration["conditionWidth"]:
        arguments["condition"] = splitmix.unit(seed + 302, [shape[0], configuration["conditionWidth"]])
    arguments = {name: torch.tensor(value).requires_grad_() for name, value in arguments.items()}

    features = network.features(arguments["input"], arguments["noise"], arguments.get("condition"))
    output = network.output(features).reshape(shape)
    scalar = head(features)
    u = torch.tensor(splitmix.symmetric(seed + 303, shape))
    w = torch.tensor(splitmix.symmetric(seed + 304, shape[:1]))
    ((u * output).sum() + (w * scalar).sum()).backward()

    out = arguments | {"features": features, "output": output, "scalar": scalar, "cotangent": u, "scalar_cotangent": w}
    out |= {f"gradient.{name}": value.grad for name, value in arguments.items()}
    for prefix, module in [("", network), ("head.", head)]:
        for name, parameter in module.named_parameters():
            out[(prefix or "parameter.") + name] = parameter
            out[f"gradient.{prefix}{name}"] = parameter.grad.sum(dim=0) if parameter.ndim > 1 else parameter.grad
    return out


def main():
    options = golden.options(__doc__.splitlines()[0], "networks.safetensors", seed=700)
    tensors, metadata = {}, {"seed": str(options.seed), "torch": torch.__version__}
    for index, (case, (architecture, configuration, shape)) in enumerate(cases.items()):
        found = results(architecture, configuration, shape, options.seed + 1000 * index)
        tensors |= {f"{case}.{name}": value for name, value in found.items()}
        metadata[case] = configuration
    golden.save(options.out, tensors, metadata)


if __name__ == "__main__":
    main()
