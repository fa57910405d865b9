#!/usr/bin/env python3
"""Measures lvmc against scikit-learn, hmmlearn, NumPy and JAX: seconds per EM iteration on the same data and starting values.

    python3 bench/run.py [--only TEXT] [--rounds 7] [--quick]

Makes a virtual environment (bench/.venv) with NumPy, scikit-learn, hmmlearn and JAX, builds lvmc in release mode, then
runs both sides alternately and prints, per case, the ratio of their minima and the relative difference of the
log-likelihoods after equal iterations. A case without peers prints its time and the limit that we mean to keep, and the
seconds of the whole process. Nothing else should run on the machine. Not part of the test suite.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = HERE / "out"
FULL = "z ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])"
COLUMNS = """dim K
data n : count
data t : positive
data c : category[V]
param pi : simplex[K]
param lambda[K], a[K], b[K] : positive
param p[K] : simplex[V]
z ~ Categorical(pi)
n ~ Poisson(lambda[z])
t ~ Gamma(a[z], b[z])
c ~ Categorical(p[z])
"""
WEIGHTED = """dim K
data x : real[D]
data y : count
param pi : simplex[K]
param mu[K] : real[D]
param Sigma : cov[D]
param lambda[K] : positive
z ~ Categorical(pi)
x ~ Normal(mu[z], Sigma)
y ~ Poisson(lambda[z])
"""
HMM = """chain t {
  z[1] ~ Categorical(pi)
  z[t] ~ Categorical(A[z[t-1]])
  x[t] ~ Normal(mu[z[t]], Sigma[z[t]])
}
"""
PPCA = """param W : real[D, Q]
param mu : real[D]
param sigma2 : positive
z ~ Normal(0, I[Q])
data x : real[D] ~ Normal(W * z + mu, sigma2 * I)
"""
LEVEL = """param level_var, noise_var : positive
chain t {
  level[1] ~ Normal(0, 1e6)
  level[t] ~ Normal(level[t-1], level_var)
  data y[t] : real ~ Normal(level[t], noise_var)
}
"""
# name, maker of data, peers with the ratios that we mean to reach (or a limit in seconds), iterations of lvmc, of the peers
CASES = [
    ("gmm 2e5 1 3", ("gmm", 200_000, 1, 3), {"sklearn": 70, "jax": 10, "jax_block": 10}, 200, 10),
    ("gmm 2e5 2 5", ("gmm", 200_000, 2, 5), {"sklearn": 70, "jax": 12, "jax_block": 12}, 100, 10),
    ("gmm 2e5 8 10", ("gmm", 200_000, 8, 10), {"sklearn": 40, "jax": 9, "jax_block": 9}, 30, 5),
    ("gmm 1e5 32 20", ("gmm", 100_000, 32, 20), {"sklearn": 20, "jax": 6, "jax_block": 6}, 30, 3),
    ("columns 1e6", ("columns", 1_000_000), {"jax_columns": 10}, 20, 5),
    ("weighted tied 1e6", ("weighted", 1_000_000), {"jax_weighted": 10}, 20, 5),
    ("hmm 1e5 10 2", ("hmm", 100_000, 10, 2), {"hmmlearn": 5, "jax_hmm": 3}, 30, 5),
    ("ppca missing 1e5 50 5", ("ppca", 100_000, 50, 5), {"numpy_ppca": 10, "jax_ppca": 5}, 20, 5),
    ("local level 5e4", ("level", 50_000), 10e-3, 50, 0),
]


def python():
    """The virtual environment's interpreter, made where it is missing."""
    home = HERE / ".venv"
    exe = home / "bin" / "python"
    if not exe.exists():
        venv.create(home, with_pip=True)
        subprocess.run([exe, "-m", "pip", "install", "-q", "numpy", "scipy", "scikit-learn", "hmmlearn", "jax"], check=True)
    return exe


MAKER = r'''
import json, sys
import numpy as np
kind, path, *sizes = sys.argv[1:]
sizes = [int(s) for s in sizes]
r = np.random.default_rng(0)
if kind == "gmm":
    n, d, k = sizes
    mu = r.normal(size=(k, d)) * 3 / np.sqrt(max(1, d / 4))
    z = r.integers(k, size=n)
    a = r.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    x = np.empty((n, d))
    for j in range(k):
        i = np.flatnonzero(z == j)
        x[i] = r.normal(size=(len(i), d)) @ a[j].T + mu[j]
    start = dict(pi=np.ones(k) / k, mu=x[r.choice(n, k, replace=False)], Sigma=np.stack([np.diag(x.var(0))] * k))
    data, names = dict(x=x), [f"x{i}" for i in range(d)]
    table, bind = x, ["--bind", f"x=x0..x{d-1}"] if d > 1 else ["--bind", "x=x0"]
    extra = ["--set", f"K={k}"]
elif kind == "columns":
    (n,) = sizes
    k, v = 3, 8
    z = r.integers(k, size=n)
    counts = r.poisson(np.array([2.0, 7.0, 15.0])[z]).astype(float)
    times = r.gamma(np.array([2.0, 5.0, 1.0])[z], 1 / np.array([1.0, 2.0, 0.5])[z])
    p = r.dirichlet(np.ones(v), size=k)
    codes = (p[z].cumsum(1) < r.random((n, 1))).sum(1).clip(0, v - 1).astype(float)
    start = {"pi": np.ones(k) / k, "lambda": np.array([3.0, 6.0, 12.0]), "a": np.array([1.5, 3.0, 1.0]),
             "b": np.array([1.0, 1.0, 1.0]), "p": r.dirichlet(np.ones(v) * 5, size=k)}
    data, names = dict(n=counts, t=times, c=codes), ["n", "t", "c"]
    table, bind, extra = np.stack([counts, times, codes], 1), [], ["--set", f"K={k}"]
elif kind == "hmm":
    n, k, d = sizes
    A = r.dirichlet(np.ones(k), k) * 0.3 + 0.7 * np.eye(k)
    mu = r.normal(size=(k, d)) * 4
    a = r.normal(size=(k, d, d)) * 0.3 + np.eye(d)
    z, u, cdf = np.zeros(n, int), r.random(n), A.cumsum(1)
    for t in range(1, n):
        z[t] = min(k - 1, np.searchsorted(cdf[z[t - 1]], u[t]))
    x = mu[z] + np.einsum("nij,nj->ni", a[z], r.normal(size=(n, d)))
    start = dict(pi=np.ones(k) / k, A=np.full((k, k), 0.3 / k) + 0.7 * np.eye(k), mu=mu + r.normal(size=mu.shape) * 0.5,
                 Sigma=np.stack([np.eye(d)] * k))
    data, names = dict(x=x), [f"x{i}" for i in range(d)]
    table, bind, extra = x, ["--bind", f"x=x0..x{d-1}"], ["--set", f"K={k}"]
elif kind == "ppca":
    n, d, q = sizes
    x = r.normal(size=(n, q)) @ r.normal(size=(q, d)) + r.normal(size=d) + 0.5 * r.normal(size=(n, d))
    x[r.random((n, d)) < 0.2] = np.nan
    start = dict(W=r.normal(size=(d, q)), mu=np.zeros(d), sigma2=np.array(1.0))
    data, names = dict(x=x), [f"x{i}" for i in range(d)]
    table, bind, extra = x, ["--bind", f"x=x0..x{d-1}"], ["--set", f"Q={q}"]
elif kind == "level":
    (n,) = sizes
    y = r.normal(size=n).cumsum() * 0.3 + r.normal(size=n)
    start = dict(level_var=np.array(1.0), noise_var=np.array(0.5))
    data, names, table, bind, extra = dict(y=y), ["y"], y[:, None], [], []
else:
    (n,) = sizes
    k, d = 4, 2
    z = r.integers(k, size=n)
    mu = r.normal(size=(k, d)) * 3
    x = mu[z] + r.normal(size=(n, d)) @ np.array([[1.0, 0.4], [0.0, 0.8]])
    y = r.poisson(np.array([1.0, 4.0, 9.0, 16.0])[z]).astype(float)
    w = r.integers(1, 4, size=n).astype(float)
    start = {"pi": np.ones(k) / k, "mu": x[r.choice(n, k, replace=False)], "Sigma": np.diag(x.var(0)),
             "lambda": np.array([2.0, 4.0, 8.0, 12.0])}
    data, names = dict(x=x, y=y, w=w), ["x0", "x1", "y", "w"]
    table, bind = np.column_stack([x, y, w]), ["--bind", "x=x0,x1"]
    extra = ["--set", f"K={k}", "--weights", "w"]
np.savez(path + ".npz", **data, **start)
json.dump({key: value.tolist() for key, value in start.items()}, open(path + ".json", "w"))
with open(path + ".csv", "w") as f:
    f.write(",".join(names) + "\n")
    for row in table.tolist():
        f.write(",".join("" if v != v else repr(v) for v in row) + "\n")
json.dump(bind + extra, open(path + ".args", "w"))
'''


def make(exe, name, recipe):
    path = OUT / name.replace(" ", "_")
    if not path.with_suffix(".args").exists():
        subprocess.run([exe, "-c", MAKER, recipe[0], str(path), *map(str, recipe[1:])], check=True)
    model = {"gmm": FULL, "columns": COLUMNS, "weighted": WEIGHTED, "hmm": HMM, "ppca": PPCA,
             "level": LEVEL}[recipe[0]]
    return path, model


def lvmc(binary, path, model, iterations):
    """Seconds of the fit alone, and the log-likelihood, after that many iterations."""
    args = json.loads(path.with_suffix(".args").read_text())
    command = [binary, "fit", "-e", model, f"{path}.csv", "--init", f"{path}.json", "--max-iter", str(iterations), "--tol", "0",
               "--threads", "2", "--json", *args]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr or done.stdout)
    result = json.loads(done.stdout)
    return result["timing"]["fit"], result["log_likelihood"]


def peer(exe, name, path, iterations):
    done = subprocess.run([exe, HERE / "peers.py", name, f"{path}.npz", str(iterations)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr or done.stdout)
    return json.loads(done.stdout)


def measure(exe, binary, case, rounds):
    name, recipe, peers, ours, theirs = case
    path, model = make(exe, name, recipe)
    limit = None if isinstance(peers, dict) else peers
    peers = peers if limit is None else {}
    best_ours, best_theirs, last, whole = float("inf"), {p: float("inf") for p in peers}, {}, float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        one, _ = lvmc(binary, path, model, 1)
        whole = min(whole, time.perf_counter() - start)
        many, _ = lvmc(binary, path, model, 1 + ours)
        best_ours = min(best_ours, (many - one) / ours)
        for p in peers:
            result = peer(exe, p, path, theirs)
            best_theirs[p] = min(best_theirs[p], result["seconds"])
            last[p] = result
    if limit is not None:
        print(f"{name:22} lvmc {1e3 * best_ours:8.3f} ms   (asked {1e3 * limit:.0f} ms)   one iteration as a whole process "
              f"{1e3 * whole:.0f} ms", flush=True)
    for p, wanted in peers.items():
        _, ll = lvmc(binary, path, model, last[p]["iterations"])
        difference = abs(ll - last[p]["log_likelihood"]) / abs(ll)
        ratio = best_theirs[p] / best_ours
        print(f"{name:22} lvmc {1e3 * best_ours:8.3f} ms   {p:12} {1e3 * best_theirs[p]:9.2f} ms   {ratio:6.1f} times "
              f"(asked {wanted})   log-likelihoods differ by {difference:.0e}", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--quick", action="store_true", help="one round, for a look")
    options.add_argument("--lvmc", help="a binary to measure, in place of the release build")
    options.add_argument("--python", help="an interpreter that has the peers, in place of bench/.venv")
    options = options.parse_args()
    OUT.mkdir(exist_ok=True)
    exe = options.python or python()
    binary = options.lvmc
    if not binary:
        subprocess.run(["cargo", "build", "--release", "-p", "lvmc"], cwd=ROOT, check=True)
        binary = str(ROOT / "target" / "release" / "lvmc")
    for case in CASES:
        if options.only in case[0]:
            measure(exe, binary, case, 1 if options.quick else options.rounds)


if __name__ == "__main__":
    main()
