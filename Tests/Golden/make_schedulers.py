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
float64, log alpha linear between timesteps; its last step is never without signal.
"""

import golden  # first: it sets the threads

import contextlib
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

    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def __call__(self, *arguments, **options):
        self.count += 1
        return torch.from_numpy(splitmix.unit(self.seed + self.count, shape))

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


def walk(scheduler, case, seed):
    noise, options = Noise(seed), {}
    sys.modules[type(scheduler).__module__].randn_tensor = noise
    brownian.BrownianTreeNoiseSampler = noise.motion
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


def run(case, seed):
    """The samples of the package; those of its tables, with grids and steps in float64, and their timesteps."""
    name = case["config"]["_class_name"]
    kind = getattr(diffusers, name, None) or getattr(brownian, name)

    def ready(scheduler):
        scheduler.set_timesteps(case["steps"], **({"mu": case["mu"]} if "mu" in case else {}))
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        return scheduler

    samples = walk(ready(kind.from_config(dict(case["config"]))), case, seed)
    single = torch.float32
    with rounded_once():
        scheduler = kind.from_config(dict(case["config"]))
        with double_precision():
            ready(scheduler)
            for key, value in vars(scheduler).items():
                if isinstance(value, torch.Tensor) and value.dtype == single:
                    setattr(scheduler, key, value.double())
            precise = walk(scheduler, case, seed)
    assert np.isfinite(samples).all() and np.isfinite(precise).all() and abs(samples).max() < 1e3, "no number"
    return samples, precise, np.array([float(t) for t in scheduler.timesteps])


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
    golden.save(options.out, tensors, {"seed": str(options.seed), "cases": kept, "diffusers": diffusers.__version__})


if __name__ == "__main__":
    main()
