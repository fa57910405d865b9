#!/usr/bin/env python3
"""Quality of fits by gradients against PyTorch on real data: held-out bound of a VAE, distance of a diffusion's samples to
held-out rows. The models are those of bench/gradients.py; nets, starts, optimiser and budget are the same on both sides.

    python3 bench/quality.py --data FOLDER [--seeds 3] [--only vae|ddpm|digits|...] [--lvmc BINARY] [--python INTERPRETER]

The folder holds digits.csv, digits_binary.csv, mnist5k_14x14.csv and two_moons.csv (10,000 rows); cases without their file are
left out. The interpreter needs numpy and torch (bench/quality_peers.py). Some fifteen minutes on two idle cores.

The bound is in nats a row: the mean over held-out rows of DRAWS single-draw estimates each. Distances are unbiased estimates
(quality_peers.py, `distances`), which vary about 0 for equal distributions: `halves` of the data say how much.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from gradients import DDPM, HERE, ROOT, VAE

DRAWS = 64
# name, model, file, columns, range of grey values, share held out, epochs, rows to sample
CASES = [
    ("vae digits 8x8", "vae", "digits_binary.csv", 64, (0, 1), 0.2, 100, 0),
    ("vae mnist 14x14", "vae", "mnist5k_14x14.csv", 196, (0, 1), 0.2, 30, 0),
    ("ddpm moons", "ddpm", "two_moons.csv", 2, (0, 0), 0.5, 200, 5000),
    ("ddpm digits 8x8", "ddpm", "digits.csv", 64, (-1, 1), 0.2, 700, 3000),
]
ASKED = {"vae": "within 1 %", "ddpm": "at most 1.1"}


def run(*command, cwd=None):
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


class Sides:
    """Both sides of one case in one folder, that holds train.csv and test.csv."""

    def __init__(self, args, folder, epochs, rows):
        self.args, self.folder, self.epochs, self.rows = args, folder, epochs, rows

    def peer(self, *what):
        return json.loads(run(self.args.python, HERE / "quality_peers.py", *what, cwd=self.folder))

    def lvmc(self, *what):
        return run(self.args.lvmc, *what, "--threads", 2, cwd=self.folder)

    def fit(self, seed, *options):
        self.lvmc("fit", "model.lvm", "train.csv", "--epochs", self.epochs, "--seed", seed, "--out", "fit.json", "-q", *options)

    def vae(self, seed):
        """The held-out bound of both."""
        self.fit(seed)
        draws = [json.loads(self.lvmc("score", "fit.json", "test.csv", "--draws", 1, "--seed", 1000 * seed + k, "--json"))
                 for k in range(DRAWS)]
        ours = statistics.fmean(d["total"] / len(d["rows"]) for d in draws)
        return {"elbo": (ours, self.peer("vae", "train.csv", "test.csv", self.epochs, seed, DRAWS)["elbo"])}

    def ddpm(self, seed):
        """The distances of both to the held-out rows."""
        self.fit(seed, "--fit", "schedule=cosine")
        self.lvmc("sample", "fit.json", "-n", self.rows, "--seed", seed, "--out", "lvmc.csv", "-q")
        self.peer("ddpm", "train.csv", self.epochs, seed, self.rows, "torch.csv")
        ours, theirs = (self.peer("distances", "test.csv", f"{side}.csv") for side in ("lvmc", "torch"))
        return {k: (ours[k], theirs[k]) for k in ours}


def said(values):
    """Mean and standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.5g} ({spread:.2g})"


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=pathlib.Path, default=ROOT / "data")
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--only", default="")
    ask.add_argument("--lvmc", default=str(ROOT / "target/release/lvmc"))
    ask.add_argument("--python", default=sys.executable)
    args = ask.parse_args()
    args.lvmc = str(pathlib.Path(args.lvmc).resolve())
    print(f"mean (standard deviation) of {args.seeds} seeds\n"
          f"{'case':17} {'':6}  {'lvmc':20} {'PyTorch':20} {'ratio':>6}  asked")
    for name, model, file, columns, grey, share, epochs, rows in CASES:
        if args.only not in name or not (args.data / file).exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            sides = Sides(args, pathlib.Path(folder), epochs, rows)
            (sides.folder / "model.lvm").write_text({"vae": VAE, "ddpm": DDPM}[model])
            sides.peer("split", (args.data / file).resolve(), columns, *grey, share, ".")
            found = []
            for seed in range(1, args.seeds + 1):
                found.append(getattr(sides, model)(seed))
                print(f"{name} seed {seed}: lvmc, PyTorch {found[-1]}", file=sys.stderr, flush=True)
            floor = sides.peer("halves", 5, "train.csv", "test.csv") if model == "ddpm" else []
        for measure in found[0]:
            ours, theirs = zip(*(f[measure] for f in found))
            ratio = statistics.fmean(ours) / statistics.fmean(theirs)
            print(f"{name:17} {measure:6}  {said(ours):20} {said(theirs):20} {ratio:6.3f}  {ASKED[model]}"
                  + (f"   halves of the data: {said([f[measure] for f in floor])}" if floor else ""), flush=True)


if __name__ == "__main__":
    main()
