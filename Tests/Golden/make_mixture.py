"""The exact posterior, score and Fisher of Gaussian mixtures, at 50 digits: mixture.safetensors.

    C_k = alpha^2 Sigma_k + sigma^2 I,   z_k = x - alpha m_k,   r_k ~ w_k N(z_k; 0, C_k),   s_k = -C_k^-1 z_k
    log q          = log sum_k w_k N(z_k; 0, C_k)
    score          = sum_k r_k s_k
    posterior mean = sum_k r_k mu_k,   mu_k = m_k + alpha Sigma_k C_k^-1 z_k
    Cov            = sum_k r_k (Sigma_k - alpha^2 Sigma_k C_k^-1 Sigma_k + mu_k mu_k^T) - mean mean^T
    F              = sum_k r_k (C_k^-1 - s_k s_k^T) + score score^T

Nothing is centred and nothing diagonalised: there are digits to lose. The times are float64, and exact.

A group `<K>x<d>` holds three mixtures of the same weights and means, and its cases stacked in front:

    <K>x<d>.weights [K], .means [K, d]                          weights are not normalised
    <K>x<d>.covariances [K, d, d], .stds [K, d], .round [K]     the three forms: full (absent where d = 1), diagonal, isotropic
    <K>x<d>.x, .score, .posterior_mean, .matvec, .covariance_product [cases, B, d]
    <K>x<d>.log_density, .trace, .covariance_trace                   [cases, B]

Where K > 1, the full covariance 0 has rank 1 and the isotropic component 0 is a point.
Metadata `cases`: group, index (in the group), form, schedule, k (sigma / alpha, as wanted), t, alpha, sigma, seed_v.
Directions are v = symmetric(seed_v, [B, d]).
"""

import golden  # first: it sets the threads

import mpmath
import numpy as np

import splitmix

mpmath.mp.dps = 50
mp = mpmath.mpf
exact = np.vectorize(mp, otypes=[object])

K = [1e-3, 1e-2, 0.1, 0.5, 1, 3, 10, 80]
QUERIES = 2


def preserving(log_alpha):
    return mpmath.exp(log_alpha), mpmath.sqrt(-mpmath.expm1(2 * log_alpha))


def table(variances):
    """(alpha, sigma) of a timestep index, its fractions interpolated in log alpha."""
    logs, total = [], mp(0)
    for variance in variances:
        total += mpmath.log1p(-variance) / 2
        logs.append(total)

    def at(t):
        i = min(int(t), len(logs) - 2)
        return preserving(logs[i] + (t - i) * (logs[i + 1] - logs[i]))

    return 0, 999, at


def evenly(first, last):
    return [first + (last - first) * mp(i) / 999 for i in range(1000)]


def cosine(i):
    return mpmath.cos((mp(i) / 1000 + mp("0.008")) / mp("1.008") * mpmath.pi / 2) ** 2


def geometric(t):
    return mp(1), mpmath.sqrt((mp("0.01") * mp(5000) ** t) ** 2 - mp("0.01") ** 2)


rate = lambda t: mp("0.1") * t + mp("19.9") * t**2 / 2
schedules = {
    "vp": (1e-5, 1, lambda t: preserving(-rate(t) / 2)),
    "subvp": (1e-5, 1, lambda t: (mpmath.exp(-rate(t) / 2), -mpmath.expm1(-rate(t)))),
    "ve": (1e-8, 1, lambda t: (mp(1), mpmath.sqrt(t))),
    "edm": (1e-4, 100, lambda t: (mp(1), t)),
    "flow": (1e-5, 1 - 1e-5, lambda t: (1 - t, t)),
    "ve-geometric": (1e-5, 1, geometric),
    "trig": (1e-5, 1 - 1e-5, lambda t: (mpmath.cos(mpmath.pi * t / 2), mpmath.sin(mpmath.pi * t / 2))),
    "scaled-linear": table([beta**2 for beta in evenly(mpmath.sqrt(mp("0.00085")), mpmath.sqrt(mp("0.012")))]),
    "ddpm-linear": table(evenly(mp("0.0001"), mp("0.02"))),
    "ddpm-cosine": table([min(1 - cosine(i + 1) / cosine(i), mp("0.999")) for i in range(1000)]),
}


def time_reaching(schedule, k):
    """The float64 time at which sigma / alpha comes closest to k; an end of the range where it is beyond."""
    low, high, at = schedules[schedule]
    ratio = lambda t: (lambda alpha, sigma: sigma / alpha)(*at(mp(t)))
    if ratio(low) >= k or ratio(high) <= k:
        return float(low if ratio(low) >= k else high)
    a, b = mp(low), mp(high)
    for _ in range(70):
        middle = (a + b) / 2
        a, b = (middle, b) if ratio(middle) < k else (a, middle)
    return float(a)


def inverse_and_log_determinant(matrix):
    """By Gauss and Jordan; the matrix is positive definite, so that no pivot is sought."""
    d = len(matrix)
    rows, total = np.concatenate([matrix, exact(np.eye(d))], axis=1), mp(0)
    for i in range(d):
        total += mpmath.log(rows[i, i])
        rows[i] = rows[i] / rows[i, i]
        for j in range(d):
            if j != i:
                rows[j] = rows[j] - rows[j, i] * rows[i]
    return rows[:, d:], total


def field(queries, directions, weights, means, covariances, alpha, sigma):
    """Everything of one kernel, a list per name."""
    w, m, S = exact(weights), exact(means), exact(covariances)
    w, d = w / w.sum(), m.shape[1]
    identity = exact(np.eye(d))
    totals = [inverse_and_log_determinant(alpha**2 * part + sigma**2 * identity) for part in S]
    inside = [part - alpha**2 * part @ P @ part for part, (P, _) in zip(S, totals)]
    out = {}
    for x, v in zip(exact(queries), exact(directions)):
        z = x - alpha * m
        s = np.array([-P @ part for part, (P, _) in zip(z, totals)])
        l = [mpmath.log(w[i]) + (z[i] @ s[i] - log - d * mpmath.log(2 * mpmath.pi)) / 2 for i, (_, log) in enumerate(totals)]
        top = max(l)
        terms = np.array([mpmath.exp(value - top) for value in l], object)
        r = terms / terms.sum()
        mu = np.array([m[i] - alpha * S[i] @ s[i] for i in range(len(w))])
        score, mean = r @ s, r @ mu
        covariance = sum(r[i] * (inside[i] + np.outer(mu[i], mu[i])) for i in range(len(w))) - np.outer(mean, mean)
        fisher = sum(r[i] * (totals[i][0] - np.outer(s[i], s[i])) for i in range(len(w))) + np.outer(score, score)
        found = {
            "log_density": top + mpmath.log(terms.sum()), "score": score, "posterior_mean": mean,
            "trace": np.trace(fisher), "matvec": fisher @ v,
            "covariance_trace": np.trace(covariance), "covariance_product": covariance @ v,
        }
        for name, value in found.items():
            out.setdefault(name, []).append(np.asarray(value, dtype=np.float64))
    return {name: np.stack(rows) for name, rows in out.items()}


def mixture(count, d, seed):
    """Weights, means and the three forms of spread."""
    factors = splitmix.symmetric(seed + 2, [count, d, d])
    if count > 1:
        factors[0, :, 1:] = 0
    full = 0.5 * np.einsum("kij,klj->kil", factors, factors)
    full = (full + full.transpose(0, 2, 1)) / 2
    round = 0.1 + 0.6 * splitmix.uniform(seed + 4, [count])
    if count > 1:
        round[0] = 0
    stds = 0.05 + 0.7 * splitmix.uniform(seed + 3, [count, d])
    parts = {"weights": splitmix.uniform(seed, [count]) + 0.2, "means": 2 * splitmix.symmetric(seed + 1, [count, d])}
    return parts | {"stds": stds, "round": round} | ({"covariances": full} if d > 1 else {})


def covariances_of(parts, form):
    d = parts["means"].shape[1]
    if form == "full":
        return exact(parts["covariances"])
    stds = parts["stds"] if form == "diagonal" else parts["round"][:, None] * np.ones(d)
    return np.array([np.diag(exact(row) ** 2) for row in stds])


def main():
    options = golden.options(__doc__.splitlines()[0], "mixture.safetensors", seed=7000)
    tensors, cases = {}, []
    for group_index, (count, d) in enumerate((count, d) for d in (1, 2, 3, 16) for count in (1, 3, 5)):
        seed, group = options.seed + 1000 * group_index, f"{count}x{d}"
        parts = mixture(count, d, seed)
        tensors |= {f"{group}.{name}": value for name, value in parts.items()}
        forms = ["full", "diagonal", "isotropic"] if d > 1 else ["diagonal", "isotropic"]
        stored = []
        for schedule_index, schedule in enumerate(schedules):
            for turn in range(2):
                # Over the groups every schedule meets every ratio, and every group every form.
                k = K[(group_index + 3 * schedule_index + 4 * turn) % len(K)]
                form = forms[(group_index + schedule_index + turn) % len(forms)]
                t = time_reaching(schedule, k)
                alpha, sigma = schedules[schedule][2](mp(t))
                start = seed + 10 * (len(stored) + 1)
                near = parts["means"][np.arange(QUERIES) % count] + 0.5 * splitmix.unit(start, [QUERIES, d])
                x = float(alpha) * near + float(sigma) * splitmix.unit(start + 1, [QUERIES, d])
                v = splitmix.symmetric(start + 2, [QUERIES, d])
                truth = field(x, v, parts["weights"], parts["means"], covariances_of(parts, form), alpha, sigma)
                assert all(np.isfinite(value).all() for value in truth.values()), (group, schedule, k)
                cases.append({
                    "group": group, "index": len(stored), "form": form, "schedule": schedule, "k": k, "t": t,
                    "alpha": float(alpha), "sigma": float(sigma), "seed_v": start + 2})
                stored.append(truth | {"x": x})
        for name in stored[0]:
            tensors[f"{group}.{name}"] = np.stack([row[name] for row in stored])
        print(f"{group}: {len(stored)} cases", flush=True)
    golden.save(options.out, tensors, {"cases": cases, "seed": str(options.seed)})


if __name__ == "__main__":
    main()
