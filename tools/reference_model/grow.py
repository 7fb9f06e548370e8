"""More heads and layers, the same function: a trained small model as the beginning of a larger one.

A KV head and its query heads are copied; of the output columns both copies keep half, so the sum is what it was. A little noise on
the copies' queries and keys lets them part. A new layer is a copy of its neighbour whose output and down products are zero.
usage: grow.py SMALL.pt GROWN.pt
"""

import sys

import torch

import model
from config import GROWN, LAYER_SOURCES, SEED, SMALL

NOISE = 0.05  # of the weights' own standard deviation


def copy_heads(weight, copies, rows_per_head):
    """[heads * rows_per_head, dim] -> every head `copies` times, in runs: 0 0 1 1 ..."""
    heads = weight.view(-1, rows_per_head, weight.shape[1])
    return heads.repeat_interleave(copies, 0).reshape(-1, weight.shape[1])


def noisy(weight, rows, generator):
    """Noise on every second run of `rows` rows: the copies, not the originals."""
    noise = torch.randn(weight.shape, generator=generator) * weight.std() * NOISE
    noise.view(-1, 2, rows, weight.shape[1])[:, 0] = 0
    return weight + noise


def grow(small, noise=True):
    copies = GROWN.kv_heads // SMALL.kv_heads
    group_rows = SMALL.heads // SMALL.kv_heads * SMALL.head_dim
    generator = torch.Generator().manual_seed(SEED)
    grown = {"e.weight": small["e.weight"], "n.w": small["n.w"]}
    for layer, source in enumerate(LAYER_SOURCES):
        new = layer > 0 and LAYER_SOURCES[layer - 1] == source
        for name in ("n1.w", "n2.w", "q.weight", "k.weight", "v.weight", "o.weight", "g.weight", "u.weight", "d.weight"):
            w = small[f"b.{source}.{name}"]
            if name[0] in "kv":
                w = copy_heads(w, copies, SMALL.head_dim)
                w = noisy(w, SMALL.head_dim, generator) if noise else w
            elif name[0] == "q":
                w = copy_heads(w, copies, group_rows)
                w = noisy(w, group_rows, generator) if noise else w
            elif name[0] == "o":
                w = copy_heads(w.t(), copies, group_rows).t() / copies
            if new and name[0] in "od":
                w = torch.zeros_like(w)
            grown[f"b.{layer}.{name}"] = w.clone().contiguous()
    return grown


def check(small, grown):
    """Largest difference of log-probabilities on random ids: bfloat16 rounding, nothing more."""
    a, b = model.Model(SMALL), model.Model(GROWN)
    a.load_state_dict(small)
    b.load_state_dict(grown)
    ids = torch.randint(300, SMALL.vocab, (2, 200), generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return (a(ids).float().log_softmax(-1) - b(ids).float().log_softmax(-1)).abs().max().item()


if __name__ == "__main__":
    small = torch.load(sys.argv[1])
    small = small.get("model", small)
    print(f"largest difference without noise: {check(small, grow(small, noise=False)):.3g}")
    grown = grow(small)
    print(f"largest difference with noise:    {check(small, grown):.3g}")
    torch.save(grown, sys.argv[2])
