#!/usr/bin/python3
"""Golden files: tiny GPT-2 and Llama models trained by PyTorch, against which Trivium is tested.

    golden.py --out DIR         writes DIR/{gpt2,llama,shakespeare-twin}/
    golden.py --check DIR       recomputes everything in memory, verifies the gradients by finite
                                differences and compares with the files in DIR
    golden.py --verify-hf DIR   compares the files in DIR with Hugging Face transformers

Each folder holds `model.safetensors` and `config.json`, the initial weights as a Hugging Face
folder, and `golden.safetensors`, what training from them must give; tests/golden/README.md lists
its tensors. The reference is computed in double precision; the same run in float32 is stored
beside it, to show what rounding alone does.

Exit status: 0 all well, 1 a difference, 2 bad usage, 77 PyTorch (or transformers) is missing.
"""
import argparse
import json
import math
import pathlib
import random
import sys

try:
    import numpy
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"golden: {error}: install python3-torch and python3-numpy", file=sys.stderr)
    sys.exit(77)

STEPS = 50
WARMUP_STEPS = 10
LR, MIN_LR = 1e-3, 1e-4
BETAS, EPS, WEIGHT_DECAY, CLIP = (0.9, 0.95), 1e-8, 0.1, 1.0
IGNORE = -1  # a target without loss

SCHEDULE = ("step counts from 0; step < warmup: lr*(step+1)/warmup; else "
            "t=(step-warmup)/(max_steps-warmup), min_lr+0.5*(lr-min_lr)*(1+cos(pi*t))")
METADATA = {
    "format": "pt",
    "data": "inputs and targets I32 [steps,batch,T]; target -1 has no loss; loss is the mean over "
            "valid targets, in nats",
    "optimizer": f"adamw lr={LR} min_lr={MIN_LR} warmup={WARMUP_STEPS} max_steps={STEPS} "
                 f"betas={BETAS[0]},{BETAS[1]} eps={EPS} weight_decay={WEIGHT_DECAY} (only tensors "
                 f"of 2 or more dimensions) clip_grad_norm={CLIP}",
    "lr": SCHEDULE,
    "precision": "computed in float64; names ending in _f32: the same run in float32",
}

# ---- safetensors ---------------------------------------------------------------------------------

DTYPES = {"F64": numpy.dtype("<f8"), "F32": numpy.dtype("<f4"), "I32": numpy.dtype("<i4")}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_safetensors(path, tensors, metadata):
    """Widest types first, so that every tensor lies aligned; the header is padded to 8 bytes."""
    arrays = {name: tensor.detach().contiguous().numpy() for name, tensor in tensors.items()}
    header, offset = {"__metadata__": metadata}, 0
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    for name in order:
        array = arrays[name]
        header[name] = {"dtype": DTYPE_NAMES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(arrays[name].tobytes())


def read_safetensors(path, strict=False):
    """Returns (tensors by name, metadata). Tensors must follow one another without holes; strict
    also asks for what write_safetensors promises: header order and padding, format "pt"."""
    data = pathlib.Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    metadata = header.pop("__metadata__", {})
    tensors, end = {}, 0
    entries = header.items() if strict else sorted(
        header.items(), key=lambda item: item[1]["data_offsets"])
    for name, entry in entries:
        start, stop = entry["data_offsets"]
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"{path}: {name}: {entry['dtype']} is not one of {', '.join(DTYPES)}")
        dtype = DTYPES[entry["dtype"]]
        if start != end or stop - start != dtype.itemsize * math.prod(entry["shape"]):
            raise ValueError(f"{path}: {name}: bytes {start} to {stop} do not fit")
        if strict and start % dtype.itemsize != 0:
            raise ValueError(f"{path}: {name}: starts unaligned, at {start}")
        array = numpy.frombuffer(body[start:stop], dtype).reshape(entry["shape"]).copy()
        tensors[name], end = torch.from_numpy(array), stop
    if end != len(body):
        raise ValueError(f"{path}: tensors end at byte {end}, the file at {len(body)}")
    if strict and (length % 8 != 0 or data[8:9] != b"{" or metadata.get("format") != "pt"):
        raise ValueError(f"{path}: unpadded header, or not of format pt")
    return tensors, metadata


# ---- models: functions of (parameters by Hugging Face name, config.json, ids [B,T]) --------------


def causal_attention(q, k, v):
    """q, k, v: [B,H,T,D]. Returns [B,T,H*D]."""
    B, H, T, D = q.shape
    scores = q @ k.transpose(-2, -1) / math.sqrt(D)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).reshape(B, T, H * D)


def split_heads(x, head_size):
    """[B,T,C] -> [B,H,T,D]"""
    return x.unflatten(-1, (-1, head_size)).transpose(1, 2)


def gpt2_logits(p, config, ids):
    C, eps = config["n_embd"], config["layer_norm_epsilon"]
    head_size = C // config["n_head"]

    def norm(name, x):
        return F.layer_norm(x, (C,), p[name + ".weight"], p[name + ".bias"], eps)

    def conv1d(name, x):  # GPT-2 stores its weights as [in, out]
        return x @ p[name + ".weight"] + p[name + ".bias"]

    x = p["transformer.wte.weight"][ids] + p["transformer.wpe.weight"][:ids.shape[1]]
    for layer in range(config["n_layer"]):
        h = f"transformer.h.{layer}."
        qkv = conv1d(h + "attn.c_attn", norm(h + "ln_1", x)).split(C, dim=-1)
        attention = causal_attention(*(split_heads(part, head_size) for part in qkv))
        x = x + conv1d(h + "attn.c_proj", attention)
        inner = F.gelu(conv1d(h + "mlp.c_fc", norm(h + "ln_2", x)), approximate="tanh")
        x = x + conv1d(h + "mlp.c_proj", inner)
    return norm("transformer.ln_f", x) @ p["transformer.wte.weight"].T


def rotate(x, theta):
    """Rotary position embedding, half-split: element i turns with element i + D/2. x: [B,H,T,D]."""
    T, D = x.shape[-2:]
    frequencies = theta ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    angles = torch.arange(T, dtype=torch.float64)[:, None] * frequencies
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def llama_logits(p, config, ids):
    eps, theta = config["rms_norm_eps"], config["rope_theta"]
    head_size = config["hidden_size"] // config["num_attention_heads"]
    sharing = config["num_attention_heads"] // config["num_key_value_heads"]

    def norm(name, x):
        return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * p[name + ".weight"]

    def linear(name, x):
        return x @ p[name + ".weight"].T

    x = p["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        h = f"model.layers.{layer}."
        y = norm(h + "input_layernorm", x)
        q, k, v = (split_heads(linear(h + f"self_attn.{part}_proj", y), head_size)
                   for part in "qkv")
        k = rotate(k, theta).repeat_interleave(sharing, dim=1)
        v = v.repeat_interleave(sharing, dim=1)
        attention = causal_attention(rotate(q, theta), k, v)
        x = x + linear(h + "self_attn.o_proj", attention)
        y = norm(h + "post_attention_layernorm", x)
        inner = F.silu(linear(h + "mlp.gate_proj", y)) * linear(h + "mlp.up_proj", y)
        x = x + linear(h + "mlp.down_proj", inner)
    return linear("lm_head", norm("model.norm", x))


MODELS = {"gpt2": gpt2_logits, "llama": llama_logits}


def mean_loss(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten().long(), ignore_index=IGNORE)


# ---- training ------------------------------------------------------------------------------------


def learning_rate(step, lr, min_lr, warmup_steps, max_steps):
    """Linear warm-up, then half a cosine; step counts from 0 (see SCHEDULE)."""
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    t = (step - warmup_steps) / (max_steps - warmup_steps)
    return min_lr + 0.5 * (lr - min_lr) * (1 + math.cos(math.pi * t))


def make_adamw(params, betas, eps, weight_decay):
    """Weight decay acts on matrices only: not on biases, not on norms."""
    matrices = [param for param in params.values() if param.dim() >= 2]
    vectors = [param for param in params.values() if param.dim() < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay},
              {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=betas, eps=eps)


def training_step(params, optimizer, lr, clip, loss):
    """From a loss to new parameters. Returns the norm of all gradients before clipping."""
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(params.values(), clip or math.inf)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    return norm.item()


def leaves(weights, dtype):
    return {name: w.to(dtype).clone().requires_grad_() for name, w in weights.items()}


def first_step(model, config, weights, inputs, targets):
    """Logits, loss and unclipped gradients at the initial weights, in double precision."""
    params = leaves(weights, torch.float64)
    logits = model(params, config, inputs[0].long())
    loss = mean_loss(logits, targets[0])
    loss.backward()
    return logits, loss, {name: param.grad for name, param in params.items()}


def train(model, config, weights, inputs, targets, dtype):
    """Returns (losses, gradient norms, learning rates, final parameters)."""
    params = leaves(weights, dtype)
    optimizer = make_adamw(params, BETAS, EPS, WEIGHT_DECAY)
    losses, norms, lrs = [], [], []
    for step in range(STEPS):
        loss = mean_loss(model(params, config, inputs[step].long()), targets[step])
        lrs.append(learning_rate(step, LR, MIN_LR, WARMUP_STEPS, STEPS))
        norms.append(training_step(params, optimizer, lrs[-1], CLIP, loss))
        losses.append(loss.item())
    return losses, norms, lrs, params


# ---- initial weights and data --------------------------------------------------------------------
# Only random.random(), sums and products: every machine gets the same bits.


def gpt2_config(vocab_size, n_positions, n_embd, n_head, bos, eos):
    return {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2",
            "vocab_size": vocab_size, "n_positions": n_positions, "n_embd": n_embd, "n_layer": 2,
            "n_head": n_head, "n_inner": None, "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
            "tie_word_embeddings": True, "bos_token_id": bos, "eos_token_id": eos,
            "torch_dtype": "float32"}


def llama_config():
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama",
            "vocab_size": 101, "max_position_embeddings": 32, "hidden_size": 48,
            "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 6,
            "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "attention_bias": False, "tie_word_embeddings": False,
            "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}


def gpt2_shapes(config):
    C, shapes = config["n_embd"], {}
    shapes["transformer.wte.weight"] = (config["vocab_size"], C)
    shapes["transformer.wpe.weight"] = (config["n_positions"], C)
    norms = [f"transformer.h.{n}.ln_{i}" for n in range(config["n_layer"]) for i in (1, 2)]
    for norm in norms + ["transformer.ln_f"]:
        shapes[norm + ".weight"] = shapes[norm + ".bias"] = (C,)
    for layer in range(config["n_layer"]):
        for name, rows, columns in (("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C),
                                    ("mlp.c_fc", C, 4 * C), ("mlp.c_proj", 4 * C, C)):
            shapes[f"transformer.h.{layer}.{name}.weight"] = (rows, columns)
            shapes[f"transformer.h.{layer}.{name}.bias"] = (columns,)
    return shapes


def llama_shapes(config):
    V, C, I = config["vocab_size"], config["hidden_size"], config["intermediate_size"]
    KV = C // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (V, C), "lm_head.weight": (V, C),
              "model.norm.weight": (C,)}
    for layer in range(config["num_hidden_layers"]):
        for name, shape in (("input_layernorm", (C,)), ("post_attention_layernorm", (C,)),
                            ("self_attn.q_proj", (C, C)), ("self_attn.k_proj", (KV, C)),
                            ("self_attn.v_proj", (KV, C)), ("self_attn.o_proj", (C, C)),
                            ("mlp.gate_proj", (I, C)), ("mlp.up_proj", (I, C)),
                            ("mlp.down_proj", (C, I))):
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    return shapes


def initial_weights(shapes, rng):
    """No norm is 1 and no bias 0, and attention is far from uniform: each gradient has work."""
    def bell():  # four uniforms make a bell of variance 1
        return (rng.random() + rng.random() + rng.random() + rng.random() - 2) * math.sqrt(3)

    weights = {}
    for name, shape in shapes.items():
        mean = 1.0 if len(shape) == 1 and name.endswith(".weight") else 0.0
        scale = 0.05 if name.endswith(".bias") else 0.1
        values = [mean + scale * bell() for _ in range(math.prod(shape))]
        weights[name] = torch.tensor(values, dtype=torch.float64).float().reshape(shape)
    return weights


def pattern_batches(rng, vocab_size, batch=3, seq_len=24, period=4):
    """A melody of 4 tokens from a random phase; for 20 steps one token in ten is any other.
    Once they are pure, gradients shrink below the clipping norm: both its sides are exercised. In
    step 0 some targets are masked: the first row's first third, every fifth of the others."""
    melody = [int(rng.random() * vocab_size) for _ in range(period)]
    rows = []
    for row in range(STEPS * batch):
        phase, noise = int(rng.random() * period), 0.1 if row < 20 * batch else 0.0
        rows.append([int(rng.random() * vocab_size) if rng.random() < noise
                     else melody[(phase + i) % period] for i in range(seq_len + 1)])
    tokens = torch.tensor(rows, dtype=torch.int32).reshape(STEPS, batch, seq_len + 1)
    inputs, targets = tokens[..., :-1].clone(), tokens[..., 1:].clone()
    targets[0, 0, :seq_len // 3] = IGNORE
    targets[0, 1:, ::5] = IGNORE
    return inputs, targets


WORDS = {"name": "the king|a sailor|my lady|the old fool|our captain|his daughter|the moon|a thief",
         "verb": "loves|betrays|follows|forgets|sings of|dreams of|hides from|sends for",
         "thing": "the sea|a crown|my heart|the winter|an empty house|her letter|the morning|gold",
         "end": ".|!|?|, and no one knows why.|, says the queen.|, until the bells ring."}


def text_batches(rng, batch=4, seq_len=32, lines=400):
    """Windows of made-up sentences, as bytes."""
    def pick(kind):
        choices = WORDS[kind].split("|")
        return choices[int(rng.random() * len(choices))]

    text = ""
    for _ in range(lines):
        sentence = f"{pick('name')} {pick('verb')} {pick('thing')}{pick('end')}\n"
        text += sentence[0].upper() + sentence[1:]
    data = torch.tensor(list(text.encode()), dtype=torch.int32)
    starts = [int(rng.random() * (len(data) - seq_len)) for _ in range(STEPS * batch)]
    tokens = torch.stack([data[start:start + seq_len + 1] for start in starts])
    tokens = tokens.reshape(STEPS, batch, seq_len + 1)
    return tokens[..., :-1].clone(), tokens[..., 1:].clone()


# ---- cases ---------------------------------------------------------------------------------------


def make_case(name):
    """Returns (config, initial weights, inputs, targets)."""
    rng = random.Random(sum(name.encode()))
    if name == "llama":
        config = llama_config()
        return (config, initial_weights(llama_shapes(config), rng),
                *pattern_batches(rng, config["vocab_size"]))
    if name == "gpt2":
        config = gpt2_config(97, 32, 48, 3, bos=0, eos=0)
        return (config, initial_weights(gpt2_shapes(config), rng),
                *pattern_batches(rng, config["vocab_size"]))
    config = gpt2_config(258, 32, 64, 2, bos=256, eos=257)  # 256 bytes, then BOS and EOS
    return config, initial_weights(gpt2_shapes(config), rng), *text_batches(rng)


CASES = {"gpt2": True, "llama": True, "shakespeare-twin": False}  # with gradients and logits?


def make_golden(name, config, weights, inputs, targets):
    """The tensors of golden.safetensors."""
    model = MODELS[config["model_type"]]
    arguments = (model, config, weights, inputs, targets)
    losses, norms, lrs, final = train(*arguments, torch.float64)
    losses_f32 = train(*arguments, torch.float32)[0]
    golden = {"inputs": inputs, "targets": targets,
              "losses": torch.tensor(losses, dtype=torch.float64),
              "losses_f32": torch.tensor(losses_f32, dtype=torch.float32),
              "grad_norms": torch.tensor(norms, dtype=torch.float64),
              "lrs": torch.tensor(lrs, dtype=torch.float64)}
    golden["loss"], golden["loss_f32"] = golden["losses"][:1], golden["losses_f32"][:1]
    if CASES[name]:
        logits, _, gradients = first_step(*arguments)
        golden["logits"] = logits.float()
        golden.update((f"grad.{key}", value.float()) for key, value in gradients.items())
        golden.update((f"norm.{key}", value.norm().reshape(1)) for key, value in final.items())
    return golden


def config_text(config):
    return json.dumps(config, indent=2) + "\n"


def write_all(directory):
    for name in CASES:
        config, weights, inputs, targets = make_case(name)
        folder = directory / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(config_text(config))
        write_safetensors(folder / "model.safetensors", weights, {"format": "pt"})
        golden = make_golden(name, config, weights, inputs, targets)
        write_safetensors(folder / "golden.safetensors", golden, METADATA)
        losses, rounded = golden["losses"], golden["losses_f32"]
        print(f"{name}: loss {losses[0]:.4f} -> {losses[-1]:.4f}, gradient norm "
              f"{golden['grad_norms'].min():.3f} to {golden['grad_norms'].max():.3f}, "
              f"float32 differs by {(rounded / losses - 1).abs().max():.1e}")


# ---- checks --------------------------------------------------------------------------------------

# What another processor or BLAS may change, relative to a tensor's largest element (losses fall to
# a twentieth of the first: each is held to 1e-9).
TOLERANCES = {"inputs": 0, "targets": 0, "lrs": 1e-12, "losses": 5e-11, "loss": 1e-9,
              "grad_norms": 1e-9, "norm": 1e-9, "grad": 1e-6, "logits": 1e-6,
              "loss_f32": 1e-5, "losses_f32": 1e-5}


def difference(ours, theirs):
    """Largest difference relative to the largest element; infinite where shapes or types differ."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return math.inf
    ours, theirs = ours.double(), theirs.double()
    off = (ours - theirs).abs().max().item() / max(theirs.abs().max().item(), 1e-30)
    return off if math.isfinite(off) else math.inf


def compare(path, expected, metadata, tolerance_of):
    """Returns one line per difference between tensors and a file."""
    found, found_metadata = read_safetensors(path, strict=True)
    lines = [] if found_metadata == metadata else [f"{path}: other __metadata__"]
    for name in sorted(expected.keys() ^ found.keys()):
        lines.append(f"{path}: {name} is {'missing' if name in expected else 'unexpected'}")
    for name in sorted(expected.keys() & found.keys()):
        off, tolerance = difference(found[name], expected[name]), tolerance_of(name)
        if off > tolerance:
            lines.append(f"{path}: {name} differs by {off:.2e}, allowed is {tolerance:.0e}")
    return lines


def check_gradients(name, config, weights, inputs, targets, samples=3, delta=1e-5):
    """Central differences in double precision, at a few elements of each parameter."""
    arguments = (MODELS[config["model_type"]], config, weights, inputs, targets)
    model, lines, rng = arguments[0], [], random.Random(1)
    gradients = first_step(*arguments)[2]
    params = {key: value.double() for key, value in weights.items()}
    for key, gradient in gradients.items():
        flat, scale = params[key].view(-1), gradient.abs().max().item()
        for index in [gradient.abs().argmax().item()] + [
                int(rng.random() * flat.numel()) for _ in range(samples)]:
            losses, origin = [], flat[index].item()
            for value in (origin - delta, origin + delta):
                flat[index] = value
                losses.append(mean_loss(model(params, config, inputs[0].long()), targets[0]).item())
            flat[index] = origin
            slope, found = (losses[1] - losses[0]) / (2 * delta), gradient.view(-1)[index].item()
            if abs(slope - found) > 1e-6 * scale + 1e-9:
                lines.append(f"{name}: gradient of {key}[{index}] is {found:.9e}, "
                             f"by differences {slope:.9e}")
    return lines


def check_all(directory):
    lines = []
    for name in CASES:
        folder, case = directory / name, make_case(name)
        try:
            if (folder / "config.json").read_text() != config_text(case[0]):
                lines.append(f"{folder / 'config.json'}: differs")
            lines += compare(folder / "model.safetensors", case[1], {"format": "pt"}, lambda _: 0)
            lines += compare(folder / "golden.safetensors", make_golden(name, *case), METADATA,
                             lambda tensor: TOLERANCES[tensor.split(".")[0]])
        except (OSError, ValueError) as error:
            lines.append(f"{folder}: {error}")
        lines += check_gradients(name, *case)
    return lines


def hugging_face_run(folder, inputs, targets):
    """Logits, loss and gradients by name, as transformers computes them from our folder."""
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float64)
    logits = model.eval()(input_ids=inputs[0].long()).logits.double()
    loss = mean_loss(logits, targets[0])
    loss.backward()
    return logits, loss, {name: param.grad for name, param in model.named_parameters()}


def verify_hugging_face(directory):
    """transformers computes parts of Llama in float32 whatever it is asked for."""
    try:
        import transformers
    except ImportError as error:
        print(f"golden: {error}", file=sys.stderr)
        sys.exit(77)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    lines = []
    for name in CASES:
        config, weights, inputs, targets = make_case(name)
        ours = first_step(MODELS[config["model_type"]], config, weights, inputs, targets)
        theirs = hugging_face_run(directory / name, inputs, targets)
        if ours[2].keys() != theirs[2].keys():
            lines.append(f"{name}: other parameters: {ours[2].keys() ^ theirs[2].keys()}")
            continue
        off = (difference(theirs[0], ours[0]), abs(theirs[1].item() / ours[1].item() - 1),
               max(difference(theirs[2][key], ours[2][key]) for key in ours[2]))
        line = f"{name}: logits differ by {off[0]:.1e}, loss {off[1]:.1e}, gradients {off[2]:.1e}"
        print(line)
        if max(off) > 1e-5:
            lines.append(line)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="write the files")
    parser.add_argument("--check", type=pathlib.Path, metavar="DIR", help="recompute and compare")
    parser.add_argument("--verify-hf", type=pathlib.Path, metavar="DIR",
                        help="compare with Hugging Face transformers")
    arguments = parser.parse_args()
    if not (arguments.out or arguments.check or arguments.verify_hf):
        parser.error("one of --out, --check, --verify-hf is needed")
    torch.set_num_threads(1)
    lines = []
    if arguments.out:
        write_all(arguments.out)
    if arguments.check:
        lines += check_all(arguments.check)
    if arguments.verify_hf:
        lines += verify_hugging_face(arguments.verify_hf)
    for line in lines:
        print(f"golden: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
