#!/bin/bash
# Training from the outside: it learns, what it writes is what is documented, and the same
# configuration gives the same run.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
make_data
make_config run gpt2
make_config rotary llama

# The value of KEY in the lines that have it.
values() { # RUN KEY
  sed -nE "s/.*\"$2\": ([^,}]*).*/\\1/p" "$1/metrics.jsonl"
}
last() { # RUN KEY
  values "$1" "$2" | tail -n 1
}
# Numbers of two files, one per line, agree to RELATIVE; there is at least one.
# shellcheck disable=SC2317 # called through check
close() { # RELATIVE A B
  paste "$2" "$3" | awk -v limit="$1" '
    { d = $1 - $2; if (d < 0) d = -d; s = $2 < 0 ? -$2 : $2 }
    NF != 2 || d > limit * s { print "line " NR ": " $0; bad = 1 }
    END { exit bad || NR == 0 }'
}
# shellcheck disable=SC2317 # called through check
less() { # A B: numbers
  awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && b != "" && a + 0 < b + 0) }'
}
checkpoint=checkpoints/step-00000012

# ---------------------------------------------------------------------------------------- learning

for name in run rotary; do
  need "$program" train "$name.yaml" --quiet run_dir="$name.long" trainer.max_steps=80 \
    optimizer.lr=0.01 trainer.val_check_interval=40 trainer.checkpoint_every_n_steps=0
  first=$(values "$name.long" loss | head -n 1)
  check "$name: the first loss is that of guessing: $first" less "$first" 5.8
  check "$name: the first loss is not lower than guessing" less 5.3 "$first"
  check "$name: the loss falls: $(last "$name.long" loss)" less "$(last "$name.long" loss)" 2.0
  check "$name: the validation loss falls: $(last "$name.long" val_loss)" \
    less "$(last "$name.long" val_loss)" 2.5
done

# ------------------------------------------------------------------------------------ what is there

need "$program" train run.yaml --quiet
stages='opening data [0-9.]+, .*, compiling kernels [0-9.]+, setting weights [0-9.]+'
check "the log says how long each stage of the start took" \
  grep -Eq " ready in [0-9.]+ s: $stages\$" run/log.txt
for file in config.yaml metrics.jsonl metrics.csv loss.png log.txt checkpoints; do
  check "the run has $file" test -e "run/$file"
done
for file in model.safetensors config.json optimizer.safetensors trainer.json manifest.json; do
  check "the checkpoint has $file" test -s "run/$checkpoint/$file"
done
check "two checkpoints are kept" test "$(find run/checkpoints -name 'step-*' | wc -l)" = 2
check "loss.png is a PNG of 1200 x 800" test "$(od -An -tx1 -N 24 run/loss.png | tr -d ' \n')" = \
  89504e470d0a1a0a0000000d49484452000004b000000320
keys_of() { # JSONL on stdin: the keys of each line, without their values
  sed -E 's/"([a-z_]+)": [-+.0-9eE]+/\1/g' | sort | uniq -c | sed -E 's/^ +//'
}
cat >keys.expected <<'TEXT'
12 {step, loss, lr, grad_norm, tokens, tokens_per_s, flops_per_s, step_ms, skipped}
3 {step, val_loss, tokens, skipped}
TEXT
check "the keys of metrics.jsonl" diff <(keys_of <run/metrics.jsonl) keys.expected
check "the header of metrics.csv" grep -qx \
  "step,loss,val_loss,lr,grad_norm,tokens,tokens_per_s,flops_per_s,step_ms,skipped,loss_scale" \
  run/metrics.csv
check "a line of metrics.csv per line of metrics.jsonl" \
  test "$(wc -l <run/metrics.csv)" = "$(($(wc -l <run/metrics.jsonl) + 1))"
check "steps 1 to 12 are logged" diff <(values run step | sort -nu) <(seq 1 12)
check "tokens are counted" test "$(last run tokens)" = $((12 * 4 * 32))
check "the learning rate warms up" test "$(values run lr | head -n 2 | xargs)" = "0.0005 0.001"
python=$(command -v python3 || true)
if "${python:-false}" -c 'import json' 2>/dev/null; then
  check "all JSON is JSON" "$python" -c '
import json, sys
for name in sys.argv[1:]:
    with open(name) as file:
        for text in file if name.endswith("l") else [file.read()]:
            json.loads(text)' run/metrics.jsonl run/$checkpoint/*.json
else
  echo "skipped: JSON by another parser; there is no python3"
fi
expect "inspect a run" 0 inspect run
check "inspect names the newest checkpoint" grep -q "step-00000012" out
expect "plot a run" 0 plot run rotary.long --out both.png
check "nothing unfinished is left" test -z "$(find . -name '*.tmp*')"

# -------------------------------------------------------------------------------------- reproducing

same_run() { # TEXT RUN
  check "$1: the same metrics" diff <(metrics_of "$2") <(metrics_of run)
  check "$1: the same weights" diff <(weights_of "$2/$checkpoint") <(weights_of "run/$checkpoint")
}
need "$program" train run.yaml --quiet run_dir=again
same_run "the same configuration" again
need "$program" train run/config.yaml --quiet run_dir=saved
same_run "the run's own config.yaml" saved
run train --print-config run.yaml run_dir=printed
cp out printed.yaml
need "$program" train printed.yaml --quiet
same_run "what --print-config prints" printed
need "$program" train run.yaml --quiet run_dir=other seed=6
check "another seed: another run" test "$(last other loss)" != "$(last run loss)"
need "$program" train run.yaml --quiet run_dir=masked --mask range=1M,shared=16K,group=128
check "a poorer device: the same losses to 1e-4" \
  close 1e-4 <(values masked loss) <(values run loss)

export TRIVIUM_TRAINER_MAX_STEPS=5 TRIVIUM_RUN_DIR=short
need "$program" train run.yaml --quiet
check "the environment sets keys" test "$(last short step)" = 5
need "$program" train run.yaml --quiet trainer.max_steps=3 run_dir=shorter
check "the command line wins over the environment" test "$(last shorter step)" = 3
unset TRIVIUM_TRAINER_MAX_STEPS TRIVIUM_RUN_DIR

# ------------------------------------------------------------------------------------- accumulation

for size in 1 2; do
  need "$program" train run.yaml --quiet run_dir="micro$size" trainer.micro_batch_size=$size
  check "micro-batches of $size: the same losses to 1e-5" \
    close 1e-5 <(values "micro$size" loss) <(values run loss)
  check "micro-batches of $size: the same validation losses to 1e-5" \
    close 1e-5 <(values "micro$size" val_loss) <(values run val_loss)
  check "micro-batches of $size: the same gradient norms to 1e-4" \
    close 1e-4 <(values "micro$size" grad_norm) <(values run grad_norm)
done
# Dropout is drawn per sample, so that it does not depend on who computes it either.
for size in 1 4; do
  need "$program" train run.yaml --quiet run_dir="drop$size" trainer.micro_batch_size=$size \
    model.resid_pdrop=0.2 model.embd_pdrop=0.2
done
check "with dropout: the same losses to 1e-5" close 1e-5 <(values drop1 loss) <(values drop4 loss)
check "dropout does something" test "$(last drop4 loss)" != "$(last run loss)"

# --------------------------------------------------------------------------------------- validation

need "$program" train run.yaml --quiet run_dir=full trainer.limit_val_batches=auto
run validate full --data data --json
check "validate: exit code 0" test "$status" = 0
check "validate agrees with the run's last val_loss to 1e-5" \
  close 1e-5 <(sed -nE 's/.*"loss": ([^,]*).*/\1/p' out) <(last full val_loss)
check "validate takes the sequences as trained" grep -q '"seq_len": 32' out
run validate full --data data/val --json
check "validate takes a folder of shards, too" test "$status" = 0
need "$program" train run.yaml --quiet run_dir=none data.val=
check "without validation data there is no val_loss" test -z "$(values none val_loss)"

# ------------------------------------------------------------------------------------- not finite

wild=(train run.yaml --quiet optimizer.lr=1000 trainer.gradient_clip_val=0
  lr_scheduler.name=constant lr_scheduler.warmup_steps=0 model.initializer_range=1000
  trainer.max_steps=40)
run "${wild[@]}" run_dir=wild trainer.max_nonfinite_steps=3
check "not finite: exit code 1" test "$status" = 1
check "not finite: one error line, which says how many and which key" test "$(grep -cE \
  '^error: 4 steps in a row were not finite \(trainer.max_nonfinite_steps\).*lr' err)" = 1
check "not finite: each skipped step is a warning" \
  test "$(grep -c '^warning: step .* skipped' err)" -ge 4
run "${wild[@]}" run_dir=counted trainer.max_nonfinite_steps=1000
check "not finite but allowed: it ends" test "$status" = 0
check "not finite but allowed: they are counted: $(last counted skipped)" \
  test "$(last counted skipped)" -ge 4
check "skipped steps leave the weights finite" grep -q '"skipped": ' counted/metrics.jsonl
expect "and the checkpoint can be read" 0 inspect counted

# ------------------------------------------------------------------------- starting from a model

sed '/^model/d' run.yaml >from.yaml
need "$program" train from.yaml --quiet model.from=run run_dir=tuned trainer.max_steps=4
check "model.from starts where the other ended" \
  less "$(values tuned loss | head -n 1)" "$(values run loss | head -n 1)"
cli_end
