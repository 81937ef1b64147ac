"""What the schedulers of diffusers make of one model and one noise: schedulers.safetensors.

The package as it is, on float64 states; and with the same tables of noise levels, but all that follows from them in float64. A case is the content of a scheduler_config.json, with what is not a default, a number of
steps and what a pipeline passes to every step. The initial noise is unit(seed, [4, 2, 1, 2]), the n-th noise that a step asks for
unit(seed + n, ...), n = 1, 2, ...; where the package asks a Brownian motion in sigma for its normalised increments, the two of one
step share their first part, as they do there.

    cases (metadata)          [{"config": ..., "steps": n, "eta": ..., "mu": ...}, ...]
    samples [cases, 4, 2, 1, 2]
    precise                   in float64 behind the tables, whose roots and logarithms are rounded once
    timesteps                 those of `precise`, of all cases, one after the other; counts [cases] says how many each has

The model is the exact field of a mixture of two Gaussians in the form the configuration asks for, on the schedule of its betas in
float64, log alpha linear between timesteps; its last step is never without signal: for "epsilon" it has the trace the class puts there.

Without a model, as the package's own tests go: the answer is x t/(t + 1), the start arange(768)/768 as [8, 3, 8, 4] with its last
axis in front, times the first deviation.

    loops (metadata)          [{"config": ..., "steps": n, "sum": sum |x|, "mean": mean |x|, "published": [sum, mean], ...}, ...],
                              by steps in float64 and the noise of above; "bare" ones scale neither the start nor what is asked;
                              published numbers of "rescaling" ones are of a loop that steps from the scaled input, as no sampler does
    saved (metadata)          what each class writes of its defaults, by name

Published numbers are those of diffusers' tests; this script stops where the package does not make them with the noise they are for.
"""

import golden  # first: it sets the threads

import contextlib
import inspect
import itertools
import json
import sys
import warnings

import numpy as np
import torch


import diffusers
from diffusers.schedulers import scheduling_dpmsolver_sde as brownian

import splitmix

warnings.simplefilter("ignore")
diffusers.utils.logging.set_verbosity_error()

shape = [4, 2, 1, 2]
weights, means, variance = np.array([0.4, 0.6]), np.array([[-0.7, 0.5, 0.2, -0.3], [0.6, -0.4, 0.5, 0.4]]), 0.3**2


class Noise:
    """Hands out the recorded noise."""

    def __init__(self, seed, shape=shape):
        self.seed, self.count, self.shape = seed, 0, shape

    def __call__(self, *arguments, **options):
        self.count += 1
        return torch.from_numpy(splitmix.unit(self.seed + self.count, self.shape))

    def motion(self, x, sigma_min, sigma_max, seed=None):
        first = None

        def increment(sigma, to):
            nonlocal first
            sigma, to, draw = float(sigma), float(to), self()
            if first is None or first[0] != sigma:
                first = (sigma, to, draw)
                return draw
            # W(sigma) - W(to) over its length, from what is known up to the middle.
            _, middle, known = first
            first = None
            return (((sigma - middle) / (sigma - to)) ** 0.5) * known + (((middle - to) / (sigma - to)) ** 0.5) * draw

        return increment


def data(x, alpha, sigma):
    """E[x0 | alpha x0 + sigma noise = x]."""
    flat = x.reshape(len(x), -1)
    spread = alpha**2 * variance + sigma**2
    off = flat[:, None] - alpha * means
    logits = np.log(weights) - (off**2).sum(-1) / (2 * spread)
    r = np.exp(logits - logits.max(1, keepdims=True))
    r /= r.sum(1, keepdims=True)
    return ((r[..., None] * (means + alpha * variance / spread * off)).sum(1)).reshape(x.shape)


def variances(config):
    count = config.get("num_train_timesteps", 1000)
    heun = config["_class_name"] in (
        "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler")
    first = config.get("beta_start", 0.00085 if heun else 1e-4)
    last = config.get("beta_end", 0.012 if heun else 0.02)
    kind = config.get("beta_schedule", "linear")
    if config.get("rescale_betas_zero_snr") and config.get("prediction_type", "epsilon") == "epsilon":
        # sqrt(alpha bar) moved and stretched to end at 0, where a trace of signal is put.
        roots = np.sqrt(np.cumprod(1 - variances({**config, "rescale_betas_zero_snr": False})))
        roots = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
        roots[-1] = 2.0**-12
        return 1 - (roots / np.append(1, roots[:-1])) ** 2
    if "trained_betas" in config:
        return np.array(config["trained_betas"])
    if kind == "linear":
        return np.linspace(first, last, count)
    if kind == "scaled_linear":
        return np.linspace(first**0.5, last**0.5, count) ** 2
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-np.linspace(-6, 6, count))) * (last - first) + first
    bar = {
        "squaredcos_cap_v2": lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2, "exp": lambda u: np.exp(-12 * u),
    }[kind]
    u = np.arange(count + 1) / count
    return np.minimum(1 - bar(u[1:]) / bar(u[:-1]), 0.999)


def model(config):
    """(input, timestep) -> prediction, as the configured model would answer."""
    name, kind = config["_class_name"], config.get("prediction_type", "epsilon")
    if name.startswith(("EDM", "CM")):
        s = config.get("sigma_data", 0.5)

        def predict(x, t):
            sigma = np.exp(t / 250 if name.startswith("CM") else 4 * t)
            x = x * (sigma**2 + s**2) ** 0.5
            skip, out = s**2 / (sigma**2 + s**2), sigma * s / (sigma**2 + s**2) ** 0.5
            return (data(x, 1.0, sigma) - skip * x) / out * (-1 if kind == "v_prediction" else 1)

    elif config.get("timestep_type") == "continuous":

        def predict(x, t):
            sigma = np.exp(4 * t)
            alpha = (1 + sigma**2) ** -0.5
            x0 = data(x, alpha, sigma * alpha)
            return alpha * (x - alpha * x0) / (sigma * alpha) - sigma * alpha * x0

    elif name.startswith("Flow") or kind == "flow_prediction":
        count = config.get("num_train_timesteps", 1000)

        def predict(x, t):
            inverted = config.get("invert_sigmas", False)
            sigma = min(max(1 - t / count if inverted else t / count, 1e-5), 1 - 1e-5)
            x0 = data(x, 1 - sigma, sigma)
            velocity = (x - (1 - sigma) * x0) / sigma - x0
            return -velocity if inverted else velocity

    else:
        logs = 0.5 * np.cumsum(np.log1p(-variances(config)))

        def predict(x, t):
            alpha = np.exp(np.interp(t, np.arange(len(logs)), logs))
            sigma = np.sqrt(-np.expm1(2 * np.log(alpha)))
            x0 = data(x, alpha, sigma)
            noise = (x - alpha * x0) / sigma
            return {"epsilon": noise, "sample": x0, "v_prediction": alpha * noise - sigma * x0}[kind]

    return lambda x, t: torch.from_numpy(predict(np.asarray(x, dtype=np.float64), float(t)))


@contextlib.contextmanager
def drawing(scheduler, noise):
    """What draws noise is handed the recorded one."""
    module, draw, motion = sys.modules[type(scheduler).__module__], None, brownian.BrownianTreeNoiseSampler
    draw = getattr(module, "randn_tensor", None)
    module.randn_tensor, brownian.BrownianTreeNoiseSampler = noise, noise.motion
    try:
        yield
    finally:
        brownian.BrownianTreeNoiseSampler = motion
        if draw:
            module.randn_tensor = draw
        else:
            del module.randn_tensor


def walk(scheduler, case, seed):
    with drawing(scheduler, Noise(seed)):
        return walked(scheduler, case, seed)


def walked(scheduler, case, seed):
    options = {}
    if "eta" in case:
        options["eta"] = case["eta"]
    predict = model(case["config"])
    x = torch.from_numpy(splitmix.unit(seed, shape)) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(predict(scaled, t), t, x, **options).prev_sample.to(torch.float64)
    return x.numpy()


@contextlib.contextmanager
def rounded_once():
    """Roots and logarithms of float32 tables that are rounded once: the vectorised ones are some units in the last place off."""
    logarithm, tensor = np.log, torch.from_numpy
    power, root, method, single = torch.Tensor.__pow__, torch.sqrt, torch.Tensor.sqrt, torch.float32

    def rounded(x):
        return tensor(np.asarray(np.sqrt(x.numpy()))) if x.dtype == single else root(x)

    torch.Tensor.__pow__ = lambda x, exponent: rounded(x) if exponent == 0.5 else power(x, exponent)
    torch.sqrt = torch.Tensor.sqrt = rounded
    table = lambda x: isinstance(x, np.ndarray) and x.ndim > 0 and x.dtype == "float32"
    np.log = lambda x: logarithm(x.astype("float64")).astype("float32") if table(x) else logarithm(x)
    try:
        yield
    finally:
        torch.Tensor.__pow__, torch.sqrt, torch.Tensor.sqrt = power, root, method
        np.log = logarithm


@contextlib.contextmanager
def double_precision():
    """What asks for float32 gets float64."""
    single, tensor = (torch.float32, np.float32), torch.from_numpy
    torch.float32, np.float32 = torch.float64, np.float64
    torch.from_numpy = lambda x: tensor(x.astype("float64") if x.dtype == "float32" else x)
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.from_numpy, (torch.float32, np.float32) = tensor, single
        torch.set_default_dtype(torch.float32)


def class_of(name):
    return getattr(diffusers, name, None) or getattr(brownian, name)


def ready(scheduler, case):
    scheduler.set_timesteps(case["steps"], **({"mu": case["mu"]} if "mu" in case else {}))
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    return scheduler


def in_double(case, walk):
    """A walk with grids and steps in float64 behind the tables, and its scheduler."""
    single = torch.float32
    with rounded_once():
        scheduler = class_of(case["config"]["_class_name"]).from_config(dict(case["config"]))
        with double_precision():
            ready(scheduler, case)
            for key, value in vars(scheduler).items():
                if isinstance(value, torch.Tensor) and value.dtype == single:
                    setattr(scheduler, key, value.double())
            return walk(scheduler), scheduler


def run(case, seed):
    """The samples of the package; those of its tables, with grids and steps in float64, and their timesteps."""
    kind = class_of(case["config"]["_class_name"])
    samples = walk(ready(kind.from_config(dict(case["config"])), case), case, seed)
    precise, scheduler = in_double(case, lambda scheduler: walk(scheduler, case, seed))
    assert np.isfinite(samples).all() and np.isfinite(precise).all() and abs(samples).max() < 1e3, "no number"
    return samples, precise, np.array([float(t) for t in scheduler.timesteps])


def without_model(case, seed):
    """The case with sum and mean of |x| behind it, once the package has made the published ones."""

    def go(scheduler, dtype, rescaling=False, **options):
        x = (torch.arange(768, dtype=dtype) / 768).reshape(3, 8, 8, 4).permute(3, 0, 1, 2)
        bare = case.get("bare", False)
        x = x if bare else x * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") and not bare else x
            x = scaled if rescaling else x
            x = scheduler.step(scaled * t / (t + 1), t, x, **options).prev_sample
        return x.abs().sum().item(), x.abs().mean().item()

    def recorded(scheduler):
        with drawing(scheduler, Noise(seed, [4, 3, 8, 8])):
            return go(scheduler, torch.float64)

    scheduler = ready(class_of(case["config"]["_class_name"])(**case["config"]), case)
    random = "generator" in inspect.signature(scheduler.step).parameters
    found = go(scheduler, torch.float32, case.get("rescaling", False), **({"generator": torch.manual_seed(0)} if random else {}))
    for number, published, near in zip(found, case["published"], [1e-2, 5e-3]):
        assert published is None or abs(number - published) < max(near, 1e-5 * published), (case, found)
    (total, mean), _ = in_double(case, recorded)
    return {**case, "sum": total, "mean": mean}


def loops():
    """What diffusers' tests run without a model, and the sum and mean they publish."""

    def loop(name, steps, *numbers, bare=False, rescaling=False, **config):
        entry = {"config": {"_class_name": name + "Scheduler", **config}, "steps": steps, "published": list(numbers)}
        return {**entry, **({"bare": True} if bare else {}), **({"rescaling": True} if rescaling else {})}

    v, karras = {"prediction_type": "v_prediction"}, {"use_karras_sigmas": True}
    yield loop("DDIM", 10, 172.0067, 0.223967)
    yield loop("DDIM", 10, 52.5302, 0.0684, **v)
    yield loop("DDIM", 10, 149.8295, 0.1951, set_alpha_to_one=True, beta_start=0.01)
    yield loop("DDIM", 10, 149.0784, 0.1941, set_alpha_to_one=False, beta_start=0.01)
    yield loop("DDPM", 1000, 258.9606, 0.3372)
    yield loop("DDPM", 1000, 202.0296, 0.2631, **v)
    yield loop("PNDM", 10, 198.1318, 0.2580)
    yield loop("PNDM", 10, 67.3986, 0.0878, **v)
    yield loop("PNDM", 10, 230.0399, 0.2995, set_alpha_to_one=True, beta_start=0.01)
    yield loop("PNDM", 10, 186.9482, 0.2434, set_alpha_to_one=False, beta_start=0.01)
    yield loop("DEISMultistep", 10, None, 0.23916)
    yield loop("DEISMultistep", 10, None, 0.091, **v)
    low = {"final_sigmas_type": "sigma_min"}
    thresholds = {"thresholding": True, "dynamic_thresholding_ratio": 0.87, "sample_max_value": 0.5}
    for mean, more in [(0.3301, {}), (1.1364, thresholds), (0.2251, v), (0.2096, {**karras, **v}),
                       (0.1554, {"use_lu_lambdas": True, **v})]:
        yield loop("DPMSolverMultistep", 10, None, mean, lower_order_final=False, **low, **more)
    for mean, more in [(0.2791, {}), (0.2248, karras), (0.1453, v), (0.0649, {**karras, **v})]:
        yield loop("DPMSolverSinglestep", 10, None, mean, **low, **more)
    for mean, more in [(0.2464, {}), (0.2925, karras), (0.1014, v), (0.1966, {**karras, **v})]:
        yield loop("UniPCMultistep", 10, None, mean, **low, **more)
    late = {"num_train_timesteps": 1100, "beta_start": 0.0001, "beta_end": 0.02}
    for name, numbers in [
        ("EulerDiscrete", [(10.0807, 0.0131), (0.0002, 2.2676e-06), (124.522995, 0.162139)]),
        ("EulerAncestralDiscrete", [(152.3192, 0.1983), (108.4439, 0.1412)]),
        ("HeunDiscrete", [(0.1233, 0.0002), (4.6934e-07, 6.1112e-10), (0.00015, 1.98695e-07)]),
        ("KDPM2Discrete", [(20.4125, 0.0266), (4.6934e-07, 6.1112e-10)]),
        ("KDPM2AncestralDiscrete", [(13979.9433, 18.2030), (331.8133, 0.4320)]),
        ("LMSDiscrete", [(1006.388, 1.31), (0.0017, 2.2676e-06), (3812.9927, 4.9648)]),
    ]:
        for (total, mean), more in zip(numbers, [{}, v, karras]):
            yield loop(name, 10, total, mean, rescaling=True, **late, **more)
    yield loop("EDMEuler", 10, 34.1855, 0.044, num_train_timesteps=256)
    edm = {"lower_order_final": False, **low}
    for mean, more in [(0.0001, {}), (0.0080, thresholds), (0.0092, v)]:
        yield loop("EDMDPMSolverMultistep", 10, None, mean, bare=True, **edm, **more)
    yield loop("CMStochasticIterative", 1, 192.7614, 0.2510, num_train_timesteps=201)


counts, spacings = [5, 10, 25, 50], ["linspace", "leading", "trailing"]
discrete = {  # with the prediction types each offers
    "DDIM": ["epsilon", "v_prediction", "sample"], "DDPM": ["epsilon", "v_prediction", "sample"],
    "PNDM": ["epsilon", "v_prediction"], "DEISMultistep": ["epsilon", "v_prediction", "sample"],
    "DPMSolverMultistep": ["epsilon", "v_prediction", "sample"], "UniPCMultistep": ["epsilon", "v_prediction", "sample"],
    "DPMSolverSDE": ["epsilon", "v_prediction"], "EulerDiscrete": ["epsilon", "v_prediction", "sample"],
    "EulerAncestralDiscrete": ["epsilon", "v_prediction"], "HeunDiscrete": ["epsilon", "v_prediction", "sample"],
    "KDPM2Discrete": ["epsilon", "v_prediction"], "KDPM2AncestralDiscrete": ["epsilon", "v_prediction"],
    "LMSDiscrete": ["epsilon", "v_prediction", "sample"],
}
tables = [{"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]
stable = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
clipped = [
    {"clip_sample": False}, {"clip_sample_range": 0.5}, {"thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.5},
]
thresholds = {"thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.5}


def cases():
    def case(name, steps, eta=None, mu=None, **config):
        made = {"config": {"_class_name": f"{name}Scheduler", **config}, "steps": steps}
        passed = {"eta": eta, "mu": mu}
        return made | {key: value for key, value in passed.items() if value is not None}

    for (name, kinds), steps, spacing in itertools.product(discrete.items(), counts, spacings):
        for kind in kinds:
            # The grid of all, with the betas and the offset people use in every other one.
            more = stable | {"steps_offset": 1} if steps in (10, 50) else {}
            yield case(name, steps, timestep_spacing=spacing, prediction_type=kind, **more)
    for steps in counts:
        for kind in ["epsilon", "v_prediction", "sample"]:
            yield case("DPMSolverSinglestep", steps, prediction_type=kind)
        for kind in ["epsilon", "v_prediction"]:
            yield case("EDMEuler", steps, prediction_type=kind)
            yield case("EDMDPMSolverMultistep", steps, prediction_type=kind)
        yield case("FlowMatchEulerDiscrete", steps)
        yield case("FlowMatchHeunDiscrete", steps)
        if steps <= 40:
            yield case("CMStochasticIterative", steps)
    # What the defaults leave out, at two numbers of steps.
    for steps in (7, 20):
        for name in ["DDIM", "DDPM"]:
            for more in clipped:
                yield case(name, steps, **more)
            for beta in ["squaredcos_cap_v2", "scaled_linear"]:
                yield case(name, steps, beta_schedule=beta)
            for kind, spacing in [("v_prediction", "trailing"), ("sample", "linspace")]:
                yield case(name, steps, rescale_betas_zero_snr=True, prediction_type=kind, timestep_spacing=spacing)
            yield case(name, steps, num_train_timesteps=400)
            yield case(name, steps, trained_betas=np.linspace(2e-4, 0.04, 500).tolist(), num_train_timesteps=500)
        yield case("DDIM", steps, set_alpha_to_one=False, clip_sample=False, **stable, steps_offset=1)
        for eta in (0.4, 1.0):
            yield case("DDIM", steps, eta=eta)
            yield case("DDIM", steps, eta=eta, clip_sample=False, timestep_spacing="trailing")
        for kind in ["fixed_small_log", "fixed_large"]:
            for spacing in ["leading", "trailing"]:
                yield case("DDPM", steps, variance_type=kind, timestep_spacing=spacing)
        yield case("DDPM", steps, beta_schedule="sigmoid")
        for more in [{}, {"sample_max_value": 1.5}]:
            # A model that does not fit its schedule, so that estimates leave the range.
            yield case("DDIM", steps, thresholding=True, rescale_betas_zero_snr=True, prediction_type="v_prediction",
                       timestep_spacing="trailing", **more)
        for spacing in spacings:
            yield case("PNDM", steps, skip_prk_steps=True, steps_offset=1, timestep_spacing=spacing, **stable)
            yield case("PNDM", steps, skip_prk_steps=True, set_alpha_to_one=True, prediction_type="v_prediction", timestep_spacing=spacing)
        for name in ["DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "DPMSolverSDE", "EulerDiscrete", "HeunDiscrete",
                     "KDPM2Discrete", "KDPM2AncestralDiscrete", "LMSDiscrete", "UniPCMultistep"]:
            for table in tables:
                yield case(name, steps, **table, **stable)
                yield case(name, steps, **table)
            yield case(name, steps, beta_schedule="squaredcos_cap_v2")
        for name in ["DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep"]:
            for order in (1, 2, 3):
                for final in (True, False):
                    if final or name != "UniPCMultistep":
                        yield case(name, steps, solver_order=order, lower_order_final=final)
                        yield case(name, steps, solver_order=order, lower_order_final=final, **thresholds)
            yield case(name, steps, use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
        for name in ["DPMSolverMultistep", "DPMSolverSinglestep"]:
            for algorithm in ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"]:
                if algorithm == "sde-dpmsolver" and name != "DPMSolverMultistep":
                    continue
                for kind, order, final in itertools.product(["midpoint", "heun"], (1, 2, 3), ["zero", "sigma_min"]):
                    if final == "zero" and "++" not in algorithm or algorithm == "sde-dpmsolver" and order == 3:
                        continue
                    common = dict(algorithm_type=algorithm, solver_type=kind, solver_order=order, final_sigmas_type=final)
                    yield case(name, steps, **common)
                if "++" not in algorithm:
                    for kind in ["v_prediction", "sample"]:
                        yield case(name, steps, algorithm_type=algorithm, final_sigmas_type="sigma_min", prediction_type=kind)
            yield case(name, steps, lambda_min_clipped=-5.1, beta_schedule="squaredcos_cap_v2")
        yield case("DPMSolverMultistep", steps, algorithm_type="dpmsolver", final_sigmas_type="sigma_min", **thresholds)
        yield case("DPMSolverMultistep", steps, euler_at_final=True, final_sigmas_type="sigma_min", solver_order=3)
        yield case("DPMSolverMultistep", steps, use_lu_lambdas=True)
        yield case("DPMSolverMultistep", steps, use_karras_sigmas=True, beta_schedule="squaredcos_cap_v2")
        for name in ["DPMSolverMultistep", "EulerDiscrete", "EulerAncestralDiscrete", "UniPCMultistep"]:
            yield case(name, steps, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", **stable)
        for final in ["zero", "sigma_min"]:
            yield case("EulerDiscrete", steps, final_sigmas_type=final, use_karras_sigmas=True, sigma_min=0.05, sigma_max=9.0)
            yield case("EulerDiscrete", steps, final_sigmas_type=final)
            for table in tables:
                yield case("UniPCMultistep", steps, final_sigmas_type=final, **table)
            for order, kind, predicts in itertools.product((1, 2, 3), ["bh1", "bh2"], [True, False]):
                if final == "sigma_min" or predicts:
                    yield case("UniPCMultistep", steps, final_sigmas_type=final, solver_order=order, solver_type=kind, predict_x0=predicts)
            yield case("EDMEuler", steps, final_sigmas_type=final, sigma_schedule="exponential", sigma_min=0.01, sigma_max=20.0, sigma_data=0.7)
            for algorithm, order in [("dpmsolver++", 1), ("dpmsolver++", 3), ("sde-dpmsolver++", 1), ("sde-dpmsolver++", 2)]:
                for kind in ["midpoint", "heun"]:
                    yield case("EDMDPMSolverMultistep", steps, final_sigmas_type=final, algorithm_type=algorithm, solver_order=order, solver_type=kind)
        yield case("UniPCMultistep", steps, disable_corrector=[0, 1, 3])
        yield case("UniPCMultistep", steps, use_karras_sigmas=True, sigma_min=0.05, sigma_max=9.0)
        yield case("UniPCMultistep", steps, predict_x0=False, prediction_type="v_prediction", final_sigmas_type="sigma_min")
        yield case("UniPCMultistep", steps, predict_x0=False, prediction_type="sample", final_sigmas_type="sigma_min")
        yield case("EDMDPMSolverMultistep", steps, sigma_schedule="exponential", rho=5.0)
        yield case("EDMDPMSolverMultistep", steps, rho=5.0, euler_at_final=True, lower_order_final=False, solver_order=3)
        yield case("EDMDPMSolverMultistep", steps, **thresholds)
        yield case("EulerDiscrete", steps, interpolation_type="log_linear", **stable)
        yield case("HeunDiscrete", steps, clip_sample=True, clip_sample_range=0.6)
        yield case("HeunDiscrete", steps, beta_schedule="exp")
        yield case("FlowMatchEulerDiscrete", steps, shift=3.0)
        yield case("FlowMatchEulerDiscrete", steps, shift=3.0, shift_terminal=0.1)
        yield case("FlowMatchEulerDiscrete", steps, stochastic_sampling=True)
        for table in tables:
            yield case("FlowMatchEulerDiscrete", steps, shift=2.0, **table)
        for more in [{}, {"time_shift_type": "linear"}, {"shift_terminal": 0.05}, {"use_karras_sigmas": True}, {"invert_sigmas": True}]:
            yield case("FlowMatchEulerDiscrete", steps, mu=1.15, use_dynamic_shifting=True, shift=3.0, **more)
        yield case("FlowMatchEulerDiscrete", steps, invert_sigmas=True)
        yield case("FlowMatchEulerDiscrete", steps, invert_sigmas=True, shift=3.0, use_exponential_sigmas=True)
        for name in ["DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep"]:
            flow = dict(use_dynamic_shifting=True, use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=2.0)
            yield case(name, steps, mu=0.7, **flow)
            if name != "UniPCMultistep":
                yield case(name, steps, **flow)
        yield case("FlowMatchHeunDiscrete", steps, shift=3.0)
        yield case("CMStochasticIterative", steps, clip_denoised=False, s_noise=0.8, rho=5.0, sigma_data=0.7)
    yield case("CMStochasticIterative", 1)
    # A single step, as distilled models take it.
    for name in [*discrete, "DPMSolverSinglestep", "EDMEuler", "EDMDPMSolverMultistep", "FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete"]:
        if name != "PNDM":
            yield case(name, 1)
            if name in discrete:
                yield case(name, 1, timestep_spacing="trailing", **stable)
    for steps in (7, 20):
        for name, spacing in itertools.product(["DPMSolverMultistep", "UniPCMultistep", "EulerDiscrete", "EulerAncestralDiscrete"], spacings):
            yield case(name, steps, rescale_betas_zero_snr=True, timestep_spacing=spacing, **stable)
        for table in tables:
            yield case("DPMSolverMultistep", steps, use_lu_lambdas=True, **table)
            for final in ["zero", "sigma_min"]:
                yield case("EulerDiscrete", steps, interpolation_type="log_linear", final_sigmas_type=final, **table)
        yield case("EulerDiscrete", steps, interpolation_type="log_linear", timestep_spacing="trailing", use_karras_sigmas=True, **stable)
        continuous = dict(timestep_type="continuous", prediction_type="v_prediction")
        yield case("EulerDiscrete", steps, **continuous, **stable)
        yield case("EulerDiscrete", steps, use_karras_sigmas=True, sigma_min=0.002, sigma_max=80.0, **continuous)


def main():
    options = golden.options(__doc__.splitlines()[0], "schedulers.safetensors", seed=8100)
    every = [json.loads(text) for text in dict.fromkeys(json.dumps(case) for case in cases())]
    samples, precise, timesteps, kept = [], [], [], []
    for case in every:
        try:
            found, exact, times = run(case, options.seed)
        except Exception as error:
            print("left out:", type(error).__name__, str(error)[:100], json.dumps(case), file=sys.stderr)
            continue
        kept.append(case)
        samples.append(found)
        precise.append(exact)
        timesteps.append(times)
    tensors = {
        "samples": np.array(samples), "precise": np.array(precise), "timesteps": np.concatenate(timesteps),
        "counts": np.array([len(times) for times in timesteps], dtype=np.int64)}
    names = sorted({case["config"]["_class_name"] for case in kept})
    metadata = {
        "seed": str(options.seed), "cases": kept, "diffusers": diffusers.__version__,
        "saved": {name: class_of(name)().to_json_string() for name in names},
        "loops": [without_model(case, options.seed) for case in loops()]}
    golden.save(options.out, tensors, metadata)


if __name__ == "__main__":
    main()
