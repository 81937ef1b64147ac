"""The flow's Jacobians for table 3, and the matrices of the protocol its printed numbers come from: table3.safetensors.

Converged, by DOP853 with rtol 1e-12, in y = x / alpha and k = log(sigma / alpha), where every schedule is one flow:

    dy/dk = y - E[x0 | y],   dA/dk = (I - Cov / e^2k) A,   A(start) = I

    flow.<data>.<path>.x, .endpoint [B, 2] in x and x / alpha, .jacobian [B, 2, 2] in x / alpha; from the path's ratio to 1e-3

The protocol, in float64: nodes t = round(linspace(0, 999, n)) downwards, coefficients of the node that is left,

    A <- A - (t - t')/1000 (f I + s g^2/2 F) A,   x <- alpha'/alpha x + (sigma' - sigma alpha'/alpha) (x - alpha E[x0 | x]) / sigma

    paper.<schedule>.<n>.script (s = -1), .derived (s = 1) [B, 2, 2]; the points are paper.x, the data those of `non-affine`
"""

import golden  # first: it sets the threads

import numpy as np
from scipy.integrate import solve_ivp

import splitmix

betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
kept = np.cumprod(1 - betas)

line, corner = [[0.2, -0.4], [0.2, 0], [0.2, 0.9]], [[0, 0.5], [0, 0], [0.5, 0]]
turn = np.array([[1, 1], [-1, 1]]) / 2**0.5  # on rows
sets = {
    "single": [[0.5, 0.5]], "affine": line, "affine-rotated": line @ turn, "non-affine": corner,
    "non-affine-rotated": corner @ turn,
}
# The path's ratio and alpha at the start.
ends = {
    "VE": (0.999, 1.0), "EDM": (0.999, 1.0), "VP": (np.sqrt((1 - kept[-1]) / kept[-1]), np.sqrt(kept[-1])),
    "sub-VP": ((1 - kept[-1]) / np.sqrt(kept[-1]), np.sqrt(kept[-1])),
}


def posterior(points, x, alpha, sigma):
    """Mean and covariance of the data, [2] and [2, 2]."""
    logits = -((x - alpha * points) ** 2).sum(1) / (2 * sigma**2)
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    mean = weights @ points
    return mean, (weights[:, None] * (points - mean)).T @ (points - mean)


def flow(points, y, ratio):
    def slope(k, state):
        mean, covariance = posterior(points, state[:2], 1.0, np.exp(k))
        A = state[2:].reshape(2, 2)
        return np.concatenate([state[:2] - mean, ((np.eye(2) - covariance / np.exp(2 * k)) @ A).ravel()])

    start = np.concatenate([y, np.eye(2).ravel()])
    found = solve_ivp(slope, np.log([ratio, 1e-3]), start, method="DOP853", rtol=1e-12, atol=1e-15)
    assert found.success
    return found.y[:2, -1], found.y[2:, -1].reshape(2, 2)


def coefficients(schedule, t):
    """alpha, sigma, f, g^2 as the protocol has them at a timestep."""
    u, beta = t / 1000, 1000 * betas[t]
    if schedule == "VE":
        return 1.0, np.sqrt(u), 0.0, 1.0
    if schedule == "EDM":
        return 1.0, u, 0.0, 2 * u
    alpha, variance = np.sqrt(kept[t]), 1 - kept[t]
    if schedule == "VP":
        return alpha, np.sqrt(variance), -beta / 2, beta
    if schedule == "sub-VP, consistent":
        return alpha, variance, -beta / 2, beta * (1 - kept[t] ** 2)
    first, last = 1000 * betas[-1], 1000 * betas[0]  # exchanged, as there
    return alpha, np.sqrt(variance), -beta / 2, beta * (1 - np.exp(-2 * first * u - (last - first) * u**2))


def protocol(points, x, schedule, steps, sign):
    A, times = np.eye(2), np.round(np.linspace(0, 999, steps)).astype(int)[::-1]
    for t, after in zip(times, times[1:]):
        alpha, sigma, f, g2 = coefficients(schedule, t)
        next_alpha, next_sigma = coefficients(schedule, after)[:2]
        mean, covariance = posterior(points, x, alpha, sigma)
        fisher = np.eye(2) / sigma**2 - alpha**2 / sigma**4 * covariance
        A = A - (t - after) / 1000 * (f * np.eye(2) + sign * g2 / 2 * fisher) @ A
        ratio = next_alpha / alpha
        x = ratio * x + (next_sigma - sigma * ratio) * (x - alpha * mean) / sigma
    return A


def main():
    options = golden.options(__doc__.splitlines()[0], "table3.safetensors", seed=9300)
    tensors, seed = {}, options.seed
    for data, points in sets.items():
        points = np.array(points, dtype=float)
        for path, (ratio, alpha) in ends.items():
            # The starts of one data set are those of its paths.
            x = splitmix.unit(seed + len(points), [5, 2])
            places, jacobians = zip(*(flow(points, row / alpha, ratio) for row in x))
            tensors |= {
                f"flow.{data}.{path}.x": x, f"flow.{data}.{path}.endpoint": np.array(places),
                f"flow.{data}.{path}.jacobian": np.array(jacobians)}
    x = splitmix.unit(seed + 10, [4, 2])
    tensors["paper.x"] = x
    for schedule in ["VE", "VP", "sub-VP", "EDM", "sub-VP, consistent"]:
        for steps in [20, 51, 250]:
            for name, sign in [("script", -1), ("derived", 1)]:
                matrices = [protocol(np.array(corner), row, schedule, steps, sign) for row in x]
                tensors[f"paper.{schedule}.{steps}.{name}"] = np.array(matrices)
    golden.save(options.out, tensors, {"seed": str(seed)})


if __name__ == "__main__":
    main()
