#!/bin/bash
# The optimizer's state in the host's memory: the same bits, checkpoints that either way goes on
# from, and memory that is counted where it is.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
make_data
for model in gpt2 llama; do make_config "$model" "$model"; done

same_bits() { # TEXT RUN RUN
  check "$1: the same metrics" cmp <(metrics_of "$2") <(metrics_of "$3")
  check "$1: the same weights and state" cmp <(weights_of "$2/checkpoints/step-00000012") \
    <(weights_of "$3/checkpoints/step-00000012")
}

# ------------------------------------------------------------------------------------- one device

# As trained here, and with the state on the host.
both_ways() { # MODEL NAME ARG...
  local model=$1 name=$2
  shift 2
  need "$program" train "$model.yaml" --quiet "$@" "run_dir=$name"
  expect "$name, offloaded" 0 train "$model.yaml" "$@" trainer.offload_optimizer=true \
    "run_dir=$name-host"
  check "$name: the log says what lies there" grep -Eq \
    "memory: .* optimizer 0 B, .* in all; in the host's memory [1-9]" "$name-host/log.txt"
  same_bits "$name" "$name" "$name-host"
}

both_ways gpt2 plain trainer.micro_batch_size=2 model.resid_pdrop=0.1
both_ways gpt2 halves trainer.precision=16-mixed optimizer.state_precision=bf16
both_ways llama bf16-mixed trainer.precision=bf16-mixed --mask no-hostvisible
both_ways llama bf16-true trainer.precision=bf16-true
if "$program" devices --all 2>/dev/null | grep -q opencl; then
  both_ways llama opencl trainer.precision=bf16-mixed --device opencl
else
  echo "skipped: OpenCL, which has no device"
fi

for way in true false; do
  [ $way = true ] && back=false || back=true
  half=(trainer.micro_batch_size=2 model.resid_pdrop=0.1 "run_dir=to-$way" --quiet)
  expect "8 steps with $back" 0 train gpt2.yaml "${half[@]}" "trainer.offload_optimizer=$back" \
    trainer.max_steps=8 lr_scheduler.name=constant
  expect "going on with $way" 0 train gpt2.yaml "${half[@]}" "trainer.offload_optimizer=$way" \
    --resume auto lr_scheduler.name=constant
done
same_bits "moved to the host and back" to-true to-false
need "$program" train gpt2.yaml "${half[@]}" run_dir=straight lr_scheduler.name=constant
check "as if never stopped" cmp <(weights_of straight/checkpoints/step-00000012) \
  <(weights_of to-true/checkpoints/step-00000012)

# ---------------------------------------------------------------------------------------- memory

# Of each row but its name: masters + optimizer, total, host.
memory_of() { # ARG...
  need "$program" train --print-memory gpt2.yaml --device null model.n_embd=512 model.n_layer=8 "$@"
  awk '$NF ~ /^[0-9.]+$/ && NF > 9 && $2 != "host" {
    print $1, $2, $4 + $6, $(NF - 3), $NF }' need.log
}
memory_of >here
memory_of trainer.offload_optimizer=true >there
check "23 rows" test "$(wc -l <here)" = 23
# shellcheck disable=SC2016 # fields of awk
check "what lies on the host is counted there, and nowhere else" awk '
  { d = $5 ? 1 : 0; if ($1 != $6 || $2 != $7 || d || $8) wrong++
    a = $10 - $3; b = $4 - $9 - $3; if (a * a > 0.05 || b * b > 0.05 || $10 < 1) wrong++ }
  END { exit wrong || NR != 23 }' <(paste -d' ' here there)

expect "the plan of a step" 0 train --explain gpt2.yaml trainer.offload_optimizer=true
check "says what lies there" grep -Eq "^memory: weights .* in all; [1-9].* in the host's memory" out
expect_error "a host with little memory" 1 "needs .* of the host's memory" train gpt2.yaml \
  --quiet run_dir=none trainer.offload_optimizer=true --mask host=1K
large=(model.n_layer=14 model.n_embd=2048 model.n_head=16 data.val=)
expect_error "a model that would fit" 1 \
  "has 8.0 GiB; trainer.offload_optimizer=true .*would fit" train gpt2.yaml --quiet \
  run_dir=none "${large[@]}" --device null
check "no run was begun" test ! -e none

# ----------------------------------------------------------------------------------------- ranks

if ! find_launch; then
  echo "skipped: ranks, for want of MPI"
  cli_end
fi
export LP_NUM_THREADS=1
train=("$program" train llama.yaml --quiet --share-device trainer.precision=bf16-mixed)
host=trainer.offload_optimizer=true

two_ways() { # STRATEGY SETTING...
  local name=$1
  local all=("${train[@]}" "trainer.strategy=$1" "${@:2}")
  need timeout 300 "${launch[@]}" -n 2 "${all[@]}" "run_dir=$name"
  need timeout 300 "${launch[@]}" -n 2 "${all[@]}" $host "run_dir=$name-host"
  same_bits "two ranks, $name" "$name" "$name-host"
}
two_ways ddp trainer.balance=equal
two_ways zero1 trainer.balance=equal
two_ways diloco diloco.sync_every_n_steps=4 diloco.local_steps=equal
check "each holds its part" grep -Eq "memory: .* optimizer 0 B.* in the host's" zero1-host/log.txt

one=("${train[@]}" trainer.strategy=zero1 trainer.balance=equal run_dir=mixed)
need timeout 300 "${launch[@]}" -n 1 "${one[@]}" : -n 1 "${one[@]}" $host
same_bits "one of two ranks offloads" zero1 mixed
cli_end
