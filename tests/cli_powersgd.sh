#!/bin/bash
# Gradients as products of narrow matrices (trainer.gradient_compression powersgd): losses near
# those without, the same bits in every run, also across a stop; what is sent; what cannot be
# configured.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
tools=$(realpath "$(dirname "$0")/../tools")
cli_begin "$@"
export LP_NUM_THREADS=1 # ranks share the cores
make_data
make_config plain gpt2
make_config llama llama
compressed=(trainer.gradient_compression=powersgd)

# ------------------------------------------------------------------------------------ bad values

train=(train plain.yaml --quiet --device null trainer.max_nonfinite_steps=100)
expect_error "another compression" 2 "'power' is not one of: none, bf16, powersgd" \
  "${train[@]}" trainer.gradient_compression=power
expect_error "a rank of 0" 2 "trainer.powersgd_rank: 0 is out of range" \
  "${train[@]}" "${compressed[@]}" trainer.powersgd_rank=0
expect_error "a step below 0" 2 "trainer.powersgd_start_step: -1 is out of range" \
  "${train[@]}" "${compressed[@]}" trainer.powersgd_start_step=-1
expect_error "a rank without compression" 2 "powersgd_rank: only trainer.gradient_compression" \
  "${train[@]}" trainer.powersgd_rank=2
expect_error "beside diloco" 2 "gradient_compression: with trainer.strategy diloco no gradients" \
  "${train[@]}" "${compressed[@]}" trainer.strategy=diloco

# ------------------------------------------------------------------------------------- one rank

need "$program" train plain.yaml --quiet run_dir=alone
expect "one rank, without mpirun" 0 train plain.yaml --quiet "${compressed[@]}" run_dir=one
check "whose gradients do not travel" diff <(metrics_of alone) <(metrics_of one)

find_launch || cli_end

# --------------------------------------------------------------------------------- several ranks

ranks() { # COUNT RUN ARG...
  local count=$1 run=$2
  shift 2
  status=0
  timeout 120 "${launch[@]}" -n "$count" "$program" train --quiet --share-device --device vulkan:0 \
    trainer.micro_batch_size=1 trainer.balance=equal trainer.keep_checkpoints=9 \
    trainer.check_replicas_every_n_steps=5 "run_dir=$run" "$@" >out 2>err </dev/null || status=$?
  check "$run: exit code 0" test "$status" = 0
}

# Losses of the last step.
# shellcheck disable=SC2317 # called by check
near() { # RELATIVE RUN RUN
  paste -d' ' <(numbers "$2") <(numbers "$3") | awk -v relative="$1" '
    $2 == "loss" { a = $3; b = $6 }
    END { print a, b; exit !(a > 0 && b / a < 1 + relative && a / b < 1 + relative) }'
}
# shellcheck disable=SC2317
falls() { # RUN
  numbers "$1" | awk '$2 == "loss" { if (!first) first = $3; last = $3 }
    END { exit !(last < 0.8 * first) }'
}
# As much was sent as the formula says, in the line of every step that has one.
steps=(trainer.max_steps=50 optimizer.lr=3.0e-3 trainer.val_check_interval=0
  trainer.checkpoint_every_n_steps=0)
steps+=(trainer.powersgd_start_step=2 trainer.gradient_compression=powersgd)
near_none() { # RUN COUNT RELATIVE ARG...
  local run=$1 count=$2 relative=$3
  shift 3
  ranks "$count" "$run" llama.yaml "${steps[@]}" "$@"
  check "$run: the loss falls" falls "$run"
  check "$run: as it does without" near "$relative" none "$run"
  check "$run: two kinds of steps are in the log" as_promised "$run" 2
}

ranks 2 none llama.yaml "${steps[@]::4}" trainer.strategy=ddp
check "what floats take is in the log" as_promised none 1
near_none narrow 2 0.1 trainer.strategy=ddp trainer.powersgd_rank=1
near_none two 2 0.03 trainer.strategy=ddp
near_none four 4 0.03 trainer.strategy=ddp
near_none zero1 3 0.03 trainer.strategy=zero1
check "the log says what is compressed" \
  grep -Eq "powersgd: [0-9]+ of [0-9]+ weights at rank 4, errors take [0-9.]+ KiB" two/log.txt
# What is lost depends on the sum alone.
check "four ranks: the loss of two" near 1e-3 two four
check "zero1: the loss of ddp" near 1e-3 two zero1

# --------------------------------------------------------------------------------- the same bits

last_of() { # RUN
  (cd "$1/checkpoints/step-00000012" && sha256sum ./*.safetensors)
}
same_run() { # TEXT RUN RUN
  check "$1: the same metrics" diff <(metrics_of "$2") <(metrics_of "$3")
  check "$1: the same checkpoint" diff <(last_of "$2") <(last_of "$3")
}
cut_back() { # RUN STEP COPY
  cp -r "$1" "$3"
  local step
  for step in "$3"/checkpoints/step-*; do
    [ "$((10#${step##*-}))" -le "$2" ] || rm -r "$step"
  done
}

options=("${compressed[@]}" trainer.strategy=ddp trainer.powersgd_rank=2
  trainer.powersgd_start_step=3)
ranks 2 first plain.yaml "${options[@]}"
ranks 2 small plain.yaml "${options[@]}" trainer.bucket_cap_mb=0.01
same_run "small buckets" first small
check "its checkpoint holds what was not sent" \
  "$program" inspect first/checkpoints/step-00000012/powersgd.safetensors
for step in 4 8; do
  cut_back first "$step" "back-$step"
  ranks 2 "back-$step" plain.yaml "${options[@]}" --resume auto
  same_run "resumed at step $step" first "back-$step"
done

# The first steps overflow, and none of that stays in the errors.
scaled=("${options[@]}" trainer.powersgd_start_step=0 trainer.precision=16-mixed
  trainer.loss_scale=1073741824 trainer.max_nonfinite_steps=0 optimizer.lr=0.01)
ranks 2 scaled plain.yaml "${scaled[@]}" trainer.max_steps=40
skipped=$(sed -nE 's/.*"skipped": ([0-9]+).*/\1/p' scaled/metrics.jsonl | tail -n 1)
check "16-mixed: $skipped steps are skipped" test "$skipped" -ge 3 -a "$skipped" -le 25
check "16-mixed: the loss falls" falls scaled
cut_back scaled 12 scaled-back
ranks 2 scaled-back plain.yaml "${scaled[@]}" trainer.max_steps=40 --resume auto
check "16-mixed: resumed to the same metrics" diff <(metrics_of scaled) <(metrics_of scaled-back)
ranks 2 halves plain.yaml "${options[@]}" trainer.precision=bf16-true
ranks 2 halves-again plain.yaml "${options[@]}" trainer.precision=bf16-true
same_run "bf16-true" halves halves-again

for count in 1 3; do
  cut_back first 8 "moved-$count"
  ranks "$count" "moved-$count" plain.yaml "${options[@]}" --resume auto
  check "on $count ranks: it goes on" near 0.02 first "moved-$count"
done
cut_back first 8 left
ranks 2 left plain.yaml --resume auto trainer.strategy=ddp
check "without compression: it goes on" near 0.02 first left
cut_back first 8 wider
ranks 2 wider plain.yaml "${options[@]}" trainer.powersgd_rank=4 --resume auto
check "at another rank: it goes on" near 0.02 first wider

check "ways are compared" bash -c \
  "'$tools/compression.sh' -p '$program' -s 4 -m '1 2 32 32 4' -w 'none 2@0' text.txt >ways"
check "in a line each" test "$(grep -cE '^(none|2@0) +[0-9.]+ +[0-9.]+ +[01]\.[0-9]+$' ways)" = 2
cli_end
