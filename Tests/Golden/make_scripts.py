"""TorchScript modules as users bring them, and what PyTorch makes of them: scripts/*.pt and scripts.safetensors.

    loss.pt        [B, 1, 4, 4] -> [B], squared distance of a tanh layer from a vector
    classifier.pt  [B, 1, 4, 4] -> [B, 3], logits
    features.pt    [B, 1, 4, 4] -> [B, 4, 4, 4], a convolution
    pair.pt        answers with two tensors
    mean.pt        [B, ...] -> [], one number for all
    raises.pt      an error of the module's own; asserts.pt an assertion
    detached.pt    [B, ...] -> [B] without a gradient; constant.pt the same whatever it is given
    two.pt         [B, ...] -> [2], for at least two samples
    three.pt       traced for three samples, and wrong for any other number
    hinge.pt       [B, ...] -> [B], zero and flat below a threshold that samples do not reach
    root.pt        [B, ...] -> [B], the root of the sum: no number where that is negative
    rough.pt       the root of zero: a number whose gradient is none
    state.pt       weights that torch.save wrote, and old.pt as it did before archives

Tensors are float64, named `<module>.<what>`: input, output and gradient of the sum of the output's squares by the input.
`head.*` is a reward head on the features: weights, biases and its answer to the input.
"""

import golden  # first: it sets the threads

import os

import torch

import splitmix

options = golden.options(__doc__, "scripts.safetensors", seed=2100)
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def values(offset, *shape):
    return torch.tensor(splitmix.unit(options.seed + offset, list(shape)))


class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(16, 5)
        self.layer.weight.data = values(0, 5, 16) / 4
        self.layer.bias.data = values(1, 5) / 4
        self.register_buffer("wanted", values(2, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (torch.tanh(self.layer(x.flatten(1))) - self.wanted).square().sum(1)


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(16, 3)
        self.layer.weight.data = values(3, 3, 16) / 4
        self.layer.bias.data = values(4, 3) / 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


class Features(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.layer.weight.data = values(5, 4, 1, 3, 3) / 3
        self.layer.bias.data = values(6, 4) / 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(x))


class Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return x, x


class Mean(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean()


class Raises(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() > 0:
            raise ValueError("no face was found")
        return x


class Asserts(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 0, "needs a face"
        return x


class Detached(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach().flatten(1).square().sum(1)


class Constant(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(x.size(0), dtype=x.dtype)


class Two(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).square().sum(1)[:2]


class Three(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(3, 16).square().sum(1)


class Hinge(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x.flatten(1).sum(1) - 1e6)


class Root(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).sum(1).sqrt()


class Rough(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (0 * x.flatten(1).sum(1)).sqrt()


folder = os.path.join(os.path.dirname(options.out), "scripts")
os.makedirs(folder, exist_ok=True)
tensors = {}
x = values(7, 6, 1, 4, 4)
for name, made in dict(loss=Loss, classifier=Classifier, features=Features, pair=Pair, mean=Mean).items():
    module = made().eval()
    torch.jit.script(module).save(os.path.join(folder, f"{name}.pt"))
    if name in ("pair", "mean"):
        continue
    point = x.clone().requires_grad_()
    output = module(point)
    (gradient,) = torch.autograd.grad(output.square().sum(), point)
    tensors |= {f"{name}.input": x, f"{name}.output": output, f"{name}.gradient": gradient}

others = dict(
    raises=Raises, asserts=Asserts, detached=Detached, constant=Constant, two=Two, hinge=Hinge, root=Root, rough=Rough)
for name, made in others.items():
    torch.jit.script(made()).save(os.path.join(folder, f"{name}.pt"))
torch.jit.trace(Three(), x[:3]).save(os.path.join(folder, "three.pt"))
torch.save(Loss().state_dict(), os.path.join(folder, "state.pt"))
torch.save(Loss().state_dict(), os.path.join(folder, "old.pt"), _use_new_zipfile_serialization=False)

head = [(values(8, 7, 64) / 8, values(9, 7) / 4), (values(10, 1, 7) / 3, values(11, 1))]
hidden = tensors["features.output"].flatten(1)
for index, (weight, bias) in enumerate(head):
    tensors |= {f"head.{index}.weight": weight, f"head.{index}.bias": bias}
    hidden = hidden @ weight.T + bias
tensors["head.output"] = hidden[:, 0]
hidden = tensors["features.output"].flatten(1)
hidden = torch.relu(hidden @ head[0][0].T + head[0][1]) @ head[1][0].T + head[1][1]
tensors["head.relu"] = hidden[:, 0]

golden.save(options.out, tensors, {"torch": torch.__version__, "seed": options.seed})
