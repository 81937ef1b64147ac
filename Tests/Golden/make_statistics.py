"""The statistics of DPM-Solver-v3 and its ends on the mixture G3 of the specification: statistics.safetensors.

Everything is in y = x/alpha and lambda = log(alpha/sigma), in which the flow knows no schedule:

    y ~ sum_k w_k N(m_k, Sigma_k + e^(-2 lambda) I),   dy/dlambda = -(y - x0),   x0 = y + e^(-2 lambda) grad log p(y)
    l = E diag d(y - x0)/dy,   N = (1 - l) y - x0,   N' = dN/dlambda along the flow
    a = Cov(N, N')/Var(N),     b = E N' - a E N

Expectations are sums over a grid of points in the plane, which half the distances change by 1e-11; derivatives along lambda
are differences of the eighth order, along the flow by the Hessian of log p. Nothing is random.

    half_log_snr [n], l, a, b [n, 2]        at equal distances
    exact [4, 2]                            where the flow of vp ends, by DOP853
    <schedule>.<n> [4, 2]                   the end of ten steps of degree n = 0, 1, 2 on a grid uniform in lambda

A step solves y' = -l y - N with N = e^A (P + B), A' = a, B' = e^(-A) b, as an ordinary differential equation, l, a and b between
the nodes by cubics whose slopes are central differences of the fourth order; P is the polynomial through the last values of
e^(-A) N - B. No formula of the solver's is in it.
Metadata `errors`: the largest error of ten steps on vp against `exact`.
"""

import golden  # first: it sets the threads

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicHermiteSpline

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[2, 0], [-1, 1.5], [-0.5, -2]])
COVARIANCES = np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.05], [-0.05, 0.4]], [[0.25, 0], [0, 0.15]]])
STARTS = np.array([[0.3, -0.7], [-1.1, 0.4], [0.8, 1.2], [-0.2, -1.5]])
FIRST, LAST, COUNT = -4.5, 3.3, 157


def density(y, lam):
    """p, the gradient and the Hessian of log p at points [n, 2]."""
    total = COVARIANCES + np.exp(-2 * lam) * np.eye(2)
    precision = np.linalg.inv(total)
    z = y[:, None] - MEANS
    s = -np.einsum("kij,nkj->nki", precision, z)
    exponent = 0.5 * np.einsum("nki,nki->nk", z, s)
    logs = exponent + np.log(WEIGHTS) - 0.5 * np.linalg.slogdet(total)[1] - np.log(2 * np.pi)
    top = logs.max(1, keepdims=True)
    parts = np.exp(logs - top)
    share = parts / parts.sum(1, keepdims=True)
    gradient = np.einsum("nk,nki->ni", share, s)
    away = s - gradient[:, None]
    hessian = np.einsum("nk,nki,nkj->nij", share, away, away) - np.einsum("nk,kij->nij", share, precision)
    return np.exp(top[:, 0]) * parts.sum(1), gradient, hessian


def data(y, lam):
    """x0."""
    return y + np.exp(-2 * lam) * density(y, lam)[1]


def cells(lam):
    """Points that cover the mass, and the area of each."""
    kappa = np.exp(-lam)
    width = np.sqrt(0.13 + kappa**2) / 6
    reach = 3 + 9.5 * np.sqrt(0.45 + kappa**2)
    line = np.arange(-reach, reach + width, width)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2), width**2


def linear(lam):
    """l."""
    y, area = cells(lam)
    p, _, hessian = density(y, lam)
    assert abs(p.sum() * area - 1) < 1e-13, lam
    diagonal = -np.exp(-2 * lam) * np.einsum("nii->ni", hessian)
    return (p[:, None] * diagonal).sum(0) * area


EIGHTH = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])


def along(function, width):
    """The derivative at 0."""
    return sum(w * function((i - 4) * width) for i, w in enumerate(EIGHTH) if w) / width


def statistics(lam):
    y, area = cells(lam)
    p, gradient, hessian = density(y, lam)
    weight = (p * area)[:, None]
    l, slope = linear(lam), along(lambda h: linear(lam + h), 0.05)
    x0 = y + np.exp(-2 * lam) * gradient
    velocity = x0 - y
    # d x0: its part along lambda by differences, along y by the Hessian.
    jacobian = np.eye(2) + np.exp(-2 * lam) * hessian
    change = along(lambda h: data(y, lam + h), 0.03) + np.einsum("nij,nj->ni", jacobian, velocity)
    n = (1 - l) * y - x0
    rate = (1 - l) * velocity - slope * y - change

    def mean(values):
        return (weight * values).sum(0)

    centred = n - mean(n)
    a = mean(centred * (rate - mean(rate))) / mean(centred**2)
    return l, a, mean(rate) - a * mean(n)


def variance_preserving(t):
    integral = t * (0.1 + 0.5 * t * 19.9)
    return np.exp(-0.5 * integral), np.sqrt(-np.expm1(-integral))


schedules = {
    "flow": (lambda t: (1 - t, t), 0.95, 0.05), "edm": (lambda t: (1.0, t), 5, 0.1),
    "vp": (variance_preserving, 0.9, 0.05),
    "trig": (lambda t: (np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)), 0.95, 0.05),
}


class Table:
    """l, a and b between their nodes."""

    def __init__(self, nodes, l, a, b):
        self.nodes, step = nodes, nodes[1] - nodes[0]

        def spline(values):
            slopes = np.empty_like(values)
            slopes[2:-2] = (8 * (values[3:-1] - values[1:-3]) - (values[4:] - values[:-4])) / 12
            for rows, places in ((slice(0, 5), (0, 1)), (slice(-5, None), (3, 4))):
                quartic = np.polyfit(np.arange(5), values[rows], 4)
                for place in places:
                    powers = np.array([4 * place**3, 3 * place**2, 2 * place, 1])
                    slopes[rows][place] = powers @ quartic[:4]
            return CubicHermiteSpline(nodes, values, slopes / step)

        self.l, self.a, self.b = spline(l), spline(a), spline(b)

    def reach(self, start, end, state, forcing):
        """y, A and B at the end; without a forcing, A and B alone."""

        def rate(lam, z):
            y, A, B = z[:-4].reshape(-1, 2), z[-4:-2], z[-2:]
            l, a, b = self.l(lam), self.a(lam), self.b(lam)
            dy = -l * y - np.exp(A) * (forcing(lam) + B) if forcing else 0 * y
            return np.concatenate([dy.ravel(), a, np.exp(-A) * b])

        end_state = np.concatenate([state.ravel(), np.zeros(4)])
        # The tables have kinks in their second derivative at the nodes, which no step may pass.
        low, high = min(start, end), max(start, end)
        inner = [node for node in self.nodes if low + 1e-9 < node < high - 1e-9][:: 1 if start < end else -1]
        for first, last in zip([start] + inner, inner + [end]):
            end_state = solve_ivp(rate, (first, last), end_state, "DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
        return end_state[:-4].reshape(-1, 2), end_state[-4:-2], end_state[-2:]

    def sample(self, y, lams, degree):
        history = []
        for lam, after in zip(lams, lams[1:]):
            history = [(lam, (1 - self.l(lam)) * y - data(y, lam))] + history[:degree]
            values = []
            for before, n in history:
                A, B = (0, 0) if before == lam else self.reach(lam, before, np.zeros((0, 2)), None)[1:]
                values.append(np.exp(-A) * n - B)

            def forcing(at):
                total = 0
                for j, value in enumerate(values):
                    others = [history[k][0] for k in range(len(values)) if k != j]
                    total = total + value * np.prod([(at - other) / (history[j][0] - other) for other in others])
                return total

            y = self.reach(lam, after, y, forcing)[0]
        return y


def grid(name, steps):
    kernel, first, last = schedules[name]
    half = [np.log(np.divide(*kernel(t))) for t in (first, last)]
    return np.linspace(*half, steps + 1)


def main():
    options = golden.options(__doc__.splitlines()[0], "statistics.safetensors")
    nodes = np.linspace(FIRST, LAST, COUNT)
    l, a, b = (np.stack(values) for values in zip(*map(statistics, nodes)))
    tensors = {"half_log_snr": nodes, "l": l, "a": a, "b": b}
    table, errors = Table(nodes, l, a, b), []
    for name, (kernel, first, last) in schedules.items():
        (alpha, sigma), (end_alpha, _) = kernel(first), kernel(last)
        start, lams = sigma * STARTS / alpha, grid(name, 10)
        for degree in range(3):
            tensors[f"{name}.{degree}"] = end_alpha * table.sample(start, lams, degree)
        if name == "vp":
            flow = solve_ivp(
                lambda lam, y: (data(y.reshape(-1, 2), lam) - y.reshape(-1, 2)).ravel(), (lams[0], lams[-1]),
                start.ravel(), "DOP853", rtol=1e-13, atol=1e-13)
            tensors["exact"] = end_alpha * flow.y[:, -1].reshape(-1, 2)
            errors = [float(abs(tensors[f"vp.{n}"] - tensors["exact"]).max()) for n in range(3)]
            print(f"vp, ten steps: {errors}")
    golden.save(options.out, tensors, {"errors": errors, "seed": str(options.seed)})


if __name__ == "__main__":
    main()
