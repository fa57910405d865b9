"""Peers: EM of the same models in scikit-learn and JAX, one measurement per call.

    peers.py PEER CASE.npz ITERATIONS    →  one JSON line: seconds per iteration (minimum), log-likelihood after them

The case file holds the data and the starting values, so that both sides of a comparison do the same work. Imports and
compilation are outside the timed region. No regularisation on either side: the log-likelihoods are compared.
"""
import json
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "2")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads=2")
import numpy as np


def sklearn_gmm(case, iterations):
    import warnings

    from sklearn.mixture import GaussianMixture

    warnings.filterwarnings("ignore")
    x, k = case["x"], len(case["mu"])
    precisions = np.linalg.inv(case["Sigma"])

    def fit(n):
        model = GaussianMixture(k, max_iter=n, tol=0, reg_covar=0, weights_init=case["pi"], means_init=case["mu"],
                                precisions_init=precisions, random_state=0, init_params="random_from_data")
        start = time.perf_counter()
        model.fit(x)
        return time.perf_counter() - start, model

    fit(1)
    one, _ = fit(1)
    many, model = fit(1 + iterations)
    return (many - one) / iterations, model.score(x) * len(x), 1 + iterations


def timed(step, state, iterations):
    """Runs a jitted step; the minimum of its times and the log-likelihood after all of them."""
    import jax

    jax.block_until_ready(step(*state))
    times = []
    for _ in range(iterations):
        start = time.perf_counter()
        state, _ = jax.block_until_ready(step(*state))
        times.append(time.perf_counter() - start)
    return min(times), float(step(*state)[1]), iterations


def setup_jax():
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy


def jax_gmm(case, iterations):
    jax, xp = setup_jax()
    from jax.scipy.linalg import solve_triangular
    from jax.scipy.special import logsumexp

    x = xp.asarray(case["x"])
    n, d = x.shape
    eye = xp.eye(d)

    @jax.jit
    def step(w, m, c):
        low = xp.linalg.cholesky(c)
        inv = jax.vmap(lambda l: solve_triangular(l, eye, lower=True))(low)
        log_det = xp.log(xp.diagonal(low, axis1=1, axis2=2)).sum(1)
        columns = []
        for k in range(len(w)):
            y = x @ inv[k].T - inv[k] @ m[k]
            columns.append(-0.5 * (y * y).sum(1))
        log = xp.stack(columns, 1) + (xp.log(w) - log_det - 0.5 * d * np.log(2 * np.pi))
        z = logsumexp(log, axis=1)
        r = xp.exp(log - z[:, None])
        s = r.sum(0)
        mean = (r.T @ x) / s[:, None]
        cov = []
        for k in range(len(w)):
            y = x - mean[k]
            cov.append((y * r[:, k : k + 1]).T @ y / s[k])
        return (s / n, mean, xp.stack(cov)), z.sum()

    return timed(step, tuple(xp.asarray(case[p]) for p in ("pi", "mu", "Sigma")), iterations)


def jax_block_gmm(case, iterations):
    """One scan over blocks of rows: whitening by all components as one product, second moments as one product."""
    jax, xp = setup_jax()
    from jax.scipy.linalg import solve_triangular
    from jax.scipy.special import logsumexp

    x = case["x"]
    n, d = x.shape
    k = len(case["pi"])
    rows = 2048 if d * k <= 160 else 1024
    blocks = -(-n // rows)
    padded = np.zeros((blocks * rows, d))
    padded[:n] = x
    mask = np.zeros(blocks * rows)
    mask[:n] = 1
    padded, mask = xp.asarray(padded.reshape(blocks, rows, d)), xp.asarray(mask.reshape(blocks, rows))
    eye = xp.eye(d)

    @jax.jit
    def step(w, m, c):
        low = xp.linalg.cholesky(c)
        inv = jax.vmap(lambda l: solve_triangular(l, eye, lower=True))(low)
        log_det = xp.log(xp.diagonal(low, axis1=1, axis2=2)).sum(1)
        wide = inv.reshape(k * d, d).T
        offset = xp.einsum("kij,kj->ki", inv, m).reshape(-1)
        constant = xp.log(w) - log_det - 0.5 * d * np.log(2 * np.pi)

        def block(total, part):
            xb, keep = part
            y = (xb @ wide - offset).reshape(rows, k, d)
            log = -0.5 * (y * y).sum(2) + constant
            z = logsumexp(log, axis=1)
            r = xp.exp(log - z[:, None]) * keep[:, None]
            s, s1, s2, ll = total
            second = ((r[:, :, None] * xb[:, None, :]).reshape(rows, k * d)).T @ xb
            return (s + r.sum(0), s1 + r.T @ xb, s2 + second, ll + (z * keep).sum()), None

        zero = (xp.zeros(k), xp.zeros((k, d)), xp.zeros((k * d, d)), xp.zeros(()))
        (s, s1, s2, ll), _ = jax.lax.scan(block, zero, (padded, mask))
        mean = s1 / s[:, None]
        cov = s2.reshape(k, d, d) / s[:, None, None] - mean[:, :, None] * mean[:, None, :]
        return (s / n, mean, cov), ll

    return timed(step, tuple(xp.asarray(case[p]) for p in ("pi", "mu", "Sigma")), iterations)


def jax_columns(case, iterations):
    """Mixture of Poisson × Gamma × Categorical columns; the Gamma's shape by Newton steps on its statistics."""
    jax, xp = setup_jax()
    from jax.scipy.special import digamma, gammaln, logsumexp, polygamma

    count, time_, code = (xp.asarray(case[c]) for c in ("n", "t", "c"))
    code = code.astype(int)
    values = case["p"].shape[1]
    log_time, base = xp.log(time_), -gammaln(count + 1)

    @jax.jit
    def step(pi, lam, a, b, p):
        log = (count[:, None] * xp.log(lam) - lam + base[:, None] + a * xp.log(b) - gammaln(a)
               + (a - 1) * log_time[:, None] - b * time_[:, None] + xp.log(p).T[code] + xp.log(pi))
        z = logsumexp(log, axis=1)
        r = xp.exp(log - z[:, None])
        s = r.sum(0)
        mean, mean_log = r.T @ time_ / s, r.T @ log_time / s
        gap = xp.log(mean) - mean_log

        def newton(_, shape):
            f = xp.log(shape) - digamma(shape) - gap
            return shape - f / (1 / shape - polygamma(1, shape))

        shape = jax.lax.fori_loop(0, 8, newton, (3 - gap + xp.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap))
        counts = jax.ops.segment_sum(r, code, num_segments=values).T
        return (s / len(count), r.T @ count / s, shape, shape / mean, counts / s[:, None]), z.sum()

    return timed(step, tuple(xp.asarray(case[k]) for k in ("pi", "lambda", "a", "b", "p")), iterations)


def jax_weighted(case, iterations):
    """Weighted mixture of a Normal with a tied covariance and a Poisson column."""
    jax, xp = setup_jax()
    from jax.scipy.linalg import solve_triangular
    from jax.scipy.special import gammaln, logsumexp

    x, y, weight = (xp.asarray(case[c]) for c in ("x", "y", "w"))
    d, base = x.shape[1], -gammaln(y + 1)

    @jax.jit
    def step(pi, mu, sigma, lam):
        low = xp.linalg.cholesky(sigma)
        white = solve_triangular(low, x.T, lower=True).T
        centres = solve_triangular(low, mu.T, lower=True).T
        log_det = xp.log(xp.diagonal(low)).sum()
        square = ((white[:, None, :] - centres[None]) ** 2).sum(2)
        log = (-0.5 * square - log_det - 0.5 * d * np.log(2 * np.pi) + y[:, None] * xp.log(lam) - lam + base[:, None]
               + xp.log(pi))
        z = logsumexp(log, axis=1)
        r = xp.exp(log - z[:, None]) * weight[:, None]
        s = r.sum(0)
        mean = r.T @ x / s[:, None]
        second = (x * weight[:, None]).T @ x
        cov = (second - (mean * s[:, None]).T @ mean) / weight.sum()
        return (s / weight.sum(), mean, cov, r.T @ y / s), (z * weight).sum()

    return timed(step, tuple(xp.asarray(case[k]) for k in ("pi", "mu", "Sigma", "lambda")), iterations)


def hmmlearn_hmm(case, iterations):
    """hmmlearn's scaling implementation, covariances full, no prior, no floor."""
    import logging
    import warnings

    from hmmlearn.hmm import GaussianHMM

    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    x, k = case["x"], len(case["pi"])

    def fit(n):
        model = GaussianHMM(k, covariance_type="full", n_iter=n, tol=-np.inf, init_params="", params="stmc", covars_prior=0,
                            covars_weight=-x.shape[1], min_covar=0, implementation="scaling")
        model.startprob_, model.transmat_ = case["pi"], case["A"]
        model.means_, model.covars_ = case["mu"], case["Sigma"]
        start = time.perf_counter()
        model.fit(x)
        return time.perf_counter() - start, model

    fit(1)
    one, _ = fit(1)
    many, model = fit(1 + iterations)
    # the history holds the log-likelihoods before the updates
    return (many - one) / iterations, model.score(x), 1 + iterations


def jax_hmm(case, iterations):
    """Baum–Welch with scaled messages: one jitted step, two `lax.scan`s."""
    jax, xp = setup_jax()
    from jax.scipy.linalg import solve_triangular

    x = xp.asarray(case["x"])
    d = x.shape[1]

    @jax.jit
    def step(pi, a, mean, cov):
        low = xp.linalg.cholesky(cov)
        inverse = jax.vmap(lambda l: solve_triangular(l, xp.eye(d), lower=True))(low)
        log_det = xp.log(xp.diagonal(low, axis1=1, axis2=2)).sum(1)
        square = [((x @ inverse[k].T - inverse[k] @ mean[k]) ** 2).sum(1) for k in range(len(pi))]
        log = -0.5 * xp.stack(square, 1) - log_det - 0.5 * d * np.log(2 * np.pi)
        top = log.max(1)
        b = xp.exp(log - top[:, None])

        def forward(u, b):
            u = (u @ a) * b
            c = u.sum()
            return u / c, (u / c, c)

        first = pi * b[0]
        c0 = first.sum()
        first = first / c0
        _, (rest, c) = jax.lax.scan(forward, first, b[1:])
        u, c = xp.concatenate([first[None], rest]), xp.concatenate([c0[None], c])

        def backward(v, bc):
            v = a @ (v * bc[0]) / bc[1]
            return v, v

        end = xp.ones_like(pi)
        _, v = jax.lax.scan(backward, end, (b[1:], c[1:]), reverse=True)
        v = xp.concatenate([v, end[None]])
        pairs = (u[:-1].T @ (b[1:] * v[1:] / c[1:, None])) * a
        r = u * v
        r = r / r.sum(1, keepdims=True)
        n = r.sum(0)
        mean = (r.T @ x) / n[:, None]
        cov = xp.stack([((x - mean[k]) * r[:, k : k + 1]).T @ (x - mean[k]) / n[k] for k in range(len(pi))])
        return (r[0], pairs / pairs.sum(1, keepdims=True), mean, cov), xp.log(c).sum() + top.sum()

    return timed(step, tuple(xp.asarray(case[p]) for p in ("pi", "A", "mu", "Sigma")), iterations)


def ppca_step(xp, x):
    """EM of PPCA with missing cells (NaN), every row's posterior from products of the mask with the loadings' squares."""
    seen = ~np.isnan(x)
    n, d = x.shape
    mask, x = xp.asarray(seen.astype(float)), xp.asarray(np.where(seen, x, 0.0))
    one = xp.ones((n, 1))

    def step(w, mu, noise):
        q = w.shape[1]
        squares = (w[:, :, None] * w[:, None, :]).reshape(d, q * q)
        precision = (mask @ squares).reshape(n, q, q) / noise + xp.eye(q)
        y = x - mask * mu
        b = y @ w / noise
        cov = xp.linalg.inv(precision)
        z = xp.einsum("nij,nj->ni", cov, b)
        log = -0.5 * (mask.sum() * (np.log(2 * np.pi) + xp.log(noise)) + (y * y).sum() / noise
                      + xp.linalg.slogdet(precision)[1].sum() - (b * z).sum())
        second = cov + z[:, :, None] * z[:, None, :]
        both = xp.concatenate([z, one], 1)
        second = xp.concatenate([xp.concatenate([second, z[:, :, None]], 2), both[:, None, :]], 1).reshape(n, -1)
        gram = (mask.T @ second).reshape(d, q + 1, q + 1)
        cross = x.T @ both
        new = xp.linalg.solve(gram, cross[:, :, None])[:, :, 0]
        rest = (x * x).sum() - 2 * (new * cross).sum() + xp.einsum("di,dij,dj->", new, gram, new)
        return (new[:, :q], new[:, q], rest / mask.sum()), log

    return step


def numpy_ppca(case, iterations):
    step, state = ppca_step(np, case["x"]), tuple(case[p] for p in ("W", "mu", "sigma2"))
    step(*state)
    times = []
    for _ in range(iterations):
        start = time.perf_counter()
        state, _ = step(*state)
        times.append(time.perf_counter() - start)
    return min(times), float(step(*state)[1]), iterations


def jax_ppca(case, iterations):
    jax, xp = setup_jax()
    step = jax.jit(ppca_step(xp, case["x"]))
    return timed(step, tuple(xp.asarray(case[p]) for p in ("W", "mu", "sigma2")), iterations)


PEERS = {"hmmlearn": hmmlearn_hmm, "jax_hmm": jax_hmm, "numpy_ppca": numpy_ppca, "jax_ppca": jax_ppca, "sklearn": sklearn_gmm, "jax": jax_gmm, "jax_block": jax_block_gmm, "jax_columns": jax_columns,
         "jax_weighted": jax_weighted}

if __name__ == "__main__":
    peer, path, iterations = sys.argv[1:4]
    seconds, log_likelihood, done = PEERS[peer](dict(np.load(path)), int(iterations))
    print(json.dumps({"peer": peer, "seconds": seconds, "log_likelihood": log_likelihood, "iterations": done}))
