"""The exact posterior, score and Fisher of weighted points, in extended precision: exact_field.safetensors.

    z_i = y_i - x / alpha,   k = sigma / alpha,   l_i = log pi_i - |z_i|^2 / (2 k^2),   w = softmax(l)
    log q          = logsumexp(l) - (d / 2) log(2 pi sigma^2),   pi_i = weight_i / sum of weights
    posterior mean = sum_i w_i y_i
    score          = (alpha / sigma^2) m,   m = sum_i w_i z_i
    C v            = sum_i w_i (z_i - m) ((z_i - m).v)
    F v            = (v - C v / k^2) / sigma^2,   tr F = (d - tr C / k^2) / sigma^2

Every difference is formed before it is squared, and the covariance about its mean: nothing cancels as sigma -> 0.

A group `<N>x<d>` holds its cases stacked in front:

    <N>x<d>.x                               [cases, B, d]   (absent where d = 3072: regenerate it)
    <N>x<d>.score, .posterior_mean, .matvec [cases, B, d]
    <N>x<d>.log_density, .trace             [cases, B]

Metadata `groups`: name, points (N), dimension (d), queries (B), seed_points, points_xor: the points are
symmetric(seed_points, [N, d]), and `_xor` is the exclusive or of the bit patterns of an array, 16 hexadecimal digits.
Metadata `cases`: group, index (in the group), schedule, k (wanted), t, alpha, sigma (float64, rounded from t exactly),
weighting (none, positive, zeros), seed_weights, seed_eps, seed_v, far, x_xor.  With u = uniform(seed_weights, [N]) the
weights are absent, u + 0.1, or that with every third (i % 3 = 2) zero: not normalised.  Directions are
v = symmetric(seed_v, [B, d]).
Query b is alpha y_j + sigma unit(seed_eps, [B, d])_b, j = 7919 b mod N, in float64 with both products rounded before the
sum; where `far`, the last query is alpha (3 symmetric(seed_eps + 1, [d])) instead.
"""

import golden  # first: it sets the threads

import numpy as np

import splitmix

L = np.longdouble
assert np.finfo(L).eps < 2e-19, "needs a longdouble wider than float64"
PI = L("3.14159265358979323846264338327950288")

K = [1e-3, 1e-2, 0.1, 0.5, 1, 3, 10, 80]

# Time ranges, and (alpha, sigma) of t in the precision of t.
_vp = lambda t: type(t)(0.1) * t + (type(t)(20) - type(t)(0.1)) * t * t / 2
schedules = {
    "vp": (1e-5, 1.0, lambda t: (np.exp(-_vp(t) / 2), np.sqrt(-np.expm1(-_vp(t))))),
    "subvp": (1e-5, 1.0, lambda t: (np.exp(-_vp(t) / 2), -np.expm1(-_vp(t)))),
    "ve": (1e-8, 1.0, lambda t: (type(t)(1), np.sqrt(t))),
    "edm": (1e-4, 100.0, lambda t: (type(t)(1), t)),
    "flow": (1e-5, 1 - 1e-5, lambda t: (type(t)(1) - t, t)),
}

# (N, d, B, and which (schedule, k) to take; None: all that the schedule reaches)
sizes = [
    (1, 1, 3, None), (2, 2, 3, None), (17, 3, 3, None), (300, 2, 3, None), (5000, 2, 3, None), (300, 64, 2, None),
    (1, 64, 2, [("vp", 1e-3), ("subvp", 80), ("ve", 0.1), ("edm", 10), ("flow", 1)]),
    (5000, 64, 2, [
        ("vp", 1e-3), ("vp", 1), ("subvp", 0.5), ("ve", 0.1), ("ve", 1), ("edm", 3), ("edm", 80), ("flow", 0.5), ("flow", 10),
    ]),
    (1000, 3072, 1, [("subvp", 10), ("ve", 1e-3), ("edm", 80)]),
    (5000, 3072, 1, [("vp", 10), ("edm", 0.1), ("flow", 3)]),
]


def time_reaching(schedule, k):
    """The float64 time at which sigma / alpha comes closest to k; an end of the range where it is beyond."""
    low, high, at = schedules[schedule]
    ratio = lambda t: (lambda alpha, sigma: sigma / alpha)(*at(L(t)))
    if ratio(low) >= k or ratio(high) <= k:
        return low if ratio(low) >= k else high
    a, b = L(low), L(high)
    for _ in range(80):
        middle = (a + b) / 2
        a, b = (middle, b) if ratio(middle) < L(k) else (a, middle)
    return float(a)


def log_density(x, points, weights, alpha, sigma):
    """log q by itself, in the precision of alpha; the part the differences below are taken of."""
    T = type(alpha)
    z = points.astype(T) - x.astype(T) / alpha
    with np.errstate(divide="ignore"):
        l = np.log(weights.astype(T) / weights.astype(T).sum()) - (z * z).sum(axis=1) / (2 * (sigma / alpha) ** 2)
    top = l.max()
    return top + np.log(np.exp(l - top).sum()) - T(len(x)) / 2 * np.log(2 * T(PI) * sigma * sigma)


def field(x, v, points, weights, alpha, sigma):
    """One query's log q, score, posterior mean, tr F and F v, in the precision of alpha.  Points come in blocks."""
    T = type(alpha)
    N, d = points.shape
    blocks = [slice(i, i + 500) for i in range(0, N, 500)]
    k2, centre = (sigma / alpha) ** 2, x.astype(T) / alpha
    v, pi = v.astype(T), weights.astype(T) / weights.astype(T).sum()
    shifted = lambda block: points[block].astype(T) - centre
    with np.errstate(divide="ignore"):
        l = np.log(pi) - np.concatenate([(shifted(b) ** 2).sum(axis=1) for b in blocks]) / (2 * k2)
    top = l.max()
    e = np.exp(l - top)
    w = e / e.sum()
    m = sum((w[b, None] * shifted(b)).sum(axis=0) for b in blocks)
    trace, product = T(0), np.zeros(d, T)
    for b in blocks:
        c = shifted(b) - m
        trace += (w[b] * (c * c).sum(axis=1)).sum()
        product += ((w[b] * (c * v).sum(axis=1))[:, None] * c).sum(axis=0)
    return {
        "log_density": top + np.log(e.sum()) - T(d) / 2 * np.log(2 * T(PI) * sigma * sigma),
        "score": alpha / sigma**2 * m,
        # Not x / alpha + m, which cancels as sigma grows.
        "posterior_mean": sum((w[b, None] * points[b].astype(T)).sum(axis=0) for b in blocks),
        "trace": (T(d) - trace / k2) / sigma**2,
        "matvec": (v - product / k2) / sigma**2,
    }


def xor(values):
    """The exclusive or of the bit patterns: a checksum that no order of evaluation can change."""
    return f"{np.bitwise_xor.reduce(np.ascontiguousarray(values, np.float64).view(np.uint64).ravel()):016x}"


def case_of(size, index, group_seed, schedule, k):
    """What determines a case, as stored; every other one is weighted, every third has a far query."""
    seed = group_seed + 10 * (index + 1)
    alpha, sigma = schedules[schedule][2](L(time_reaching(schedule, k)))
    weighting = ["none", "positive"][index % 2] if (size[0] == 1 or index % 8 != 3) else "zeros"
    return {
        "schedule": schedule, "k": k, "t": time_reaching(schedule, k), "alpha": float(alpha), "sigma": float(sigma),
        "weighting": weighting, "seed_weights": seed, "seed_eps": seed + 1, "seed_v": seed + 3, "far": index % 3 == 2,
    }


def inputs_of(case, points, B):
    """Queries, directions and weights of a case."""
    N, d = points.shape
    j = 7919 * np.arange(B) % N
    x = case["alpha"] * points[j] + case["sigma"] * splitmix.unit(case["seed_eps"], [B, d])
    if case["far"]:
        x[-1] = case["alpha"] * (3 * splitmix.symmetric(case["seed_eps"] + 1, [d]))
    weights = splitmix.uniform(case["seed_weights"], [N]) + 0.1
    if case["weighting"] == "none":
        weights = np.ones(N)
    elif case["weighting"] == "zeros":
        weights[2::3] = 0
    return x, splitmix.symmetric(case["seed_v"], [B, d]), weights


def difference_errors(x, v, points, weights, alpha, sigma, truth):
    """How far fourth-order central differences lie: of log q from the score, and of the score from tr F and F v."""
    x, d = x.astype(L), len(x)
    # In units of the distance over which the weights turn.
    h = sigma * min(L(1), 4 * sigma / alpha) / 1000

    def derivative(f, along):
        return (8 * (f(x + h * along) - f(x - h * along)) - (f(x + 2 * h * along) - f(x - 2 * h * along))) / (12 * h)

    q = lambda y: log_density(y, points, weights, alpha, sigma)
    score = lambda y: field(y, v, points, weights, alpha, sigma)["score"]
    axes = np.eye(d, dtype=L)
    found = {
        "score": np.array([derivative(q, axis) for axis in axes]),
        "trace": -sum(derivative(score, axis) @ axis for axis in axes),
        "matvec": -derivative(score, v.astype(L)),
    }
    # F is a difference of I / sigma^2 and a term as large, so that is the least unit of its errors.
    units = {"score": L(0), "trace": d / sigma**2, "matvec": abs(v).max() / sigma**2}
    error = lambda name: float(abs(found[name] - truth[name]).max() / max(units[name], abs(truth[name]).max()))
    return {name: error(name) for name in found}


def main():
    options = golden.options(__doc__.splitlines()[0], "exact_field.safetensors", seed=1000)
    tensors, groups, cases = {}, [], []
    worst, differences = {}, {}
    for size_index, size in enumerate(sizes):
        N, d, B, wanted = size
        group_seed = options.seed + 1000 * size_index
        points = splitmix.symmetric(group_seed, [N, d])
        group = f"{N}x{d}"
        groups.append({
            "name": group, "points": N, "dimension": d, "queries": B, "seed_points": group_seed, "points_xor": xor(points)})
        if wanted is None:
            wanted = [(schedule, k) for schedule in schedules for k in K]
        stored, seen = [], set()
        for schedule, k in wanted:
            t = time_reaching(schedule, k)
            if (schedule, t) in seen:
                continue  # two ratios beyond the same end
            seen.add((schedule, t))
            case = case_of(size, len(stored), group_seed, schedule, k)
            x, v, weights = inputs_of(case, points, B)
            case = {"group": group, "index": len(stored)} | case | {"x_xor": xor(x)}
            cases.append(case)
            at = schedules[schedule][2]
            truths = [field(x[b], v[b], points, weights, *at(L(t))) for b in range(B)]
            doubles = [field(x[b], v[b], points, weights, *at(np.float64(t))) for b in range(B)]
            stack = lambda rows: {name: np.stack([row[name] for row in rows]) for name in rows[0]}
            truth, double = stack(truths), stack(doubles)
            for name in truth:
                assert np.isfinite(truth[name]).all() and np.isfinite(double[name]).all(), (case, name)
                error = float(abs(double[name] - truth[name]).max() / abs(truth[name]).max())
                worst[name] = max(worst.get(name, (0,)), (error, f"{group} {schedule} k {k:g} t {t:.6g}"))
            if d <= 3:
                for b in range(B):
                    errors = difference_errors(x[b], v[b], points, weights, *at(L(t)), truths[b])
                    for name, error in errors.items():
                        found = (error, f"{group} {schedule} k {k:g} query {b}")
                        differences[name] = max(differences.get(name, (0,)), found)
            stored.append({name: value.astype(np.float64) for name, value in truth.items()})
            if d <= 64:
                stored[-1]["x"] = x
        for name in stored[0]:
            tensors[f"{group}.{name}"] = np.stack([row[name] for row in stored])
        print(f"{group}: {len(stored)} cases", flush=True)
    for name, (error, where) in worst.items():
        print(f"float64 of the same formulas, {name}: worst max|err|/max|true| {error:.1e} ({where})")
    for name, (error, where) in differences.items():
        print(f"central differences, {name}: worst {error:.1e} ({where})")
    assert all(error < 1e-9 for error, _ in worst.values()), worst
    assert all(error < 1e-6 for error, _ in differences.values()), differences
    golden.save(options.out, tensors, {"groups": groups, "cases": cases, "seed": str(options.seed)})


if __name__ == "__main__":
    main()
