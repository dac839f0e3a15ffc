#!/usr/bin/python3
"""A peer run: PyTorch trains the same model from the same weights on the same batches as Trivium.

    shakespeare.py --model FOLDER --batches FILE --seq-len 256 --batch-size 4 --out peer.jsonl \\
                   --compare RUN/metrics.jsonl

FOLDER is a Hugging Face folder with the initial weights (a GPT-2 of any size, or a Llama). FILE
holds little-endian uint32 tokens [steps, batch, T+1]: inputs are [:, :, :-1], targets [:, :, 1:],
and 4294967295 is a target without loss. Instead of --batches, --text FILE trains on the bytes of a
text, in windows drawn at random. Prints a line `step loss` per step; --out also writes
{"step", "loss", "lr", "grad_norm"} as JSON lines.

Steps count from 1, and the loss of step s is that of its batch before the parameters' update, as in
Trivium's metrics. --compare prints the relative difference of the losses at every step that both
have, and exits with 1 where one is above --tolerance. Without --batches and --text nothing is
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


def draw_batches(path, batch_size, seq_len, steps, seed):
    """Windows of a text's bytes, int64 [steps, batch, T+1]."""
    data = torch.tensor(list(path.read_bytes()))
    if len(data) <= seq_len:
        sys.exit(f"{path}: {len(data)} bytes are too few for --seq-len {seq_len}")
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(data) - seq_len, (steps * batch_size,), generator=generator)
    windows = torch.stack([data[start:start + seq_len + 1] for start in starts.tolist()])
    return windows.reshape(steps, batch_size, seq_len + 1)


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
        batches = draw_batches(options.text, options.batch_size, options.seq_len,
                               options.steps or 100, options.seed)
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
    source.add_argument("--text", type=pathlib.Path, help="train on the bytes of this file")
    add("--batch-size", type=int, default=4)
    add("--seq-len", type=int, default=256)
    add("--steps", type=int, help="stop after so many (default: all batches; 100 for --text)")
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
    add("--seed", type=int, default=1, help="of the windows of --text")
    add("--threads", type=int, default=2)
    add("--out", type=pathlib.Path, metavar="JSONL", help="the peer's losses")
    add("--compare", type=pathlib.Path, metavar="JSONL", help="Trivium's metrics.jsonl")
    add("--tolerance", type=float, default=0.01)
    options = parser.parse_args()
    if (options.batches or options.text) and not options.model:
        parser.error("--model is needed to train")
    if not (options.batches or options.text) and not (options.out and options.compare):
        parser.error("give --batches or --text to train, or --out and --compare to compare")
    return options


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    trains = options.batches or options.text
    peer = run(options) if trains else read_losses(options.out)
    if options.compare and not compare(peer, read_losses(options.compare), options.tolerance):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
