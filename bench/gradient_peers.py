"""PyTorch and JAX on the models of bench/gradients.py. `gradient_peers.py data CASE ROWS WIDTH FILE` writes data;
`gradient_peers.py vae|ddpm torch|torch_fused|jax_scan FILE STEPS` prints seconds of a step (and of drawing 512 rows)."""
import json
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "2")
import numpy as np


def data(case, rows, width, path):
    r = np.random.default_rng(0)
    if case == "vae":
        centres = r.uniform(size=(10, width)) < 0.2
        x = np.where(r.uniform(size=(rows, width)) < 0.9, centres[r.integers(10, size=rows)], r.uniform(size=(rows, width)) < 0.1)
        text = "%d"
    else:
        a = r.uniform(0, np.pi, rows)
        side = r.integers(2, size=rows)
        x = np.stack([np.cos(a) + side, np.sin(a) * (1 - 2 * side) + 0.5 * side], 1) + 0.1 * r.normal(size=(rows, 2))
        text = "%.5f"
    np.savetxt(path, x, fmt=text, delimiter=",", header=",".join(f"c{i}" for i in range(x.shape[1])), comments="")


def vae_nets(width):
    """Encoder, mean and log variance of the code; decoder, logits: the VAE of gradients.py."""
    from torch import nn
    return nn.ModuleList([nn.Linear(width, 400), nn.Linear(400, 20), nn.Linear(400, 20), nn.Linear(20, 400), nn.Linear(400, width)])


def vae_loss(nets, b):
    """−ELBO summed over the rows of b, one draw of the code each; the divergence in closed form."""
    import torch
    import torch.nn.functional as F
    e, m, v, d, o = nets
    h = F.relu(e(b))
    mean, log = m(h), v(h)
    z = mean + torch.exp(0.5 * log) * torch.randn_like(mean)
    return F.binary_cross_entropy_with_logits(o(F.relu(d(z))), b, reduction="sum") - 0.5 * (1 + log - mean * mean - log.exp()).sum()


def vae_torch(x, steps, fused):
    import torch
    torch.set_num_threads(2)
    nets = vae_nets(x.shape[1])
    opt = torch.optim.Adam(nets.parameters(), 1e-3, fused=fused)
    x = torch.from_numpy(x)

    def step(i):
        k = i % (len(x) // 128)
        opt.zero_grad(set_to_none=True)
        (vae_loss(nets, x[k * 128:(k + 1) * 128]) / 128).backward()
        opt.step()

    return timed(step, steps), None


def net_torch(width):
    from torch import nn
    return nn.Sequential(nn.Linear(width + 32, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU(), nn.Linear(256, width))


def schedule():
    beta = np.linspace(1e-4, 0.02, 1000)
    bar = np.cumprod(1 - beta)
    return beta, bar, np.exp(-np.log(1e4) * np.arange(16) / 16).astype("float32")


def ddpm_loss(net):
    """The simple objective of a batch as a function: t uniform on 1 … T, the net predicts the noise; the mean over rows."""
    import torch
    _, bar, f = schedule()
    f = torch.from_numpy(f)
    a, s = torch.from_numpy(np.sqrt(bar).astype("float32")), torch.from_numpy(np.sqrt(1 - bar).astype("float32"))

    def loss(x):
        t, e = torch.randint(1000, (len(x),)), torch.randn_like(x)
        w = (t[:, None] + 1).float() * f
        return ((net(torch.cat([a[t][:, None] * x + s[t][:, None] * e, w.sin(), w.cos()], 1)) - e) ** 2).sum(1).mean()

    return loss


def ddpm_sample(net, n, width):
    """n rows by the chain back from noise, all T steps; the last is its mean."""
    import torch
    beta, bar, f = schedule()
    f = torch.from_numpy(f)
    with torch.no_grad():
        y = torch.randn(n, width)
        for k in range(999, -1, -1):
            w = torch.full((n, 1), float(k + 1)) * f
            e = net(torch.cat([y, w.sin(), w.cos()], 1))
            y = (y - float(beta[k] / np.sqrt(1 - bar[k])) * e) / float(np.sqrt(1 - beta[k]))
            if k:
                y = y + float(np.sqrt(beta[k])) * torch.randn(n, width)
    return y


def ddpm_torch(x, steps, fused):
    import torch
    torch.set_num_threads(2)
    net, x = net_torch(x.shape[1]), torch.from_numpy(x)
    loss, opt = ddpm_loss(net), torch.optim.Adam(net.parameters(), 1e-3, fused=fused)

    def step(_):
        i = torch.randint(len(x), (256,))
        opt.zero_grad(set_to_none=True)
        loss(x[i]).backward()
        opt.step()

    spent = timed(step, steps)
    start = time.perf_counter()
    ddpm_sample(net, 512, x.shape[1])
    return spent, time.perf_counter() - start


def jax_scan(case, x, steps):
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads=2"
    import jax
    import jax.numpy as jnp
    import optax
    width = x.shape[1]

    def layer(key, n, m):
        return {"w": jax.random.uniform(key, (n, m), minval=-1, maxval=1) / np.sqrt(n), "b": jnp.zeros(m)}

    def lin(p, h):
        return h @ p["w"] + p["b"]

    if case == "vae":
        sizes, batch = [(width, 400), (400, 20), (400, 20), (20, 400), (400, width)], 128

        def loss(p, key, i):
            b = jax.lax.dynamic_slice_in_dim(rows, (i % (len(rows) // 128)) * 128, 128)
            h = jax.nn.relu(lin(p[0], b))
            m, v = lin(p[1], h), lin(p[2], h)
            z = m + jnp.exp(0.5 * v) * jax.random.normal(key, m.shape)
            q = lin(p[4], jax.nn.relu(lin(p[3], z)))
            return ((jax.nn.softplus(q) - q * b).sum() - 0.5 * (1 + v - m * m - jnp.exp(v)).sum()) / batch
    else:
        sizes, batch = [(width + 32, 256), (256, 256), (256, 256), (256, width)], 256
        _, bar, f = schedule()
        a, s = jnp.asarray(np.sqrt(bar)), jnp.asarray(np.sqrt(1 - bar))

        def loss(p, key, _):
            k = jax.random.split(key, 3)
            b, t = rows[jax.random.randint(k[0], (batch,), 0, len(rows))], jax.random.randint(k[1], (batch,), 0, 1000)
            e, w = jax.random.normal(k[2], b.shape), (t[:, None] + 1) * f
            h = jnp.concatenate([a[t][:, None] * b + s[t][:, None] * e, jnp.sin(w), jnp.cos(w)], 1)
            for i, q in enumerate(p):
                h = lin(q, h)
                h = jax.nn.silu(h) if i < 3 else h
            return ((h - e) ** 2).sum(1).mean()
    rows = jnp.asarray(x)
    keys = jax.random.split(jax.random.PRNGKey(0), len(sizes))
    p = [layer(k, *n) for k, n in zip(keys, sizes)]
    opt = optax.adam(1e-3)

    def one(c, i):
        p, s, key = c
        key, own = jax.random.split(key)
        _, g = jax.value_and_grad(loss)(p, own, i)
        u, s = opt.update(g, s)
        return (optax.apply_updates(p, u), s, key), 0.0

    run = jax.jit(lambda c: jax.lax.scan(one, c, jnp.arange(steps))[0], donate_argnums=0)
    c = run((p, opt.init(p), jax.random.PRNGKey(1)))
    jax.block_until_ready(c)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        c = run(c)
        jax.block_until_ready(c)
        best = min(best, (time.perf_counter() - start) / steps)
    return best, None


def timed(step, steps):
    for i in range(20):
        step(i)
    best = float("inf")
    for r in range(3):
        start = time.perf_counter()
        for i in range(steps):
            step(r * steps + i)
        best = min(best, (time.perf_counter() - start) / steps)
    return best


def main():
    if sys.argv[1] == "data":
        return data(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    case, lib, path, steps = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    x = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
    if lib == "jax_scan":
        step, sample = jax_scan(case, x, steps)
    else:
        step, sample = {"vae": vae_torch, "ddpm": ddpm_torch}[case](x, steps, lib == "torch_fused")
    out = {"step_s": step}
    if sample is not None:
        out["sample_s"] = sample
    print(json.dumps(out))


if __name__ == "__main__":
    main()
