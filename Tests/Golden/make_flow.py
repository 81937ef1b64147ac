"""The probability flow of points and its Jacobian by DOP853, in each schedule's own time: flow.safetensors.

    dx/dt = f x - g^2 s / 2,   dA/dt = (f I + g^2 F / 2) A,   A(from) = I

    f = d log alpha / dt,   g^2 = d sigma^2 / dt - 2 f sigma^2,   s = grad log q_t,   F = -hess log q_t

with rtol 1e-12.  Per case `<index>.x`, `.endpoint` [B, d], `.jacobian` [B, d, d]; the points are `<set>.points`.
Metadata `cases`: set, schedule, from, to (noise-to-signal ratios), from_time, to_time.
"""

import golden  # first: it sets the threads

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import splitmix

# alpha, sigma, f, g^2 of t, and the range of t.
def _vp_rates(t):
    beta, whole = 0.1 + 19.9 * t, 0.1 * t + 19.9 * t * t / 2
    return np.exp(-whole / 2), np.sqrt(-np.expm1(-whole)), -beta / 2, beta


def _subvp_rates(t):
    beta, whole = 0.1 + 19.9 * t, 0.1 * t + 19.9 * t * t / 2
    return np.exp(-whole / 2), -np.expm1(-whole), -beta / 2, beta * -np.expm1(-2 * whole)


schedules = {
    "vp": (1e-5, 1.0, _vp_rates),
    "subvp": (1e-5, 1.0, _subvp_rates),
    "ve": (1e-8, 1.0, lambda t: (1.0, np.sqrt(t), 0.0, 1.0)),
    "edm": (1e-4, 100.0, lambda t: (1.0, t, 0.0, 2 * t)),
    "flow": (1e-5, 1 - 1e-5, lambda t: (1 - t, t, -1 / (1 - t), 2 * t + 2 * t * t / (1 - t))),
}


def time_at(schedule, ratio):
    low, high, rates = schedules[schedule]
    distance = lambda t: np.log(rates(t)[1] / rates(t)[0] / ratio)
    if distance(high) < 0:
        assert distance(high) > -1e-3, (schedule, ratio)
        return high
    return brentq(distance, low, high, xtol=1e-300, rtol=1e-15)


def flow(points, schedule, x, start, end):
    d, rates = len(x), schedules[schedule][2]

    def slope(t, state):
        alpha, sigma, f, g2 = rates(t)
        x, A = state[:d], state[d:].reshape(d, d)
        logits = -((x - alpha * points) ** 2).sum(1) / (2 * sigma**2)
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        mean = weights @ points
        centred = points - mean
        covariance = (weights[:, None] * centred).T @ centred
        score = (alpha * mean - x) / sigma**2
        fisher = np.eye(d) / sigma**2 - alpha**2 / sigma**4 * covariance
        return np.concatenate([f * x - g2 * score / 2, (f * A + g2 / 2 * fisher @ A).ravel()])

    state = np.concatenate([x, np.eye(d).ravel()])
    found = solve_ivp(slope, (start, end), state, method="DOP853", rtol=1e-12, atol=1e-14)
    assert found.success
    return found.y[:d, -1], found.y[d:, -1].reshape(d, d)


def main():
    options = golden.options(__doc__.splitlines()[0], "flow.safetensors", seed=9100)
    seed = options.seed
    turn = np.linalg.qr(splitmix.unit(seed + 1, [3, 3]))[0]
    sets = {
        "single": np.array([[0.5, 0.5]]),
        "affine": np.array([[0.2, -0.4], [0.2, 0.0], [0.2, 0.9]]),
        "nonaffine": np.array([[0.5, 0.0], [0.0, -0.5], [0.0, 0.0]]),
        "plane": splitmix.symmetric(seed + 2, [6, 2]),
        "space": splitmix.symmetric(seed + 3, [7, 3]),
        "line in space": np.array([-0.7, 0.1, 0.5])[:, None] * turn[0] + np.array([0.3, -0.2, 0.1]),
    }
    anchors = np.array([[1, 1], [0.3, -1.2], [-1, 0.5], [0.25, -0.05]])
    tensors, cases = {f"{name}.points": points for name, points in sets.items()}, []
    for name, points in sets.items():
        for schedule in schedules:
            k_from, k_to = (0.999 if schedule in ("ve", "edm") else 14.6), 1e-2 if schedule == "subvp" else 1e-3
            if schedule == "vp":
                k_to = 2e-3
            start, end = time_at(schedule, k_from), time_at(schedule, k_to)
            alpha, sigma = schedules[schedule][2](start)[:2]
            d, B = points.shape[1], 4
            x = anchors if name == "nonaffine" and schedule in ("ve", "edm") else (
                sigma * splitmix.unit(seed + 10 + len(cases), [B, d]))
            ends, jacobians = zip(*(flow(points, schedule, row, start, end) for row in x))
            index = len(cases)
            tensors |= {f"{index}.x": x, f"{index}.endpoint": np.array(ends), f"{index}.jacobian": np.array(jacobians)}
            cases.append({
                "set": name, "schedule": schedule, "from": k_from, "to": k_to, "from_time": start, "to_time": end})
        print(name, flush=True)
    golden.save(options.out, tensors, {"cases": cases, "seed": str(seed)})


if __name__ == "__main__":
    main()
