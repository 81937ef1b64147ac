"""Ordinary tensor operations by PyTorch, for the tests of a Tensor type: tensor.safetensors.

Metadata `cases` is a list of {name, op, args, inputs, output}: `inputs` names the stored tensors in order, `args` holds
the scalars by PyTorch's names, `output` names the result (`out.<name>`).  Inputs are `in.<name>`, with `.float32`
appended for the rounded ones.  Where an operation has several results the op says which: `sort.values`.
A case whose name ends in `.float32` repeats the one without, with its own truth in float32.
The ops mean what torch.<op> or torch.nn.functional.<op> means, but for:

    cat, stack              the inputs in order
    eigh.reconstruct        V diag(lambda) V^T, which is the symmetric input again; likewise svd.reconstruct and qr.reconstruct
    qr.r                    signs as LAPACK leaves them; |R| is unique
    rms_norm                x / sqrt(mean(x^2 over the last dimension) + eps) times weight: no batch statistics
    upsample_nearest        scale_factor, on the last two dimensions
    gelu.tanh               the tanh approximation
"""

import golden  # first: it sets the threads

import numpy as np
import torch
import torch.nn.functional as F

import splitmix

torch.set_num_threads(1)

inputs, outputs, cases = {}, {}, []


def fill_inputs(seed):
    """The pool all cases draw from."""
    shapes = {
        "a": [2, 3, 4], "b": [2, 3, 4], "row": [4], "column": [3, 1], "outer": [2, 1, 1], "scalar": [], "wide": [3, 5],
        "m34": [3, 4], "m45": [4, 5], "batch34": [2, 3, 4], "batch45": [2, 4, 5], "vector4": [4], "vector5": [5],
        "square": [4, 4], "squares": [2, 3, 3], "rhs": [4, 2], "tall": [6, 3], "tallrhs": [6, 2],
        "image": [2, 4, 5, 4], "kernel": [6, 4, 3, 3], "grouped": [6, 2, 3, 3], "depthwise": [4, 1, 3, 3],
        "kernel1": [5, 4, 1, 1], "transposed": [4, 3, 3, 3], "transposed4": [4, 3, 4, 4], "bias6": [6], "bias3": [3],
        "channels": [4], "shifts": [4], "query": [2, 2, 5, 4], "key": [2, 2, 6, 4], "value": [2, 2, 6, 3],
    }
    for i, (name, shape) in enumerate(shapes.items()):
        inputs[name] = splitmix.unit(seed + i, shape)
    inputs["positive"] = np.abs(inputs["a"]) + 0.1
    inputs["symmetric"] = (inputs["square"] + inputs["square"].T) / 2
    inputs["definite"] = inputs["square"] @ inputs["square"].T + 0.5 * np.eye(4)
    inputs["definites"] = inputs["squares"] @ inputs["squares"].transpose(0, 2, 1) + 0.5 * np.eye(3)
    inputs["ties"] = np.array([[1.0, 3, 3, 0], [2, -1, 2, 2]])
    inputs["extreme"] = np.array([-800.0, -40, -5, -1e-3, -1e-9, 0, 1e-9, 1e-3, 5, 40, 800])
    inputs["small"] = np.array([-0.9, -1e-3, -1e-12, 0, 1e-12, 1e-3, 0.9])
    inputs["huge"] = np.array([[1e4, 1e4 + 1, -1e4], [-2e3, -2e3, -2e3]])
    inputs["infinite"] = np.array([[0.0, -np.inf, 1.0], [-np.inf, -np.inf, 2.0]])
    inputs["mask"] = inputs["a"] > 0.3
    inputs["rowmask"] = np.array([True, False, False, True])
    inputs["attention_mask"] = splitmix.uniform(seed + 90, [5, 6]) < 0.7
    inputs["attention_mask"][:, 0] = True
    inputs["indices"] = np.array([2, 0, 2])
    inputs["gather_indices"] = np.array([[[3, 0], [1, 1], [2, 3]], [[0, 0], [3, 2], [1, 0]]])
    inputs["classes"] = np.array([[0, 2], [1, 2]])


def case(name, op, names, f, both=False, **args):
    """Records one case: f of the named inputs and `args`; in float32 too where `both`."""
    for suffix, precision in (("", torch.float64), (".float32", torch.float32))[: 1 + both]:
        used = []
        for input_name in names:
            value = torch.from_numpy(np.asarray(inputs[input_name]))
            if suffix and value.dtype == torch.float64:
                input_name, value = input_name + suffix, value.to(precision)
                inputs[input_name] = value.numpy()
            used.append((f"in.{input_name}", value))
        result = f(*(value for _, value in used), **args)
        key = f"out.{name}{suffix}"
        assert key not in outputs, key
        outputs[key] = golden.array(result).copy()
        cases.append({"name": name + suffix, "op": op, "args": args, "inputs": [n for n, _ in used], "output": key})


def elementwise():
    binary = {
        "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
        "minimum": torch.minimum, "atan2": torch.atan2,
    }
    for op, f in binary.items():
        for other in ("b", "row", "column", "outer", "scalar"):
            case(f"{op}.{other}", op, ["a", other], f, both=other == "row" and op in ("add", "mul", "div"))
    case("sub.reversed", "sub", ["row", "a"], torch.sub)
    case("div.outer_product", "div", ["column", "row"], torch.div)
    case("pow.tensor", "pow", ["positive", "row"], torch.pow)
    case("pow.scalar", "pow", ["positive"], torch.pow, exponent=1.5)
    case("pow.integer", "pow", ["a"], torch.pow, exponent=3)
    for op in ("eq", "ne", "lt", "le", "gt", "ge"):
        case(op, op, ["ties", "row"], getattr(torch, op))
    for op in ("exp", "tanh", "sigmoid", "erf", "sin", "cos", "abs", "neg", "square", "sign", "floor", "ceil", "round"):
        case(op, op, ["a"], getattr(torch, op), both=op in ("exp", "tanh", "sigmoid", "erf", "sin"))
    for op in ("sqrt", "rsqrt", "log", "reciprocal"):
        case(op, op, ["positive"], getattr(torch, op), both=op == "log")
    for op in ("log1p", "expm1"):
        case(op, op, ["small"], getattr(torch, op), both=True)
    for op in ("softplus", "silu", "relu", "gelu", "logsigmoid"):
        case(op, op, ["a"], getattr(F, op), both=op in ("silu", "gelu"))
        case(f"{op}.extreme", op, ["extreme"], getattr(F, op))
    for op in ("tanh", "sigmoid", "erf", "erfc", "log1p", "expm1"):
        if op != "log1p":
            case(f"{op}.extreme", op, ["extreme"], getattr(torch, op))
    case("gelu.tanh", "gelu.tanh", ["a"], lambda x: F.gelu(x, approximate="tanh"))
    case("leaky_relu", "leaky_relu", ["a"], F.leaky_relu, negative_slope=0.2)
    case("elu", "elu", ["a"], F.elu)
    case("clamp", "clamp", ["a"], torch.clamp, min=-0.5, max=0.75)
    case("clamp.min", "clamp", ["a"], torch.clamp, min=0.25)


def reductions():
    for op in ("sum", "mean"):
        f = getattr(torch, op)
        case(f"{op}.all", op, ["a"], f, both=True)
        case(f"{op}.1", op, ["a"], f, dim=[1])
        case(f"{op}.last.keep", op, ["a"], f, dim=[-1], keepdim=True)
        case(f"{op}.0_2", op, ["a"], f, dim=[0, 2])
    case("prod.1", "prod", ["a"], torch.prod, dim=1)
    for op in ("var", "std"):
        f = getattr(torch, op)
        case(f"{op}.all", op, ["a"], f)
        case(f"{op}.2", op, ["a"], f, dim=[2], correction=1)
        case(f"{op}.0_1.population.keep", op, ["a"], f, dim=[0, 1], correction=0, keepdim=True)
    for op in ("amax", "amin"):
        case(f"{op}.all", op, ["a"], getattr(torch, op))
        case(f"{op}.1", op, ["a"], getattr(torch, op), dim=[1])
        case(f"{op}.0_2.keep", op, ["a"], getattr(torch, op), dim=[0, 2], keepdim=True)
    for op in ("max", "min"):
        for part in ("values", "indices"):
            case(f"{op}.{part}", f"{op}.{part}", ["a"], lambda x, dim, op=op, part=part: getattr(getattr(torch, op)(x, dim), part), dim=2)
    for op in ("argmax", "argmin"):
        case(f"{op}.all", op, ["a"], getattr(torch, op))
        case(f"{op}.1", op, ["a"], getattr(torch, op), dim=1)
        case(f"{op}.last.keep", op, ["a"], getattr(torch, op), dim=-1, keepdim=True)
    case("any", "any", ["mask"], torch.any, dim=1)
    case("all", "all", ["mask"], torch.all, dim=1)
    case("logsumexp.2", "logsumexp", ["a"], torch.logsumexp, both=True, dim=[2])
    case("logsumexp.0_1.keep", "logsumexp", ["a"], torch.logsumexp, dim=[0, 1], keepdim=True)
    case("logsumexp.huge", "logsumexp", ["huge"], torch.logsumexp, dim=[1])
    case("logsumexp.infinite", "logsumexp", ["infinite"], torch.logsumexp, dim=[1])
    for op in ("softmax", "log_softmax"):
        case(f"{op}.last", op, ["a"], getattr(torch, op), both=True, dim=-1)
        case(f"{op}.0", op, ["a"], getattr(torch, op), dim=0)
        case(f"{op}.huge", op, ["huge"], getattr(torch, op), dim=1)
        case(f"{op}.infinite", op, ["infinite"], getattr(torch, op), dim=1)
    case("cumsum.1", "cumsum", ["a"], torch.cumsum, both=True, dim=1)
    case("cumsum.last", "cumsum", ["a"], torch.cumsum, dim=-1)
    case("cumprod.0", "cumprod", ["a"], torch.cumprod, dim=0)
    case("diff.last", "diff", ["a"], torch.diff, dim=-1)
    case("norm.all", "norm", ["a"], torch.linalg.vector_norm, ord=2)
    case("norm.1", "norm", ["a"], torch.linalg.vector_norm, both=True, ord=2, dim=[1])
    case("norm.1_2.keep", "norm", ["a"], torch.linalg.vector_norm, ord=2, dim=[1, 2], keepdim=True)
    case("norm.one", "norm", ["a"], torch.linalg.vector_norm, ord=1, dim=[-1])


def products():
    case("matmul", "matmul", ["m34", "m45"], torch.matmul, both=True)
    case("matmul.batched", "matmul", ["batch34", "batch45"], torch.matmul, both=True)
    case("matmul.broadcast", "matmul", ["batch34", "m45"], torch.matmul)
    case("matmul.broadcast_left", "matmul", ["m34", "batch45"], torch.matmul)
    case("matmul.matrix_vector", "matmul", ["m34", "vector4"], torch.matmul)
    case("matmul.vector_matrix", "matmul", ["vector4", "m45"], torch.matmul)
    case("matmul.batched_vector", "matmul", ["batch34", "vector4"], torch.matmul)
    case("matmul.dot", "matmul", ["vector4", "row"], torch.matmul)
    einsum = lambda *xs, equation: torch.einsum(equation, *xs)
    for name, names, equation in [
        ("matmul", ["m34", "m45"], "ij,jk->ik"), ("batched", ["batch34", "batch45"], "bij,bjk->bik"),
        ("inner", ["a", "b"], "bij,bij->b"), ("outer", ["vector4", "vector5"], "i,j->ij"), ("trace", ["square"], "ii->"),
        ("diagonal", ["squares"], "bii->bi"), ("transpose", ["a"], "ijk->kji"), ("three", ["m34", "square", "m45"], "ij,jk,kl->il"),
        ("ellipsis", ["image", "channels"], "bc...,c->b..."), ("sum", ["a"], "ijk->j"),
    ]:
        case(f"einsum.{name}", "einsum", names, einsum, both=name == "batched", equation=equation)


def shapes():
    case("transpose", "transpose", ["a"], torch.transpose, dim0=0, dim1=2)
    case("transpose.negative", "transpose", ["a"], torch.transpose, dim0=-1, dim1=-2)
    case("permute", "permute", ["a"], torch.permute, dims=[2, 0, 1])
    case("reshape", "reshape", ["a"], torch.reshape, shape=[4, 6])
    case("reshape.inferred", "reshape", ["a"], torch.reshape, shape=[2, -1])
    case("reshape.transposed", "reshape.transposed", ["a"], lambda x, dim0, dim1, shape: x.transpose(dim0, dim1).reshape(shape), dim0=0, dim1=2, shape=[3, 8])
    case("expand", "expand", ["column"], lambda x, size: x.expand(size), size=[2, 3, 4])
    case("squeeze", "squeeze", ["outer"], torch.squeeze, dim=1)
    case("unsqueeze", "unsqueeze", ["m34"], torch.unsqueeze, dim=1)
    case("flatten", "flatten", ["a"], torch.flatten, start_dim=1, end_dim=2)
    case("cat.0", "cat", ["a", "b"], lambda *xs, dim: torch.cat(xs, dim), dim=0)
    case("cat.last", "cat", ["m34", "wide", "column"], lambda *xs, dim: torch.cat(xs, dim), dim=-1)
    case("stack.0", "stack", ["a", "b"], lambda *xs, dim: torch.stack(xs, dim), dim=0)
    case("stack.2", "stack", ["a", "b", "positive"], lambda *xs, dim: torch.stack(xs, dim), dim=2)
    case("narrow", "narrow", ["a"], torch.narrow, dim=2, start=1, length=2)
    case("select", "select", ["a"], torch.select, dim=1, index=-1)
    case("slice.step", "slice", ["a"], lambda x, dim, start, end, step: x[:, :, start:end:step], dim=2, start=0, end=4, step=2)
    case("chunk.last", "chunk", ["wide"], lambda x, chunks, dim, index: torch.chunk(x, chunks, dim)[index], chunks=2, dim=1, index=1)
    case("index_select.1", "index_select", ["a", "indices"], lambda x, i, dim: torch.index_select(x, dim, i), dim=1)
    case("gather.last", "gather", ["a", "gather_indices"], lambda x, i, dim: torch.gather(x, dim, i), dim=2)
    case("where", "where", ["mask", "a", "b"], torch.where)
    case("where.broadcast", "where", ["rowmask", "a", "column"], torch.where)
    case("masked_fill", "masked_fill", ["a", "mask"], torch.masked_fill, value=-2.5)
    case("masked_fill.broadcast", "masked_fill", ["a", "rowmask"], torch.masked_fill, value=float(7))
    case("flip", "flip", ["a"], torch.flip, dims=[0, 2])
    case("roll", "roll", ["a"], torch.roll, shifts=[1, -2], dims=[1, 2])
    case("repeat", "repeat", ["m34"], lambda x, repeats: x.repeat(repeats), repeats=[2, 1, 2])
    case("repeat_interleave", "repeat_interleave", ["m34"], torch.repeat_interleave, repeats=2, dim=1)
    case("tril", "tril", ["square"], torch.tril, diagonal=-1)
    case("triu", "triu", ["square"], torch.triu, diagonal=1)
    case("diag", "diag", ["vector4"], torch.diag)
    case("diagonal", "diagonal", ["squares"], torch.diagonal, dim1=1, dim2=2)
    case("one_hot", "one_hot", ["classes"], F.one_hot, num_classes=4)
    case("pad", "pad", ["m34"], F.pad, pad=[1, 2, 0, 1], value=0.5)
    case("unfold", "unfold", ["image"], F.unfold, kernel_size=[3, 2], stride=2, padding=1)
    for descending in (False, True):
        for part in ("values", "indices"):
            name = f"sort.{part}" + (".descending" if descending else "")
            case(name, f"sort.{part}", ["a"], lambda x, part=part, **k: getattr(torch.sort(x, **k), part), dim=1, descending=descending)
    case("argsort.stable", "argsort", ["ties"], torch.argsort, dim=1, stable=True)
    for largest in (True, False):
        for part in ("values", "indices"):
            name = f"topk.{part}" + ("" if largest else ".smallest")
            case(name, f"topk.{part}", ["a"], lambda x, part=part, **k: getattr(torch.topk(x, **k), part), k=2, dim=-1, largest=largest)


def linear_algebra():
    linalg = torch.linalg
    case("solve", "solve", ["square", "rhs"], linalg.solve, both=True)
    case("solve.vector", "solve", ["square", "vector4"], linalg.solve)
    case("eigh.values", "eigh.values", ["symmetric"], linalg.eigvalsh, both=True)
    case("eigh.values.batched", "eigh.values", ["definites"], linalg.eigvalsh)

    def eigh(x):
        values, vectors = linalg.eigh(x)
        return vectors @ torch.diag_embed(values) @ vectors.mT

    case("eigh.reconstruct", "eigh.reconstruct", ["symmetric"], eigh)
    case("cholesky", "cholesky", ["definite"], linalg.cholesky, both=True)
    case("cholesky.batched", "cholesky", ["definites"], linalg.cholesky)
    case("inv", "inv", ["square"], linalg.inv)
    case("inv.batched", "inv", ["squares"], linalg.inv)
    case("det", "det", ["square"], linalg.det)
    case("det.batched", "det", ["squares"], linalg.det)
    case("slogdet.sign", "slogdet.sign", ["squares"], lambda x: linalg.slogdet(x).sign)
    case("slogdet.logabsdet", "slogdet.logabsdet", ["squares"], lambda x: linalg.slogdet(x).logabsdet)
    case("qr.r", "qr.r", ["tall"], lambda x: linalg.qr(x).R)
    case("qr.reconstruct", "qr.reconstruct", ["tall"], lambda x: linalg.qr(x).Q @ linalg.qr(x).R)
    case("svd.values", "svd.values", ["tall"], linalg.svdvals, both=True)

    def svd(x):
        u, s, vh = linalg.svd(x, full_matrices=False)
        return u * s @ vh

    case("svd.reconstruct", "svd.reconstruct", ["tall"], svd)
    case("lstsq", "lstsq", ["tall", "tallrhs"], lambda a, b: linalg.lstsq(a, b).solution)
    case("trace", "trace", ["square"], torch.trace)
    case("matrix_exp", "matrix_exp", ["squares"], linalg.matrix_exp)
    case("triangular_solve", "triangular_solve", ["square", "rhs"], lambda a, b, upper: linalg.solve_triangular(a, b, upper=upper), upper=True)


def layers():
    case("linear", "linear", ["a", "m34", "bias3"], F.linear, both=True)
    case("conv2d", "conv2d", ["image", "kernel", "bias6"], F.conv2d, both=True, stride=1, padding=0)
    case("conv2d.padded", "conv2d", ["image", "kernel", "bias6"], F.conv2d, stride=1, padding=1)
    case("conv2d.strided", "conv2d", ["image", "kernel"], F.conv2d, both=True, stride=2, padding=1)
    case("conv2d.grouped", "conv2d", ["image", "grouped", "bias6"], F.conv2d, stride=1, padding=1, groups=2)
    case("conv2d.depthwise", "conv2d", ["image", "depthwise"], F.conv2d, stride=1, padding=1, groups=4)
    case("conv2d.dilated", "conv2d", ["image", "kernel"], F.conv2d, stride=1, padding=2, dilation=2)
    case("conv2d.pointwise", "conv2d", ["image", "kernel1"], F.conv2d, stride=1, padding=0)
    case("conv_transpose2d", "conv_transpose2d", ["image", "transposed", "bias3"], F.conv_transpose2d, stride=1, padding=1)
    case("conv_transpose2d.strided", "conv_transpose2d", ["image", "transposed4", "bias3"], F.conv_transpose2d, stride=2, padding=1)
    case("conv_transpose2d.output_padding", "conv_transpose2d", ["image", "transposed"], F.conv_transpose2d, stride=2, padding=1, output_padding=1)
    case("avg_pool2d", "avg_pool2d", ["image"], F.avg_pool2d, kernel_size=2, stride=2)
    case("avg_pool2d.overlapping", "avg_pool2d", ["image"], F.avg_pool2d, kernel_size=3, stride=2)
    case("max_pool2d", "max_pool2d", ["image"], F.max_pool2d, kernel_size=2, stride=2)
    upsample = lambda x, scale_factor: F.interpolate(x, scale_factor=scale_factor, mode="nearest")
    case("upsample_nearest", "upsample_nearest", ["image"], upsample, scale_factor=2)
    case("group_norm", "group_norm", ["image", "channels", "shifts"], lambda x, w, b, num_groups, eps: F.group_norm(x, num_groups, w, b, eps), both=True, num_groups=2, eps=1e-5)
    case("group_norm.plain", "group_norm", ["image"], lambda x, num_groups, eps: F.group_norm(x, num_groups, eps=eps), num_groups=4, eps=1e-6)
    case("layer_norm", "layer_norm", ["a", "channels", "shifts"], lambda x, w, b, normalized_shape, eps: F.layer_norm(x, normalized_shape, w, b, eps), both=True, normalized_shape=[4], eps=1e-5)
    case("layer_norm.two", "layer_norm", ["a"], lambda x, normalized_shape, eps: F.layer_norm(x, normalized_shape, eps=eps), normalized_shape=[3, 4], eps=1e-6)
    case("rms_norm", "rms_norm", ["a", "channels"], lambda x, w, normalized_shape, eps: F.rms_norm(x, normalized_shape, w, eps), both=True, normalized_shape=[4], eps=1e-6)
    attend = F.scaled_dot_product_attention
    case("attention", "scaled_dot_product_attention", ["query", "key", "value"], attend, both=True)
    case("attention.scaled", "scaled_dot_product_attention", ["query", "key", "value"], attend, scale=0.3)
    case("attention.masked", "scaled_dot_product_attention", ["query", "key", "value", "attention_mask"], attend)
    case("attention.causal", "scaled_dot_product_attention", ["query", "key", "value"], attend, is_causal=True)
    case("embedding", "embedding", ["classes", "m34"], F.embedding)
    case("mse_loss", "mse_loss", ["a", "b"], F.mse_loss)
    case("smooth_l1_loss", "smooth_l1_loss", ["a", "b"], F.smooth_l1_loss, beta=0.1)
    case("cross_entropy", "cross_entropy", ["m34", "indices"], F.cross_entropy)
    case("cdist", "cdist", ["m34", "square"], torch.cdist)


def main():
    options = golden.options(__doc__.splitlines()[0], "tensor.safetensors", seed=300)
    fill_inputs(options.seed)
    for chapter in (elementwise, reductions, products, shapes, linear_algebra, layers):
        chapter()
    used = {name for case in cases for name in case["inputs"]}
    tensors = {f"in.{name}": value for name, value in inputs.items() if f"in.{name}" in used} | outputs
    metadata = {"cases": cases, "seed": str(options.seed), "torch": torch.__version__}
    print(f"{len(cases)} cases, {len({case['op'] for case in cases})} operations")
    golden.save(options.out, tensors, metadata)


if __name__ == "__main__":
    main()
