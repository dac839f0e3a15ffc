#!/usr/bin/python3
"""A peer: PyTorch's training step of a GPT-2, timed as trivium bench --suite train times ours.

    torch_step.py --shape L12,d768,H12,T64,B4,V50257 [--device cuda] [--precision bf16-mixed]

The letters are those of trivium bench --shape: layers, width, heads, context, batch, vocabulary.
Random tokens, fresh weights, AdamW with gradient clipping at 1 (--no-clip: without). Precisions:
32-true, and bf16-mixed (autocast; float weights). Attention is scaled_dot_product_attention where
this PyTorch has it; else softmax over the whole matrix of scores. Prints one JSON line about
itself, then one for each repeat, a few steps that are timed together: {"tokens_per_s": ...}; at
last the peak memory.
"""
import argparse
import json
import math
import re
import resource
import time

import torch
from torch import nn
from torch.nn import functional


def parse_shape(text):
    sizes = {letter: int(value) for letter, value in re.findall(r"([LdHTBV])(\d+)", text)}
    if set(sizes) != set("LdHTBV"):
        raise argparse.ArgumentTypeError(f"'{text}': expected L, d, H, T, B and V")
    return sizes


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x, future):
        batch, time_, width = x.shape
        shape = (batch, time_, self.heads, width // self.heads)
        q, k, v = (part.reshape(shape).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        if hasattr(functional, "scaled_dot_product_attention"):
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(2, 3) / math.sqrt(shape[3])
            y = scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, time_, width))

    def forward(self, x, future):
        x = x + self.attend(self.norm_attention(x), future)
        hidden = functional.gelu(self.up(self.norm_mlp(x)), approximate="tanh")
        return x + self.down(hidden)


class Model(nn.Module):
    """GPT-2: learned positions, pre-norm blocks, the head tied to the embedding, no dropout."""

    def __init__(self, sizes):
        super().__init__()
        width = sizes["d"]
        self.tokens = nn.Embedding(sizes["V"], width)
        self.positions = nn.Embedding(sizes["T"], width)
        self.layers = nn.ModuleList(Layer(width, sizes["H"]) for _ in range(sizes["L"]))
        self.norm = nn.LayerNorm(width)
        future = torch.ones(sizes["T"], sizes["T"], dtype=torch.bool).triu(1)
        self.register_buffer("future", future)
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight
        for layer in self.layers:
            x = layer(x, self.future)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class Trainer:
    def __init__(self, options):
        self.sizes, self.cuda = options.shape, options.device == "cuda"
        self.mixed, self.clip = options.precision == "bf16-mixed", not options.no_clip
        self.device = torch.device(options.device)
        self.model = Model(self.sizes).to(self.device)
        fused = {"fused": True} if self.cuda and torch.__version__ >= "2" else {}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-4, betas=(0.9, 0.95),
                                           weight_decay=0.1, **fused)

    def batch(self):
        shape = (self.sizes["B"], self.sizes["T"])
        return (torch.randint(self.sizes["V"], shape).to(self.device) for _ in range(2))

    def step(self):
        ids, targets = self.batch()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed):
            loss = self.model(ids, targets)
        loss.backward()
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()  # waits for the device, as reading the loss does for us

    def timed(self, steps):
        start = time.perf_counter()
        for _ in range(steps):
            loss = self.step()
        if self.cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps, loss


def about(trainer, options):
    name = torch.cuda.get_device_name() if trainer.cuda else "CPU"
    sdpa = hasattr(functional, "scaled_dot_product_attention")
    return {"torch": torch.__version__, "device": name, "threads": torch.get_num_threads(),
            "precision": options.precision, "clip": trainer.clip,
            "attention": "scaled_dot_product_attention" if sdpa else "softmax of all scores",
            "parameters": sum(weight.numel() for weight in trainer.model.parameters())}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=parse_shape, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument("--no-clip", action="store_true")
    parser.add_argument("--threads", type=int, help="default: PyTorch's own")
    parser.add_argument("--seconds", type=float, default=4, help="timed in all")
    parser.add_argument("--repeats", type=int, default=5, help="at least 3, within the seconds")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    trainer = Trainer(options)
    print(json.dumps(about(trainer, options)), flush=True)
    tokens = options.shape["B"] * options.shape["T"]
    loss = trainer.step()  # first steps choose algorithms and fill caches
    expected = math.log(options.shape["V"])
    if abs(loss - expected) > 0.1 * expected:
        raise SystemExit(f"first loss {loss}, expected about {expected}")
    each, _ = trainer.timed(1)
    steps = max(1, round(options.seconds / options.repeats / each))
    for _ in range(max(3, options.repeats if steps > 1 else round(options.seconds / each))):
        each, loss = trainer.timed(steps)
        print(json.dumps({"tokens_per_s": tokens / each, "loss": loss}), flush=True)
    peak = {"resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}
    if trainer.cuda:
        peak["device_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(peak), flush=True)


if __name__ == "__main__":
    main()
