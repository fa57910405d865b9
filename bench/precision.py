#!/usr/bin/env python3
"""Compares log-likelihoods of long chains with recursions in extended precision (80 bits), which share no code with lvmc.

    python3 bench/precision.py LVMC [--rows 1000000]

A Gaussian hidden Markov model whose covariances are nearly singular (correlation 1 − 1e-9, and standard deviations that
differ by 1e6), and local levels with a level that hardly moves, or noise that is hardly there. Prints the relative
difference of each and exits with 1 where one is above 1e-9. A million rows take a minute or two. Needs NumPy.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from run import HMM, LEVEL

LONG = np.longdouble
LOG_2PI = np.log(2 * LONG("3.14159265358979323846264338327950288"))


def hmm(rows, random):
    """Data and parameters: three states, two columns on scales 1 and 1e-6, nearly collinear."""
    a = np.array([[0.98, 0.015, 0.005], [0.02, 0.97, 0.01], [0.01, 0.03, 0.96]])
    mu = np.array([[0.0, 0.0], [2.0, 2e-6], [-1.0, 3e-6]])
    z, u, cdf = np.zeros(rows, int), random.random(rows), a.cumsum(1)
    for t in range(1, rows):
        z[t] = min(2, np.searchsorted(cdf[z[t - 1]], u[t]))
    e = random.normal(size=(rows, 2))
    rho = 1 - 1e-9
    x = mu[z] + np.column_stack([e[:, 0], (rho * e[:, 0] + np.sqrt(1 - rho * rho) * e[:, 1]) * 1e-6])
    sigma = np.array([[1.0, rho * 1e-6], [rho * 1e-6, 1e-12]])
    return x, dict(pi=np.ones(3) / 3, A=a, mu=mu, Sigma=np.stack([sigma] * 3))


def hmm_log_likelihood(x, p):
    x, pi, a = x.astype(LONG), p["pi"].astype(LONG), p["A"].astype(LONG)
    mu, sigma = p["mu"].astype(LONG), p["Sigma"].astype(LONG)
    logs = []
    for m, s in zip(mu, sigma):
        det = s[0, 0] * s[1, 1] - s[0, 1] * s[1, 0]
        y = x - m
        square = (y[:, 0] ** 2 * s[1, 1] - 2 * y[:, 0] * y[:, 1] * s[0, 1] + y[:, 1] ** 2 * s[0, 0]) / det
        logs.append(-LONG("0.5") * square - LOG_2PI - np.log(det) / 2)
    logs = np.stack(logs, 1)
    top = logs.max(1)
    b = np.exp(logs - top[:, None])
    scales = np.empty(len(x), LONG)
    u = pi
    for t in range(len(x)):
        u = (u if t == 0 else (u[:, None] * a).sum(0)) * b[t]
        scales[t] = u.sum()
        u = u / scales[t]
    return np.log(scales).sum() + top.sum()


def level(rows, random, moves, noise):
    y = np.sqrt(moves) * random.normal(size=rows).cumsum() + np.sqrt(noise) * random.normal(size=rows)
    return y[:, None], dict(level_var=np.array(moves), noise_var=np.array(noise))


def level_log_likelihood(y, p):
    moves, noise = LONG(p["level_var"]), LONG(p["noise_var"])
    mean, var, half = LONG(0), LONG(10) ** 6, LONG("0.5")
    total = LONG(0)
    for t, y in enumerate(y[:, 0].astype(LONG)):
        if t:
            var = var + moves
        f = var + noise
        v = y - mean
        total -= half * (LOG_2PI + np.log(f) + v * v / f)
        gain = var / f
        mean, var = mean + gain * v, var * noise / f
    return total


def fitted(lvmc, model, x, names, start, arguments):
    """The log-likelihood after one iteration, and the parameters that it is of."""
    with tempfile.TemporaryDirectory() as folder:
        data, init = pathlib.Path(folder) / "x.csv", pathlib.Path(folder) / "start.json"
        data.write_text("\n".join([",".join(names), *(",".join(map(repr, row)) for row in x.tolist())]) + "\n")
        init.write_text(json.dumps({k: v.tolist() for k, v in start.items()}))
        command = [lvmc, "fit", "-e", model, data, "--init", init, "--max-iter", "1", "--tol", "0", "--json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr or done.stdout)
    result = json.loads(done.stdout)
    return result["log_likelihood"], {k: np.array(v) for k, v in result["parameters"].items()}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("lvmc")
    options.add_argument("--rows", type=int, default=1_000_000)
    options = options.parse_args()
    random = np.random.default_rng(0)
    two, far = ["a", "b"], []
    cases = [("hidden Markov model", HMM, two, ["--bind", "x=a,b", "--set", "K=3"], hmm(options.rows, random), hmm_log_likelihood)]
    for name, moves, noise in [("local level", 0.3, 1.0), ("level that hardly moves", 1e-8, 1.0), ("hardly any noise", 1.0, 1e-8)]:
        cases.append((name, LEVEL, ["y"], [], level(options.rows, random, moves, noise), level_log_likelihood))
    for name, model, names, arguments, (x, start), reference in cases:
        found, parameters = fitted(options.lvmc, model, x, names, start, arguments)
        wanted = reference(x, parameters)
        difference = float(abs(LONG(found) - wanted) / abs(wanted))
        print(f"{name:26} {found:.10f}   extended precision {float(wanted):.10f}   relative difference {difference:.0e}", flush=True)
        far += [name] if not difference <= 1e-9 else []
    if far:
        sys.exit(f"too far: {', '.join(far)}")


if __name__ == "__main__":
    main()
