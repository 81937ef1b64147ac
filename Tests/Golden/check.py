"""Checks the committed golden files by routes that share nothing with the scripts that made them.

    exact_field   mpmath at 60 digits, by the uncentred formulas, with the generator in Python's own integers;
                  PyTorch's derivatives of log q in float64 where that would take too long
    engine        numpy forward passes, differentiated by complex steps and, for second derivatives, central differences of them
    mixture       central differences of log q at 100 digits, which alone is written, and Tweedie's formulas
    statistics    expectations by a sum for each component, in its own coordinates, all derivatives by PyTorch
    training      the formulas of AdamW in numpy, and the norm of all gradients as one vector
    transport     the linear programs by HiGHS; the form, the marginals and the value of plans with entropy
    tensor        every case again from its metadata alone, in numpy and scipy
"""

import golden  # first: it sets the threads

import json
import os

import mpmath
import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special
import torch
from safetensors import safe_open

mpmath.mp.dps = 60
beside = os.path.dirname(os.path.abspath(__file__))


def load(name):
    with safe_open(os.path.join(beside, f"{name}.safetensors"), "np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


def distance(found, truth):
    """max|err| / max|true|, with infinities that must be equal."""
    found, truth = np.asarray(found), np.asarray(truth)
    assert found.shape == truth.shape, (found.shape, truth.shape)
    if truth.dtype.kind in "bi":
        return float((found != truth).any())
    finite = np.isfinite(truth)
    assert (found[~finite] == truth[~finite]).all()
    if not finite.any():
        return 0.0
    error = float(abs(found[finite] - truth[finite]).max() / (abs(truth[finite]).max() or 1.0))
    assert np.isfinite(error)  # max() would overlook a NaN
    return error


# exact_field


def stream(seed, shape):
    """symmetric(seed, shape) by Python's integers."""
    mask, out = 2**64 - 1, []
    for i in range(int(np.prod(shape))):
        z = (seed + (i + 1) * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        out.append(2 * (((z ^ z >> 31) >> 11) * 2.0**-53) - 1)
    return np.array(out).reshape(shape)


def xor(values):
    word = 0
    for value in np.asarray(values, "<f8").ravel().view("<u8").tolist():
        word ^= value
    return f"{word:016x}"


def signal_and_noise(schedule, t):
    t = mpmath.mpf(t)
    total = mpmath.mpf(0.1) * t + (20 - mpmath.mpf(0.1)) * t**2 / 2
    if schedule in ("vp", "subvp"):
        tail = 1 - mpmath.exp(-total)
        return mpmath.exp(-total / 2), (mpmath.sqrt(tail) if schedule == "vp" else tail)
    return {"ve": (mpmath.mpf(1), mpmath.sqrt(t)), "edm": (mpmath.mpf(1), t), "flow": (1 - t, t)}[schedule]


def exact_by_mpmath(x, v, points, weights, alpha, sigma):
    """F1 as the specification prints it: squares first, subtracted afterwards, 60 digits to lose."""
    exact = lambda array: np.vectorize(mpmath.mpf, otypes=[object])(array)
    x, v, y, weights = exact(x), exact(v), exact(points), exact(weights)
    d, pi = len(x), weights / weights.sum()
    kept = [i for i in range(len(y)) if pi[i] > 0]
    l = [mpmath.log(pi[i]) - ((x - alpha * y[i]) ** 2).sum() / (2 * sigma**2) for i in kept]
    top = max(l)
    terms = [mpmath.exp(value - top) for value in l]
    total = mpmath.fsum(terms)
    w, y = np.array(terms, object) / total, y[kept]
    mean = w @ y
    trace = d / sigma**2 - alpha**2 / sigma**4 * (w @ (y * y).sum(axis=1) - mean @ mean)
    product = v / sigma**2 - alpha**2 / sigma**4 * ((w * (y @ v)) @ y - mean * (mean @ v))
    log_density = top + mpmath.log(total) - mpmath.mpf(d) / 2 * mpmath.log(2 * mpmath.pi * sigma**2)
    found = {
        "log_density": log_density, "score": (alpha * mean - x) / sigma**2, "posterior_mean": mean, "trace": trace, "matvec": product}
    return {name: np.array(value, dtype=np.float64) for name, value in found.items()}


def exact_by_autograd(x, v, points, weights, alpha, sigma):
    """Derivatives of log q, which is written once, in float64."""
    x, v, y = (torch.tensor(value, dtype=torch.float64) for value in (x, v, points))
    log_pi = torch.log(torch.tensor(weights) / weights.sum())
    alpha, sigma = float(alpha), float(sigma)

    def log_density(x):
        l = log_pi - (y - x / alpha).square().sum(dim=1) * (alpha / sigma) ** 2 / 2
        return torch.logsumexp(l, dim=0) - len(x) / 2 * np.log(2 * np.pi * sigma**2)

    score, product = torch.func.jvp(torch.func.grad(log_density), (x,), (v,))
    out = {"log_density": log_density(x), "score": score, "posterior_mean": (sigma**2 * score + x) / alpha, "matvec": -product}
    if len(x) <= 64:
        out["trace"] = -torch.trace(torch.func.hessian(log_density)(x))
    return {name: value.numpy() for name, value in out.items()}


def check_exact_field():
    tensors, metadata = load("exact_field")
    groups = {group["name"]: group for group in json.loads(metadata["groups"])}
    worst, counts = {}, {}
    points = {name: stream(g["seed_points"], [g["points"], g["dimension"]]) for name, g in groups.items()}
    for name, group in groups.items():
        assert xor(points[name]) == group["points_xor"]
    for case in json.loads(metadata["cases"]):
        name, index = case["group"], case["index"]
        N, d, B = (groups[name][key] for key in ("points", "dimension", "queries"))
        alpha, sigma = signal_and_noise(case["schedule"], case["t"])
        assert (float(alpha), float(sigma)) == (case["alpha"], case["sigma"])
        y = points[name]
        noise = np.sqrt(3.0) * stream(case["seed_eps"], [B, d])
        x = np.stack([float(alpha) * y[7919 * b % N] + float(sigma) * noise[b] for b in range(B)])
        if case["far"]:
            x[-1] = float(alpha) * (3 * stream(case["seed_eps"] + 1, [d]))
        assert xor(x) == case["x_xor"]
        if d <= 64:
            assert (x == tensors[f"{name}.x"][index]).all()
        v = stream(case["seed_v"], [B, d])
        weights = (stream(case["seed_weights"], [N]) + 1) / 2 + 0.1
        if case["weighting"] == "none":
            weights = np.ones(N)
        if case["weighting"] == "zeros":
            weights[[i for i in range(N) if i % 3 == 2]] = 0
        # Sixty-digit arithmetic costs microseconds an operation: everything small, and a sample of the rest.
        small = N * d <= 600 or (N * d <= 20000 and index % 9 == 4)
        method = exact_by_mpmath if small else exact_by_autograd
        counts[method.__name__] = counts.get(method.__name__, 0) + 1
        for b in range(B if N * d <= 600 else 1):
            found = method(x[b], v[b], y, weights, alpha, sigma)
            for key, value in found.items():
                error = distance(value, tensors[f"{name}.{key}"][index][b])
                at = f"{key}, {name} {case['schedule']} k {case['k']:g} query {b}"
                worst[method.__name__] = max(worst.get(method.__name__, (0,)), (error, at))
    for method, (error, at) in worst.items():
        print(f"exact_field, {counts[method]} cases {method}: worst max|err|/max|true| {error:.1e} ({at})", flush=True)
    assert worst["exact_by_mpmath"][0] < 1e-15 and worst["exact_by_autograd"][0] < 1e-6


# mixture


def kernel_of(schedule, t):
    """(alpha, sigma) of the schedules that exact_field lacks."""
    t, pi = mpmath.mpf(t), mpmath.pi
    if schedule == "trig":
        return mpmath.sin(pi / 2 * (1 - t)), mpmath.sin(pi / 2 * t)
    if schedule == "ve-geometric":
        return mpmath.mpf(1), mpmath.sqrt(mpmath.expm1(2 * t * mpmath.log(5000))) / 100
    if schedule in ("vp", "subvp", "ve", "edm", "flow"):
        decimal = {"vp": 1, "subvp": 1}.get(schedule, 0)
        if not decimal:
            return signal_and_noise(schedule, t)
        left = mpmath.exp(-(2 * t + 199 * t**2) / 20)
        return mpmath.sqrt(left), (mpmath.sqrt(1 - left) if schedule == "vp" else 1 - left)
    # What is left of the signal's power, a product of 1 - beta.
    ramp = lambda i, first, last: mpmath.mpf(first) + (mpmath.mpf(last) - mpmath.mpf(first)) * i / 999
    angle = lambda i: (mpmath.mpf(i) / 1000 + mpmath.mpf("0.008")) / mpmath.mpf("1.008") * pi / 2
    beta = {
        "ddpm-linear": lambda i: ramp(i, "0.0001", "0.02"),
        "scaled-linear": lambda i: ramp(i, mpmath.sqrt("0.00085"), mpmath.sqrt("0.012")) ** 2,
        "ddpm-cosine": lambda i: min(
            (mpmath.cos(2 * angle(i)) - mpmath.cos(2 * angle(i + 1))) / (1 + mpmath.cos(2 * angle(i))), mpmath.mpf("0.999")),
    }[schedule]
    i = min(int(t), 998)
    powers = mpmath.fprod(1 - beta(j) for j in range(i + 1))
    powers *= (1 - beta(i + 1)) ** (t - i)
    return mpmath.sqrt(powers), mpmath.sqrt(1 - powers)


def mixture_by_differences(x, v, weights, means, covariances, alpha, sigma):
    exact = lambda array: np.vectorize(mpmath.mpf, otypes=[object])(array)
    x, v, weights, means, d = exact(x), exact(v), exact(weights), exact(means), len(x)
    parts = []
    for weight, mean, covariance in zip(weights / weights.sum(), means, covariances):
        lower = mpmath.cholesky(mpmath.matrix((alpha**2 * covariance + sigma**2 * exact(np.eye(d))).tolist()))
        rows = np.array(lower.tolist(), object)
        constant = mpmath.log(weight) - mpmath.fsum(mpmath.log(2 * mpmath.pi * rows[i, i] ** 2) for i in range(d)) / 2
        parts.append((constant, alpha * mean, rows))

    def log_density(x):
        l = []
        for constant, centre, rows in parts:
            z, y = x - centre, np.empty(d, object)
            for i in range(d):
                y[i] = (z[i] - rows[i, :i] @ y[:i]) / rows[i, i]
            l.append(constant - y @ y / 2)
        top = max(l)
        return top + mpmath.log(mpmath.fsum(mpmath.exp(value - top) for value in l))

    h, here = sigma * mpmath.mpf(10) ** -25, log_density(x)
    steps = h * exact(np.eye(d))
    ahead, behind = [log_density(x + e) for e in steps], [log_density(x - e) for e in steps]
    score = np.array([(a - b) / (2 * h) for a, b in zip(ahead, behind)])
    trace = -sum(a + b - 2 * here for a, b in zip(ahead, behind)) / h**2
    mixed = lambda e: sum(sign * log_density(x + e * sign + h * v) - sign * log_density(x + e * sign - h * v) for sign in (1, -1))
    product = np.array([-mixed(e) / (4 * h**2) for e in steps])
    gain = (sigma / alpha) ** 2
    found = {
        "log_density": here, "score": score, "posterior_mean": (x + sigma**2 * score) / alpha, "trace": trace, "matvec": product,
        "covariance_trace": gain * (d - sigma**2 * trace), "covariance_product": gain * (v - sigma**2 * product)}
    return {name: np.array(value, dtype=np.float64) for name, value in found.items()}


def check_mixture():
    tensors, metadata = load("mixture")
    cases, worst = json.loads(metadata["cases"]), (0.0, "")
    for case in cases:
        part = lambda name: tensors[f"{case['group']}.{name}"]
        alpha, sigma = kernel_of(case["schedule"], case["t"])
        assert abs(float(alpha) / case["alpha"] - 1) < 1e-15 and abs(float(sigma) / case["sigma"] - 1) < 1e-15, case
        B, d = part("x")[case["index"]].shape
        if case["form"] == "full":
            covariances = [np.vectorize(mpmath.mpf, otypes=[object])(matrix) for matrix in part("covariances")]
        else:
            stds = part("stds") if case["form"] == "diagonal" else np.repeat(part("round")[:, None], d, axis=1)
            square = lambda value: mpmath.mpf(value) ** 2
            covariances = [np.diag([square(value) for value in row]) for row in stds]
        v = stream(case["seed_v"], [B, d])
        for b in range(B if d <= 3 else 1):
            with mpmath.workdps(100):
                found = mixture_by_differences(
                    part("x")[case["index"]][b], v[b], part("weights"), part("means"), covariances, alpha, sigma)
            for key, value in found.items():
                error = distance(value, part(key)[case["index"]][b])
                worst = max(worst, (error, f"{key}, {case['group']} {case['form']} {case['schedule']} k {case['k']:g} query {b}"))
    print(f"mixture, {len(cases)} cases: worst max|err|/max|true| {worst[0]:.1e} ({worst[1]})", flush=True)
    assert worst[0] < 1e-12, worst


# engine


def silu(x):
    return x / (1 + np.exp(-x))


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    (B, C, H, W), (O, I, R, S) = x.shape, w.shape
    h, l = (H - dilation * (R - 1) - 1) // stride + 1, (W - dilation * (S - 1) - 1) // stride + 1
    out = np.zeros((B, O, h, l), np.result_type(x, w))
    for o in range(O):
        first = o // (O // groups) * I
        for r in range(R):
            for s in range(S):
                patch = x[:, first : first + I, r * dilation :, s * dilation :][:, :, : stride * h : stride, : stride * l : stride]
                out[:, o] += np.einsum("bchw,c->bhw", patch, w[o, :, r, s])
    return out if b is None else out + b[:, None, None]


def group_norm(x, w=None, b=None, num_groups=1, eps=1e-5):
    g = x.reshape(x.shape[0], num_groups, -1)
    g = g - g.mean(axis=2, keepdims=True)
    out = (g / np.sqrt((g * g).mean(axis=2, keepdims=True) + eps)).reshape(x.shape)
    return out if w is None else out * w[:, None, None] + b[:, None, None]


def numpy_mlp(x, w0, b0, w1, b1, w2, b2):
    return silu(silu(x @ w0.T + b0) @ w1.T + b1) @ w2.T + b2


def numpy_conv(x, w0, b0, scale, shift, w1, b1):
    return conv2d(silu(group_norm(conv2d(x, w0, b0, padding=1), scale, shift, 4)), w1, b1, padding=1)


def check_engine():
    tensors, _ = load("engine")
    worst = (0.0, "")
    for network, f, weights in (("mlp", numpy_mlp, 6), ("conv", numpy_conv, 6)):
        get = lambda name: tensors[f"{network}.float64.{name}"]
        for name in ["input", "cotangent", "direction", "directions"] + [f"weight{i}" for i in range(weights)]:
            assert (get(name) == tensors[f"{network}.float32.{name}"]).all()
        names = ["input"] + [f"weight{i}" for i in range(weights)]
        arguments = [get(name) for name in names]
        u, v, i_h = get("cotangent"), get("direction"), 1e-30j
        along = lambda arguments, v: f(arguments[0] + i_h * v, *arguments[1:]).imag / 1e-30

        def partials(scalar, position, step):
            """The derivative of scalar(arguments) by every element of one argument."""
            out = np.empty_like(arguments[position])
            for index in np.ndindex(out.shape):
                out[index] = scalar(position, index, step)
            return out

        def moved(position, index, amount):
            changed = [a.astype(np.result_type(a, amount)) for a in arguments]
            changed[position][index] += amount
            return changed

        found = {"forward": f(*arguments), "jvp": along(arguments, v)}
        found["vmap_jvp"] = np.stack([along(arguments, w) for w in get("directions")])
        h = 1e-3
        central = lambda g: (8 * (g(h) - g(-h)) - (g(2 * h) - g(-2 * h))) / (12 * h)
        for position, name in enumerate(names):
            found[f"vjp.{name}"] = partials(lambda p, i, _: (u * f(*moved(p, i, i_h))).sum().imag / 1e-30, position, 0)
            found[f"reverse_jvp.{name}"] = partials(
                lambda p, i, _: central(lambda s: (u * along(moved(p, i, s), v)).sum()), position, 0)
        energy = lambda p, i, s: (f(arguments[0] + s * v + i_h * one(i), *arguments[1:]) ** 2).sum().imag / 1e-30
        one = lambda i: np.where(np.arange(v.size).reshape(v.shape) == np.ravel_multi_index(i, v.shape), 1.0, 0.0)
        found["hvp"] = partials(lambda p, i, _: central(lambda s: energy(p, i, s)), 0, 0)
        if network == "mlp":
            rows = [along(arguments, np.eye(5)[j] * np.ones((4, 1))) for j in range(5)]
            found["jacobian"] = np.stack(rows, axis=2)
        stored = {key.split(".", 2)[2] for key in tensors if key.startswith(f"{network}.float64.")}
        assert stored == set(found) | set(names) | {"cotangent", "direction", "directions"}
        for name, value in found.items():
            error = distance(value, get(name))
            worst = max(worst, (error, f"{network}.{name}"))
    print(f"engine, {len(tensors)} tensors: worst max|err|/max|true| {worst[0]:.1e} ({worst[1]})", flush=True)
    assert worst[0] < 1e-9


# tensor


def tuple_of(dim):
    return None if dim is None else tuple(dim) if isinstance(dim, list) else dim


def unfold(x, kernel_size, stride, padding):
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    B, C, H, W = x.shape
    rows, columns = (range(0, n - k + 1, stride) for n, k in zip((H, W), kernel_size))
    patches = [x[:, :, r : r + kernel_size[0], c : c + kernel_size[1]].reshape(B, -1) for r in rows for c in columns]
    return np.stack(patches, axis=2)


def pool(x, kernel_size, stride, f):
    h, l = ((n - kernel_size) // stride + 1 for n in x.shape[2:])
    window = lambda r, c: x[:, :, r * stride : r * stride + kernel_size, c * stride : c * stride + kernel_size]
    return np.stack([np.stack([f(window(r, c), axis=(2, 3)) for c in range(l)], axis=-1) for r in range(h)], axis=-2)


def conv_transpose2d(x, w, b=None, stride=1, padding=0, output_padding=0):
    (B, C, H, W), (_, O, R, S) = x.shape, w.shape
    out = np.zeros((B, O, (H - 1) * stride + R + output_padding, (W - 1) * stride + S + output_padding))
    for r in range(H):
        for c in range(W):
            out[:, :, r * stride : r * stride + R, c * stride : c * stride + S] += np.einsum("bc,cors->bors", x[:, :, r, c], w)
    h, l = (n - 2 * padding for n in out.shape[2:])
    out = out[:, :, padding : padding + h, padding : padding + l]
    return out if b is None else out + b[:, None, None]


def layer_norm(x, w=None, b=None, normalized_shape=(), eps=1e-5):
    axes = tuple(range(-len(normalized_shape), 0))
    c = x - x.mean(axis=axes, keepdims=True)
    out = c / np.sqrt((c * c).mean(axis=axes, keepdims=True) + eps)
    return out if w is None else out * w + b


def attention(q, k, v, mask=None, scale=None, is_causal=False):
    logits = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = np.tril(np.ones(logits.shape[-2:], bool))
    if mask is not None:
        logits = np.where(mask, logits, -np.inf)
    return scipy.special.softmax(logits, axis=-1) @ v


def topk(x, k, dim, largest, part):
    order = np.argsort(-x if largest else x, axis=dim).take(range(k), axis=dim)
    return order if part == "indices" else np.take_along_axis(x, order, dim)


def ordered(x, dim, descending, part):
    return topk(x, x.shape[dim], dim, descending, part)


def single_or_batch(f):
    return lambda x: f(x) if x.ndim == 2 else np.stack([f(part) for part in x])


def softplus(x):
    return np.logaddexp(0, x)


def smooth_l1(a, b, beta):
    e = abs(a - b)
    return np.where(e < beta, e * e / (2 * beta), e - beta / 2).mean()


same = lambda x: x
normal = lambda x: scipy.special.ndtr(x)
reduce = lambda f: lambda x, dim=None, keepdim=False, **k: f(x, axis=tuple_of(dim), keepdims=keepdim, **k)
spread = lambda f: lambda x, dim=None, keepdim=False, correction=1: f(x, axis=tuple_of(dim), keepdims=keepdim, ddof=correction)
along = lambda f: lambda x, dim=None: f(x, axis=dim)
reference = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "maximum": np.maximum, "minimum": np.minimum,
    "atan2": np.arctan2, "pow": lambda x, y=None, exponent=None: x ** (y if exponent is None else exponent),
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "exp": np.exp, "tanh": np.tanh, "sigmoid": scipy.special.expit, "erf": scipy.special.erf, "erfc": scipy.special.erfc,
    "sin": np.sin, "cos": np.cos, "abs": np.abs, "neg": np.negative, "square": np.square, "sign": np.sign, "floor": np.floor,
    "ceil": np.ceil, "round": np.round, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "log": np.log,
    "reciprocal": lambda x: 1 / x, "log1p": np.log1p, "expm1": np.expm1, "softplus": softplus,
    "silu": lambda x: x * scipy.special.expit(x), "relu": lambda x: np.maximum(x, 0), "gelu": lambda x: x * normal(x),
    "gelu.tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "logsigmoid": lambda x: -softplus(-x), "leaky_relu": lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)), "clamp": lambda x, min=None, max=None: np.clip(x, min, max),
    "sum": reduce(np.sum), "mean": reduce(np.mean), "prod": reduce(np.prod), "var": spread(np.var), "std": spread(np.std),
    "amax": reduce(np.max), "amin": reduce(np.min), "max.values": along(np.max), "max.indices": along(np.argmax),
    "min.values": along(np.min), "min.indices": along(np.argmin), "argmax": reduce(np.argmax), "argmin": reduce(np.argmin),
    "any": along(np.any), "all": along(np.all), "logsumexp": reduce(scipy.special.logsumexp),
    "softmax": along(scipy.special.softmax), "log_softmax": along(scipy.special.log_softmax), "cumsum": along(np.cumsum),
    "cumprod": along(np.cumprod), "diff": along(np.diff),
    "norm": lambda x, ord, **k: reduce(np.sum)(abs(x) ** ord, **k) ** (1 / ord),
    "matmul": np.matmul, "einsum": lambda *xs, equation: np.einsum(equation.replace(" ", ""), *xs),
    "transpose": lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1), "permute": lambda x, dims: np.transpose(x, dims),
    "reshape": lambda x, shape: x.reshape(shape),
    "reshape.transposed": lambda x, dim0, dim1, shape: np.swapaxes(x, dim0, dim1).reshape(shape),
    "expand": lambda x, size: np.broadcast_to(x, size), "squeeze": along(np.squeeze), "unsqueeze": lambda x, dim: np.expand_dims(x, dim),
    "flatten": lambda x, start_dim, end_dim: x.reshape(x.shape[:start_dim] + (-1,) + x.shape[end_dim + 1 :]),
    "cat": lambda *xs, dim: np.concatenate(xs, dim), "stack": lambda *xs, dim: np.stack(xs, dim),
    "narrow": lambda x, dim, start, length: x.take(range(start, start + length), dim), "select": lambda x, dim, index: x.take(index, dim),
    "slice": lambda x, dim, start, end, step: x.take(range(start, end, step), dim),
    "chunk": lambda x, chunks, dim, index: x.take(range(index * -(-x.shape[dim] // chunks), x.shape[dim]), dim),
    "index_select": lambda x, i, dim: x.take(i, dim), "gather": lambda x, i, dim: np.take_along_axis(x, i, dim),
    "where": np.where, "masked_fill": lambda x, mask, value: np.where(mask, value, x), "flip": lambda x, dims: np.flip(x, dims),
    "roll": lambda x, shifts, dims: np.roll(x, shifts, dims), "repeat": lambda x, repeats: np.tile(x, repeats),
    "repeat_interleave": lambda x, repeats, dim: np.repeat(x, repeats, dim), "tril": lambda x, diagonal: np.tril(x, diagonal),
    "triu": lambda x, diagonal: np.triu(x, diagonal), "diag": np.diag, "diagonal": lambda x, dim1, dim2: np.diagonal(x, 0, dim1, dim2),
    "one_hot": lambda x, num_classes: np.eye(num_classes, dtype=np.int64)[x],
    "pad": lambda x, pad, value: np.pad(x, [pad[2:], pad[:2]], constant_values=value), "unfold": unfold,
    "sort.values": lambda x, **k: ordered(x, part="values", **k), "sort.indices": lambda x, **k: ordered(x, part="indices", **k),
    "argsort": lambda x, dim, stable: np.argsort(x, dim, stable=stable),
    "topk.values": lambda x, **k: topk(x, part="values", **k), "topk.indices": lambda x, **k: topk(x, part="indices", **k),
    "solve": lambda a, b: scipy.linalg.solve(a, b), "eigh.values": np.linalg.eigvalsh, "eigh.reconstruct": same,
    "cholesky": single_or_batch(lambda x: scipy.linalg.cholesky(x, lower=True)), "inv": np.linalg.inv, "det": np.linalg.det,
    "slogdet.sign": lambda x: np.sign(np.linalg.det(x)), "slogdet.logabsdet": lambda x: np.log(abs(np.linalg.det(x))),
    "qr.r": lambda x: scipy.linalg.qr(x, mode="r")[0][: x.shape[1]], "qr.reconstruct": same, "svd.reconstruct": same,
    "svd.values": lambda x: np.sqrt(np.linalg.eigvalsh(x.T @ x))[::-1], "lstsq": lambda a, b: np.linalg.solve(a.T @ a, a.T @ b),
    "trace": np.trace, "matrix_exp": scipy.linalg.expm,
    "triangular_solve": lambda a, b, upper: np.linalg.solve(np.triu(a) if upper else np.tril(a), b),
    "linear": lambda x, w, b: x @ w.T + b, "conv2d": conv2d, "conv_transpose2d": conv_transpose2d,
    "avg_pool2d": lambda x, **k: pool(x, f=np.mean, **k), "max_pool2d": lambda x, **k: pool(x, f=np.max, **k),
    "upsample_nearest": lambda x, scale_factor: x.repeat(scale_factor, 2).repeat(scale_factor, 3), "group_norm": group_norm,
    "layer_norm": layer_norm, "rms_norm": lambda x, w, normalized_shape, eps: x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * w,
    "scaled_dot_product_attention": attention, "embedding": lambda i, table: table[i], "mse_loss": lambda a, b: ((a - b) ** 2).mean(),
    "smooth_l1_loss": smooth_l1,
    "cross_entropy": lambda x, i: -np.take_along_axis(scipy.special.log_softmax(x, axis=1), i[:, None], 1).mean(),
    "cdist": lambda a, b: np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)),
}


def check_tensor():
    tensors, metadata = load("tensor")
    cases = json.loads(metadata["cases"])
    worst = {"float64": (0.0, ""), "float32": (0.0, "")}
    for case in cases:
        precision = "float32" if case["name"].endswith(".float32") else "float64"
        values = [tensors[name] for name in case["inputs"]]
        values = [value.astype(np.float64) if value.dtype.kind == "f" else value for value in values]
        with np.errstate(all="ignore"):
            found = reference[case["op"]](*values, **case["args"])
        output = tensors[case["output"]]
        assert output.dtype.kind in "bi" or output.dtype == precision, case
        worst[precision] = max(worst[precision], (distance(found, output), case["name"]))
    assert {case["op"] for case in cases} == set(reference)
    assert {name for case in cases for name in case["inputs"] + [case["output"]]} == set(tensors)
    for precision, (error, name) in worst.items():
        print(f"tensor, {precision}: worst max|err|/max|true| {error:.1e} ({name})")
    assert worst["float64"][0] < 1e-12 and worst["float32"][0] < 1e-5, worst


# training


def check_training():
    tensors, metadata = load("training")
    rates, options, norms = (json.loads(metadata[key]) for key in ("rates", "options", "norms"))
    worst = {}
    for precision, bound in (("float64", 1e-12), ("float32", 1e-5)):
        get = lambda what: [tensors[f"{precision}.{what}{i}"].astype(np.float64) for i in range(4)]
        error = 0.0
        for run, (beta1, beta2, epsilon, decay) in {"adam": (0.9, 0.999, 1e-8, 0.0), "adamw": options.values()}.items():
            theta, m, v = get("start"), [0.0] * 4, [0.0] * 4
            for n, rate in enumerate(rates, 1):
                g = get(f"gradient{n}.")
                m = [beta1 * a + (1 - beta1) * b for a, b in zip(m, g)]
                v = [beta2 * a + (1 - beta2) * b * b for a, b in zip(v, g)]
                for i in range(4):
                    step = (m[i] / (1 - beta1**n)) / (np.sqrt(v[i] / (1 - beta2**n)) + epsilon)
                    theta[i] = (1 - rate * decay) * theta[i] - rate * step
                error = max([error] + [distance(a, b) for a, b in zip(theta, get(f"{run}{n}."))])
        error = max([error] + [distance(a, b) for a, b in zip(m + v, get("adamw.first") + get("adamw.second"))])
        g = get("gradient1.")
        norm = np.sqrt(sum((part**2).sum() for part in g))
        error = max(error, abs(norm - norms[precision]) / norm)
        clipped = [part * min(1.0, norms["maximum"] / (norm + 1e-6)) for part in g]
        error = max([error] + [distance(a, b) for a, b in zip(clipped, get("clipped"))])
        worst[precision] = error
        assert error < bound, (precision, error)
    print(f"training: worst max|err|/max|true| {worst['float64']:.1e}, in float32 {worst['float32']:.1e}")


# transport


def linear_program(cost, a, b):
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    return scipy.optimize.linprog(
        cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=np.concatenate([a, b]), method="highs", options=tight).fun


def check_transport():
    tensors, metadata = load("transport")
    worst = 0.0
    for case in json.loads(metadata["cases"]):
        name, n, m, d = (case[key] for key in ("name", "n", "m", "d"))
        draw = lambda offset, shape: stream(case["seed"] + offset, shape)
        x, y = np.sqrt(3) * draw(0, [n, d]), np.sqrt(3) * draw(1, [m, d])
        a, b = np.ones(n), np.ones(m)
        if case["weighted"]:
            a, b = (draw(2, [n]) + 1) / 2 + 0.1, (draw(3, [m]) + 1) / 2 + 0.1
            a[1::5] = 0
        a, b = a / a.sum(), b / b.sum()
        cost = ((x[:, None] - y[None]) ** 2).sum(axis=2)
        if case["kind"] == "line":
            cost = abs(x - y.T) ** case["power"]
        value = tensors[f"{name}.value"]
        if case["kind"] == "assignment":
            columns = tensors[f"{name}.columns"]
            assert sorted(columns) == list(range(n))
            worst = max(worst, distance(cost[np.arange(n), columns].mean(), value))
        elif case["kind"] != "line":
            plan = tensors[f"{name}.plan"]
            worst = max(worst, abs(plan.sum(axis=1) - a).max(), abs(plan.sum(axis=0) - b).max())
        if case["kind"] == "sinkhorn":
            # f + g, which no combination of differences over a rectangle sees.
            kept = a > 0
            logs = np.log(plan[kept] / np.outer(a[kept], b)) + cost[kept] / case["epsilon"]
            worst = max(worst, abs(logs - logs[:1] - logs[:, :1] + logs[0, 0]).max() / abs(logs).max())
            worst = max(worst, distance(case["epsilon"] * (plan[kept] * logs).sum(), value))
        else:
            worst = max(worst, distance(linear_program(cost, a, b), value))
    print(f"transport: worst error {worst:.1e}")
    assert worst < 1e-9


# statistics


def check_statistics():
    tensors, _ = load("statistics")
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    means = torch.tensor([[2, 0], [-1, 1.5], [-0.5, -2]], dtype=torch.float64)
    spreads = torch.tensor(
        [[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.05], [-0.05, 0.4]], [[0.25, 0], [0, 0.15]]], dtype=torch.float64)
    line = np.arange(-8.5, 8.55, 0.1)
    mass = np.exp(-(line**2) / 2)
    plane = torch.tensor(np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2))
    mass = torch.tensor(np.outer(mass, mass).ravel() / mass.sum() ** 2)

    def totals(lam):
        return spreads + torch.exp(-2 * lam) * torch.eye(2, dtype=torch.float64)

    def data(y, lam):
        def log_density(y):
            parts = torch.distributions.MultivariateNormal(means, totals(lam)).log_prob(y) + weights.log()
            return torch.logsumexp(parts, 0)

        return y + torch.exp(-2 * lam) * torch.func.grad(log_density)(y)

    def cloud(lam):
        roots = torch.linalg.cholesky(totals(lam))
        return (means[:, None] + torch.einsum("kij,nj->kni", roots, plane)).reshape(-1, 2)

    share = (weights[:, None] * mass).reshape(-1, 1)

    def linear(lam):
        jacobians = torch.func.vmap(torch.func.jacrev(lambda y: y - data(y, lam)))(cloud(lam))
        return (share * torch.diagonal(jacobians, dim1=1, dim2=2)).sum(0)

    worst = 0
    for node in range(0, len(tensors["half_log_snr"]), 12):
        lam, one = torch.tensor(tensors["half_log_snr"][node]), torch.tensor(1.0, dtype=torch.float64)
        l, slope = torch.func.jvp(linear, (lam,), (one,))

        def remainder(y):
            velocity = data(y, lam) - y
            value = lambda y, lam, l: (1 - l) * y - data(y, lam)
            return torch.func.jvp(value, (y, lam, l), (velocity, one, slope))

        n, rate = torch.func.vmap(remainder)(cloud(lam))
        mean = lambda values: (share * values).sum(0)
        a = mean((n - mean(n)) * (rate - mean(rate))) / mean((n - mean(n)) ** 2)
        b = mean(rate) - a * mean(n)
        for name, value in (("l", l), ("a", a), ("b", b)):
            worst = max(worst, distance(value.numpy(), tensors[name][node]))
    print(f"statistics: worst error {worst:.1e}")
    assert worst < 1e-6


if __name__ == "__main__":
    check_statistics()
    check_transport()
    check_training()
    check_tensor()
    check_engine()
    check_exact_field()
    check_mixture()
