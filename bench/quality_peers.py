"""PyTorch on the cases of bench/quality.py, and what is measured of both sides; each call prints one JSON line.

    quality_peers.py split FILE COLUMNS LOW HIGH SHARE FOLDER         train.csv and test.csv, 0 … max mapped to LOW … HIGH
    quality_peers.py vae TRAIN TEST EPOCHS SEED DRAWS                 mean single-draw ELBO of a row of TEST
    quality_peers.py ddpm TRAIN EPOCHS SEED ROWS OUT                  samples
    quality_peers.py distances HELD SAMPLES                           energy distance and MMD
    quality_peers.py halves ROUNDS FILE...                            the same between random halves of the rows of the files
"""
import json
import math
import pathlib
import sys

from gradient_peers import ddpm_loss, ddpm_sample, net_torch, vae_loss, vae_nets
import numpy as np


def read(path):
    return np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)


def write(path, x):
    np.savetxt(path, x, fmt="%.7g", delimiter=",", header=",".join(f"c{i}" for i in range(x.shape[1])), comments="")


def split(path, columns, low, high, share, folder):
    """The first columns; where LOW < HIGH they are grey values from 0 on, otherwise they stay as they are."""
    x, low, high = read(path)[:, :int(columns)], float(low), float(high)
    if low < high:
        x = low + (high - low) * x / x.max()
    x = x[np.random.default_rng(0).permutation(len(x))]
    held = round(float(share) * len(x))
    write(pathlib.Path(folder, "train.csv"), x[held:])
    write(pathlib.Path(folder, "test.csv"), x[:held])
    return {"train": len(x) - held, "test": held}


def train(net, loss, x, batch, epochs, schedule=lambda done: 1.0):
    """Adam at 1e-3 times the schedule of the share that is done, rows shuffled every epoch, the last batch of it a part."""
    import torch
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    steps, step = epochs * math.ceil(len(x) / batch), 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            for group in opt.param_groups:
                group["lr"] = 1e-3 * schedule(step / steps)
            opt.zero_grad(set_to_none=True)
            loss(x[rows]).backward()
            opt.step()
            step += 1


def start(seed):
    import torch
    torch.set_num_threads(2)
    torch.manual_seed(int(seed))
    return torch


def vae(train_path, test_path, epochs, seed, draws):
    torch = start(seed)
    x, held = torch.from_numpy(read(train_path)), torch.from_numpy(read(test_path))
    nets = vae_nets(x.shape[1])
    train(nets, lambda b: vae_loss(nets, b) / len(b), x, 128, int(epochs))
    with torch.no_grad():
        return {"elbo": -sum(float(vae_loss(nets, held)) for _ in range(int(draws))) / int(draws) / len(held)}


def ddpm(path, epochs, seed, rows, out):
    torch = start(seed)
    x = torch.from_numpy(read(path))
    net = net_torch(x.shape[1])
    train(net, ddpm_loss(net), x, 256, int(epochs), lambda done: 0.5 * (1 + math.cos(math.pi * done)))
    write(out, ddpm_sample(net, int(rows), x.shape[1]).numpy())


def pairs(x, y):
    """Distances of all pairs."""
    square = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
    return np.sqrt(np.maximum(square, 0))


def distances(held, samples):
    """Energy distance 2 E|X − Y| − E|X − X'| − E|Y − Y'| and squared MMD with a Gaussian kernel, whose width is the median distance
    of held-out rows. Pairs of a row with itself are left out, so that both estimates are unbiased: 0 for equal distributions."""
    x, y = held.astype(float), samples.astype(float)
    n, m = len(x), len(y)
    xx, yy, xy = pairs(x, x), pairs(y, y), pairs(x, y)
    np.fill_diagonal(xx, 0)
    np.fill_diagonal(yy, 0)
    width = np.median(xx[np.triu_indices(n, 1)])

    def kernel(d):
        return np.exp(-0.5 * (d / width) ** 2)

    return {
        "energy": 2 * xy.mean() - xx.sum() / (n * (n - 1)) - yy.sum() / (m * (m - 1)),
        "mmd": (kernel(xx).sum() - n) / (n * (n - 1)) + (kernel(yy).sum() - m) / (m * (m - 1)) - 2 * kernel(xy).mean(),
    }


def halves(rounds, *paths):
    x, r = np.concatenate([read(p) for p in paths]), np.random.default_rng(0)
    found = []
    for _ in range(int(rounds)):
        x = r.permutation(x)
        found.append(distances(x[:len(x) // 2], x[len(x) // 2:]))
    return found


def main():
    what = {"split": split, "vae": vae, "ddpm": ddpm, "halves": halves,
            "distances": lambda held, samples: distances(read(held), read(samples))}
    print(json.dumps(what[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
