#!/usr/bin/env bash
# Trains the same GPT-2 (6 layers, 384 wide, context 256, bytes) with Trivium and with PyTorch from
# the same initial weights on the same batches, and compares the losses step by step.
#
#     tools/peers/shakespeare.sh TEXT [STEPS] [FOLDER]
#
# TEXT is any text file; docs/benchmarks.md has the result for tinyshakespeare. Needs the program in
# build/ and Debian's python3-torch. FOLDER (default shakespeare-peer) must not exist.
set -euo pipefail

text=${1:?usage: shakespeare.sh TEXT [STEPS] [FOLDER]}
steps=${2:-100}
folder=${3:-shakespeare-peer}
root=$(cd "$(dirname "$0")/../.." && pwd)
trivium=$root/build/trivium

[ ! -e "$folder" ] || { echo "$folder exists; name another folder" >&2; exit 2; }
mkdir -p "$folder"
"$trivium" prepare --tokenizer bytes --out "$folder/data" "$text"
cat > "$folder/train.yaml" <<EOF
seed: 1
model: {type: gpt2, n_layer: 6, n_head: 6, n_embd: 384, n_positions: 256}
data: {train: $folder/data/train, val: $folder/data/val, seq_len: 256}
trainer: {max_steps: $steps, global_batch_size: 4, log_every_n_steps: 1, val_check_interval: 0,
  limit_val_batches: 5}
optimizer: {lr: 1.0e-3}
lr_scheduler: {name: cosine, warmup_steps: 10, min_lr: 1.0e-4}
EOF

# A step at learning rate 0 changes nothing: its checkpoint holds the initial weights.
"$trivium" train "$folder/train.yaml" run_dir="$folder/initial" trainer.max_steps=1 \
    optimizer.lr=0 lr_scheduler.min_lr=0 lr_scheduler.warmup_steps=0
"$trivium" train "$folder/train.yaml" run_dir="$folder/run"
/usr/bin/python3 "$root/tools/peers/shakespeare.py" \
    --model "$folder/initial/checkpoints/step-00000001" --data "$folder/data/train" \
    --batch-size 4 --seq-len 256 --steps "$steps" --lr 1e-3 --min-lr 1e-4 --warmup-steps 10 \
    --out "$folder/peer.jsonl" --compare "$folder/run/metrics.jsonl" --tolerance 0.01
