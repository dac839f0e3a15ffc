#!/bin/bash
# Ranks that train apart (trainer.strategy diloco): the same bits in every run, also across a stop
# in the middle of an exchange; what is sent; and what cannot be configured.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
export LP_NUM_THREADS=1 # ranks share the cores
make_data
make_config plain gpt2
diloco=(trainer.strategy=diloco diloco.sync_every_n_steps=4 diloco.local_steps=equal)

# ------------------------------------------------------------------------------------ bad values

train=(train plain.yaml --quiet --device null trainer.max_nonfinite_steps=100)
expect_error "another strategy" 2 "trainer.strategy: 'dilco' is not one of: .*diloco" \
  "${train[@]}" trainer.strategy=dilco
expect_error "a key of diloco beside ddp" 2 "diloco.outer_lr: only trainer.strategy diloco" \
  "${train[@]}" diloco.outer_lr=0.5
expect_error "another compression" 2 "diloco.compression: 'int5' is not one of: none, bf16, int8" \
  "${train[@]}" "${diloco[@]}" diloco.compression=int5
expect_error "a momentum of 1" 2 "diloco.outer_momentum: 1 is out of range" \
  "${train[@]}" "${diloco[@]}" diloco.outer_momentum=1
expect_error "more fragments than steps" 2 "diloco.fragments: is above diloco.sync_every_n_steps" \
  "${train[@]}" "${diloco[@]}" diloco.fragments=5
expect_error "an overlap with the next exchange" 2 "diloco.overlap_steps: an exchange must be" \
  "${train[@]}" "${diloco[@]}" diloco.fragments=2 diloco.overlap_steps=3
expect_error "more fragments than weights" 2 "diloco.fragments=90: the model has only" \
  "${train[@]}" "${diloco[@]}" diloco.sync_every_n_steps=90 diloco.fragments=90

# ------------------------------------------------------------------------------------- one rank

expect "one rank, without mpirun" 0 train plain.yaml --quiet "${diloco[@]}" run_dir=one
check "its exchanges are in the log" grep -q "diloco: round 3: 0 MB sent (formula 0)" one/log.txt

find_launch || cli_end

# ------------------------------------------------------------------------------------ two ranks

ranks() { # COUNT RUN SETTING...
  local count=$1 run=$2
  shift 2
  status=0
  timeout 120 "${launch[@]}" -n "$count" "$program" train plain.yaml --quiet --share-device \
    trainer.micro_batch_size=1 trainer.checkpoint_every_n_steps=3 trainer.keep_checkpoints=9 \
    "${diloco[@]}" "run_dir=$run" "$@" >out 2>err </dev/null || status=$?
}

# What the last checkpoint of a run holds.
last_of() { # RUN
  (cd "$1/checkpoints/step-00000012" && sha256sum ./*.safetensors)
}

# A copy of a run as it was at a step.
cut_back() { # RUN STEP COPY
  cp -r "$1" "$3"
  local step
  for step in "$3"/checkpoints/step-*; do
    [ "$((10#${step##*-}))" -le "$2" ] || rm -r "$step"
  done
}

same_run() { # TEXT RUN RUN
  check "$1: the same metrics" diff <(metrics_of "$2") <(metrics_of "$3")
  check "$1: the same checkpoint" diff <(last_of "$2") <(last_of "$3")
}

# In int4 with fragments and overlap, everything is in use: step 6 lies in the middle of an
# exchange, step 9 also in the middle of an interval.
all=(diloco.compression=int4 diloco.fragments=2 diloco.overlap_steps=2)
ranks 2 first "${all[@]}"
check "two ranks: exit code 0" test "$status" = 0
ranks 2 again "${all[@]}"
same_run "two ranks again" first again
for step in 6 9; do
  cut_back first "$step" "back-$step"
  ranks 2 "back-$step" "${all[@]}" --resume auto
  check "resumed at step $step: exit code 0" test "$status" = 0
  same_run "resumed at step $step" first "back-$step"
done
# shellcheck disable=SC2016 # these are awk's variables
check "the loss falls" awk -F'[:,]' '/"loss"/ { if (!first) first = $4; last = $4 }
  END { exit !(last < first * 0.9) }' first/metrics.jsonl

# -------------------------------------------------------------------------- what is sent, errors

int8=(trainer.checkpoint_every_n_steps=4 diloco.compression=int8 trainer.precision=bf16-mixed)
ranks 2 sent "${int8[@]}"
check "int8, bf16-mixed: exit code 0" test "$status" = 0
# Half of the parameters on each way, 4 bytes more for 256.
parameters=$(sed -nE 's/.*model: .* ([0-9]+) parameters.*/\1/p' sent/log.txt)
bytes=$(awk -v n="$parameters" 'BEGIN { printf "%.4g", n * (1 + 4 / 256) / 1e6 }')
check "what is sent is in the log" grep -q "round 1: .* MB sent (formula $bytes)" sent/log.txt
# shellcheck disable=SC2016
check "and is what the formula says" awk '/round/ { n++; f = $0
  sub(/.*round [0-9]+: /, "", f); split(f, w, /[ ()]+/); d = w[1] / w[5] - 1
  if (d > 0.02 || d < -0.02) exit 1 } END { exit n != 3 }' sent/log.txt
cut_back sent 4 sent-back
ranks 2 sent-back "${int8[@]}" --resume auto
same_run "resumed between intervals, bf16-mixed" sent sent-back

cut_back first 6 moved
ranks 3 moved "${all[@]}" --resume auto diloco.local_steps=auto
check "resumed on three ranks: exit code 0" test "$status" = 0
check "with a warning" grep -q "warning: the checkpoint is of 2 ranks and 2 fragments" err
cut_back first 6 left
diloco=()
ranks 2 left --resume auto
check "resumed with ddp: exit code 0" test "$status" = 0

diloco=(trainer.strategy=diloco diloco.sync_every_n_steps=4)
ranks 3 idle trainer.micro_batch_size=2 --device null
check "a rank without work: one line" grep -q "leaves rank [0-9] of 3 without work" err
one=("$program" train plain.yaml --quiet --share-device "${diloco[@]}" run_dir=lost
  trainer.micro_batch_size=1 trainer.log_every_n_steps=5)
status=0
timeout 120 "${launch[@]}" -n 1 "${one[@]}" : -n 1 env TRIVIUM_FAULT=lost:20 "${one[@]}" \
  >out 2>err </dev/null || status=$?
check "a device lost on rank 1 between averages: exit code 75" test "$status" = 75
check "one line says so" grep -Eq "^error: rank 1 on .*lost" err
cli_end
