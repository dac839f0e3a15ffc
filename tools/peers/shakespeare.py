#!/usr/bin/python3
"""A peer run: PyTorch trains the same model from the same weights on the same batches as Trivium.

    shakespeare.py --model FOLDER --data DIR/train --seq-len 256 --batch-size 4 --steps 100 \\
                   --out peer.jsonl --compare RUN/metrics.jsonl

FOLDER is a Hugging Face folder with the initial weights (a GPT-2 of any size, or a Llama).
DIR/train holds token shards from `trivium prepare`: the same windows are taken in the same order,
which is worked out here anew (src/data/batch.h, src/base/rng.h). Instead of --data, --batches FILE
holds little-endian uint32 tokens [steps, batch, T+1]: inputs are [:, :, :-1], targets [:, :, 1:],
and 4294967295 is a target without loss. Prints a line `step loss` per step; --out also writes
{"step", "loss", "lr", "grad_norm"} as JSON lines.

Steps count from 1, and the loss of step s is that of its batch before the parameters' update, as in
Trivium's metrics. --compare prints the relative difference of the losses at every step that both
have, and exits with 1 where one is above --tolerance. Without --data and --batches nothing is
trained: the losses already in --out are compared.
"""
import argparse
import json
import math
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import golden  # the models, the schedule, the reader; ends with 77 where PyTorch is missing
import numpy
import torch


MASK = 0xFFFFFFFF


def load_model(folder):
    """Returns (logits function, config, float32 weights)."""
    config = json.loads((folder / "config.json").read_text())
    weights, _ = golden.read_safetensors(folder / "model.safetensors")
    return golden.MODELS[config["model_type"]], config, weights


def load_batches(path, batch_size, seq_len):
    """int64 [steps, batch, T+1]; a target without loss becomes -1."""
    tokens = numpy.fromfile(path, dtype="<i4")
    row = batch_size * (seq_len + 1)
    if tokens.size == 0 or tokens.size % row != 0:
        sys.exit(f"{path}: {tokens.size} tokens are not a whole number of steps of {batch_size} x "
                 f"{seq_len + 1}; check --batch-size and --seq-len")
    return torch.from_numpy(tokens.reshape(-1, batch_size, seq_len + 1).astype(numpy.int64))


def read_shards(folder):
    """All ids of a folder of token shards: 64 bytes of head, then ids of 2 or 4 bytes."""
    ids = []
    for path in sorted(folder.glob("*.tokens")):
        data = path.read_bytes()
        width = int.from_bytes(data[12:16], "little")
        ids.append(numpy.frombuffer(data, dtype=f"<u{width}", offset=64).astype(numpy.int64))
    if not ids:
        sys.exit(f"{folder}: no token shards; trivium prepare writes them")
    return numpy.concatenate(ids)


def philox(key, counter):
    """Philox4x32-10 (Salmon et al., SC11): four words for a counter of four under a key of two."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & MASK, (p0 >> 32) ^ c[3] ^ k1, p0 & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c


def permute(index, count, key):
    """A permutation of range(count): a Feistel network, walked until it lands inside."""
    half = 1
    while half < 32 and 1 << 2 * half < count:
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(4):
            word = philox((key & MASK, key >> 32), (right & MASK, right >> 32, turn, half))[0]
            left, right = right, (left ^ word) & mask
        index = left << half | right
        if index < count:
            return index


def draw_batches(options):
    """The batches of Trivium's first steps, int64 [steps, batch, T+1]."""
    ids, length = read_shards(options.data), options.seq_len
    windows = (len(ids) - 1) // length
    samples = range(options.steps * options.batch_size)
    if windows < len(samples):
        sys.exit(f"{options.data}: {windows} windows are less than the {len(samples)} of one epoch")
    low, high = philox((options.seed & MASK, options.seed >> 32), (0, 0, 0x65706F63, 0))[:2]
    key = high << 32 | low  # of the first epoch
    starts = [permute(sample, windows, key) * length for sample in samples]
    rows = numpy.stack([ids[start:start + length + 1] for start in starts])
    return torch.from_numpy(rows.reshape(options.steps, options.batch_size, length + 1))


def schedule(options, step, max_steps):
    """The learning rate of a step counted from 0."""
    if options.schedule == "constant":
        return options.lr * min(1.0, (step + 1) / max(options.warmup_steps, 1))
    return golden.learning_rate(step, options.lr, options.min_lr, options.warmup_steps, max_steps)


def train(options, batches):
    """Yields one dictionary per step."""
    model, config, weights = load_model(options.model)
    params = golden.leaves(weights, getattr(torch, options.dtype))
    optimizer = golden.make_adamw(params, options.betas, options.eps, options.weight_decay)
    max_steps = options.max_steps or len(batches)
    for step, batch in enumerate(batches[:options.steps]):
        loss = golden.mean_loss(model(params, config, batch[:, :-1]), batch[:, 1:])
        lr = schedule(options, step, max_steps)
        norm = golden.training_step(params, optimizer, lr, options.clip, loss)
        yield {"step": step + 1, "loss": loss.item(), "lr": lr, "grad_norm": norm}


def run(options):
    if options.batches:
        batches = load_batches(options.batches, options.batch_size, options.seq_len)
    else:
        batches = draw_batches(options)
    losses = {}
    with open(options.out or os.devnull, "w") as out:
        for line in train(options, batches):
            losses[line["step"]] = line["loss"]
            print(line["step"], f"{line['loss']:.6f}", flush=True)
            out.write(json.dumps(line) + "\n")
    return losses


def read_losses(path):
    """Losses by step of a file of JSON lines; validation lines have none. Where a resumed run
    repeats a step, the last counts."""
    lines = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
    return {line["step"]: line["loss"] for line in lines if line.get("loss") is not None}


def compare(peer, ours, tolerance):
    """Prints a table; returns whether all common steps agree."""
    steps = sorted(peer.keys() & ours.keys())
    if not steps:
        print("no step is in both runs", file=sys.stderr)
        return False
    worst, worst_step = -1.0, 0
    print("step peer trivium difference")
    for step in steps:
        off = abs(ours[step] - peer[step]) / abs(peer[step])
        off = off if math.isfinite(off) else math.inf
        print(f"{step} {peer[step]:.6f} {ours[step]:.6f} {off:.2e}")
        if off > worst:
            worst, worst_step = off, step
    verdict = "agree" if worst <= tolerance else "DIFFER"
    print(f"{len(steps)} steps {verdict}: largest relative difference {worst:.2e} at step "
          f"{worst_step}, allowed is {tolerance:.0e}")
    return worst <= tolerance


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--model", type=pathlib.Path, help="Hugging Face folder with the initial weights")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--batches", type=pathlib.Path, help="uint32 tokens [steps, batch, T+1]")
    source.add_argument("--data", type=pathlib.Path, help="token shards from trivium prepare")
    add("--batch-size", type=int, default=4)
    add("--seq-len", type=int, default=256)
    add("--steps", type=int, default=100, help="stop after so many")
    add("--max-steps", type=int, help="length of the schedule (default: all batches)")
    add("--schedule", choices=("cosine", "constant"), default="cosine")
    add("--lr", type=float, default=3e-4)
    add("--min-lr", type=float, default=3e-5)
    add("--warmup-steps", type=int, default=100)
    add("--betas", type=float, nargs=2, default=(0.9, 0.95))
    add("--eps", type=float, default=1e-8)
    add("--weight-decay", type=float, default=0.1)
    add("--clip", type=float, default=1.0, help="largest gradient norm, 0: no clipping")
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--seed", type=int, default=1, help="Trivium's seed")
    add("--threads", type=int, default=2)
    add("--out", type=pathlib.Path, metavar="JSONL", help="the peer's losses")
    add("--compare", type=pathlib.Path, metavar="JSONL", help="Trivium's metrics.jsonl")
    add("--tolerance", type=float, default=0.01)
    options = parser.parse_args()
    if (options.batches or options.data) and not options.model:
        parser.error("--model is needed to train")
    if not (options.batches or options.data) and not (options.out and options.compare):
        parser.error("give --data or --batches to train, or --out and --compare to compare")
    return options


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    trains = options.batches or options.data
    peer = run(options) if trains else read_losses(options.out)
    if options.compare and not compare(peer, read_losses(options.compare), options.tolerance):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
