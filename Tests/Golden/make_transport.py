"""Optimal transport between clouds of points, by SciPy and POT: transport.safetensors.

    assignment    scipy.optimize.linear_sum_assignment
    plan          ot.emd, the network simplex of Bonneel et al.
    line          ot.emd2_1d
    sinkhorn      ot.bregman.sinkhorn in logarithms, with the value <C, g> + epsilon KL(g | a b)

Clouds are x = unit(seed, [n, d]) and y = unit(seed + 1, [m, d]), costs their squared distances; weights are
uniform(seed + 2, [n]) + 0.1 and uniform(seed + 3, [m]) + 0.1, of the first every fifth from the second on is 0.
Metadata `cases`: kind, name, seed, n, m, d, weighted, and power or epsilon.
Tensors: `<name>.value` [], and `<name>.columns` [n] or `<name>.plan` [n, m].
"""

import golden  # first: it sets the threads

import numpy as np
import ot
import scipy.optimize

import splitmix


def problem(case):
    """The clouds and the weights, which sum to 1."""
    seed, n, m, d = (case[key] for key in ("seed", "n", "m", "d"))
    x, y = splitmix.unit(seed, [n, d]), splitmix.unit(seed + 1, [m, d])
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    if case["weighted"]:
        a, b = splitmix.uniform(seed + 2, [n]) + 0.1, splitmix.uniform(seed + 3, [m]) + 0.1
        a[1::5] = 0
        a, b = a / a.sum(), b / b.sum()
    return x, y, a, b


def squared_distances(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(axis=2)


def solve(case):
    x, y, a, b = problem(case)
    cost = squared_distances(x, y)
    if case["kind"] == "assignment":
        rows, columns = scipy.optimize.linear_sum_assignment(cost)
        return {"value": cost[rows, columns].mean(), "columns": columns}
    if case["kind"] == "plan":
        plan, log = ot.emd(a, b, cost, numItermax=10**7, log=True)
        assert log["warning"] is None
        return {"value": (plan * cost).sum(), "plan": plan}
    if case["kind"] == "line":
        return {"value": ot.emd2_1d(x[:, 0], y[:, 0], a, b, metric="minkowski", p=case["power"])}
    kept = a > 0
    plan = np.zeros_like(cost)
    plan[kept] = ot.bregman.sinkhorn(
        a[kept], b, cost[kept], case["epsilon"], method="sinkhorn_log", numItermax=10**5, stopThr=1e-14)
    inside = plan > 0
    entropy = (plan[inside] * np.log(plan[inside] / np.outer(a, b)[inside])).sum()
    return {"value": (plan * cost).sum() + case["epsilon"] * entropy, "plan": plan}


def main():
    options = golden.options(__doc__.splitlines()[0], "transport.safetensors", seed=9000)
    shapes = {
        "assignment": [(n, n, d, False, {}) for n, d in ((1, 2), (2, 1), (7, 2), (40, 3), (120, 2), (150, 16))],
        "plan": [
            (5, 8, 2, True, {}), (40, 25, 3, True, {}), (30, 30, 2, True, {}), (12, 17, 2, False, {}), (1, 6, 2, True, {}),
            (60, 80, 2, True, {}),
        ],
        "line": [(9, 14, 1, True, {"power": p}) for p in (1.0, 2.0, 3.0)] + [(8, 12, 1, False, {"power": 2.0})],
        "sinkhorn": [(20, 30, 2, True, {"epsilon": e}) for e in (2.0, 0.3)],
    }
    tensors, cases = {}, []
    for kind in shapes:
        for n, m, d, weighted, more in shapes[kind]:
            name = f"{kind}{len(cases)}"
            case = {"kind": kind, "name": name, "seed": options.seed + 10 * len(cases), "n": n, "m": m, "d": d}
            cases.append(case | {"weighted": weighted} | more)
            tensors |= {f"{name}.{key}": np.asarray(value) for key, value in solve(cases[-1]).items()}
    golden.save(options.out, tensors, {"cases": cases, "seed": str(options.seed)})


if __name__ == "__main__":
    main()
