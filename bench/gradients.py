#!/usr/bin/env python3
"""Fits by gradients against PyTorch and JAX: training samples per second of a VAE, training steps per second and sampling of
a diffusion.

    python3 bench/gradients.py [--rounds 5] [--only vae|ddpm] [--lvmc BINARY] [--python INTERPRETER]

The interpreter needs numpy, torch, jax and optax (the peers in bench/gradient_peers.py). Data are made inside, the same for both
sides. lvmc's time per step is that of a long fit less that of a short one, so that reading, lowering and scoring do not count;
peers are timed after their first step. Sides run alternately; the ratio is of the minima. Nothing else should run on the machine.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
VAE = """dim Q = 20, H = 400
net decoder(z : real[Q]) -> p : unit[D] {
  h = dense(z, H, relu)
  p = dense(h, D, sigmoid)
}
net encoder(x : real[D]) -> m : real[Q], v : positive[Q] {
  h = dense(x, H, relu)
  m = dense(h, Q)
  v = dense(h, Q, exp)
}
z ~ Normal(0, I[Q])
x ~ Bernoulli(decoder(z))
guide {
  m, v = encoder(x)
  z ~ Normal(m, diag(v))
}
fit { optimizer = adam(lr = 1e-3), batch = 128 }
"""
DDPM = """dim T = 1000, H = 256, E = 32
data x[0] : real[D]
const beta[t in 1..T]  = 1e-4 + (0.02 - 1e-4) * (t - 1) / (T - 1)
const alpha[t in 1..T] = 1 - beta[t]
const abar[t in 1..T]  = prod(alpha[1..t])
net eps(x : real[D], t : int) -> e : real[D] {
  h = dense(concat(x, sinusoidal(t, E)), H, silu)
  h = dense(h, H, silu)
  h = dense(h, H, silu)
  e = dense(h, D)
}
chain t in T..1 {
  x[T]   ~ Normal(0, I)
  x[t-1] ~ Normal((x[t] - beta[t] / sqrt(1 - abar[t]) * eps(x[t], t)) / sqrt(alpha[t]), beta[t] * I)
}
guide {
  chain t in 1..T {
    x[t] ~ Normal(sqrt(1 - beta[t]) * x[t-1], beta[t] * I)
  }
}
fit { objective = simple, optimizer = adam(lr = 1e-3), batch = 256 }
"""


def fit(lvmc, folder, model, data, epochs, out=None):
    """Seconds of the fit stage, and steps."""
    command = [lvmc, "fit", model, data, "--epochs", str(epochs), "--json", "--threads", "2"]
    if out:
        command += ["--out", out]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    found = json.loads(done.stdout)
    return found["timing"]["fit"], found["training"]["steps"]


def lvmc_step(lvmc, folder, model, data, epochs):
    """Seconds of one training step."""
    (short, n), (long, m) = fit(lvmc, folder, model, data, 1), fit(lvmc, folder, model, data, 1 + epochs)
    return (long - short) / (m - n)


def peer(python, *what):
    done = subprocess.run([python, HERE / "gradient_peers.py", *map(str, what)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout or "null")


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--only", default="")
    ask.add_argument("--lvmc", default=str(ROOT / "target/release/lvmc"))
    ask.add_argument("--python", default=sys.executable)
    args = ask.parse_args()
    args.lvmc = str(pathlib.Path(args.lvmc).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for case, text, rows, width, batch, epochs in [("vae", VAE, 15360, 784, 128, 4), ("ddpm", DDPM, 25600, 2, 256, 10)]:
            if args.only not in case:
                continue
            (folder / "model.lvm").write_text(text)
            peer(args.python, "data", case, rows, width, folder / "data.csv")
            ours, theirs, sampled = [], {"torch": [], "torch_fused": [], "jax_scan": []}, {}
            for _ in range(args.rounds):
                ours.append(lvmc_step(args.lvmc, folder, "model.lvm", "data.csv", epochs))
                for lib, list_ in theirs.items():
                    found = peer(args.python, case, lib, folder / "data.csv", 200)
                    list_.append(found["step_s"])
                    if "sample_s" in found:
                        sampled.setdefault(lib, []).append(found["sample_s"])
            for lib, list_ in theirs.items():
                ratio = min(list_) / min(ours)
                print(f"{case:5} lvmc {1e3 * min(ours):7.3f} ms a step ({batch / min(ours):9.0f} rows/s)   {lib:12} "
                      f"{1e3 * min(list_):7.3f} ms   {ratio:5.2f} times", flush=True)
            if case == "ddpm":
                fit(args.lvmc, folder, "model.lvm", "data.csv", 1, "fit.json")
                times = [json.loads(subprocess.run(
                    [sys.executable, "-c", TIMED, args.lvmc, "sample", "fit.json", "-n", "512", "-q"], cwd=folder,
                    capture_output=True, text=True).stdout) for _ in range(args.rounds)]
                for lib, list_ in sampled.items():
                    print(f"ddpm  512 samples: lvmc {min(times):.3f} s (whole process)   {lib} {min(list_):.3f} s   "
                          f"{min(list_) / min(times):.2f} times", flush=True)


TIMED = "import subprocess,sys,time; t=time.perf_counter(); subprocess.run(sys.argv[1:],capture_output=True); print(time.perf_counter()-t)"

if __name__ == "__main__":
    main()
