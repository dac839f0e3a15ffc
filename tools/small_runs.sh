# shellcheck shell=bash
# What scripts that train a small GPT-2 share. Sourced; the first comment of such a script is its
# help.

program=$(dirname "$0")/../build/trivium

usage() {
  sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "$0" >&2
  exit 2
}

# What follows the options, and -m: text, layers, heads, width, context, batch.
take_text() { # SIZES ARG...
  [ $# = 2 ] || usage
  read -r layers heads width context batch <<<"$1"
  [ -n "$batch" ] || usage
  text=$2
}

# In a folder: data of the text, and train.yaml, by which a run learns it and validates at the end.
prepare_run() { # FOLDER STEPS TRAINER-SETTINGS
  "$program" prepare --tokenizer bytes --out "$1/data" "$text" >&2
  cat >"$1/train.yaml" <<YAML
seed: 1
model: {type: gpt2, n_layer: $layers, n_head: $heads, n_embd: $width, n_positions: $context}
data: {train: $1/data/train, val: $1/data/val, seq_len: $context}
trainer: {max_steps: $2, global_batch_size: $batch, log_every_n_steps: 10,
  val_check_interval: 0, limit_val_batches: 50, checkpoint_every_n_steps: 0${3:+, $3}}
optimizer: {lr: 1.0e-3}
lr_scheduler: {name: cosine, warmup_steps: $(($2 / 10)), min_lr: 1.0e-4}
YAML
}

validation_loss() { # RUN
  sed -nE 's/.*"val_loss": ([^,}]*).*/\1/p' "$1/metrics.jsonl" | tail -n 1
}
