#!/usr/bin/env bash
# How much of two unequal ranks a run makes use of: trains a GPT-2 on each rank alone, on both at
# once in runs of their own, on both with shares by measured speed, and on both with equal shares. A
# mask slows the second rank.
#
#     tools/mixed_speed.sh [-p PROGRAM] [-d DEVICE] [-f FRACTION] [-r ROUNDS] [-s STEPS] [-m SIZES]
#                          [-b BATCH]
#
#   -p     the program (build/trivium beside this folder)
#   -d     the device of both ranks (vulkan:0); each gets a core of its own
#   -f     what the mask leaves the second rank of its speed (0.333)
#   -r     rounds of all runs, one after the other (1)
#   -s     optimizer steps of each run; the second half counts (24)
#   -m     "layers heads width context" (2 4 128 64)
#   -b     "global-batch micro-batch", in sequences (32 1)
#
# One line for each kind of run: tokens/s of the median step and, for both ranks, the ratio to the
# sum of both alone; of several rounds the median, and the ratio of each. What both reach at once in
# runs of their own is what the machine allows: cores share caches, memory and clocks. Needs mpirun
# and taskset.
set -euo pipefail
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/../tests/harness/cli.sh"

# shellcheck source=tools/small_runs.sh
. "$(dirname "$0")/small_runs.sh"

device=vulkan:0
fraction=0.333
rounds=1
steps=24
sizes="2 4 128 64"
batch="32 1"
while getopts p:d:f:r:s:m:b: option; do
  case $option in
  p) program=$OPTARG ;;
  d) device=$OPTARG ;;
  f) fraction=$OPTARG ;;
  r) rounds=$OPTARG ;;
  s) steps=$OPTARG ;;
  m) sizes=$OPTARG ;;
  b) batch=$OPTARG ;;
  *) usage ;;
  esac
done
shift $((OPTIND - 1))
read -r layers heads width context <<<"$sizes"
read -r global micro <<<"$batch"
if [ $# != 0 ] || [ -z "$context" ] || [ -z "$micro" ]; then usage; fi

program=$(realpath "$program")
find_launch || { echo "mixed_speed.sh: $program has no MPI, or no mpirun is there" >&2 && exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for i in $(seq 2000); do
  echo "$i: the cat sat on the mat, the dog lay on the log"
done >text.txt
"$program" prepare --tokenizer bytes --out data text.txt >&2
cat >train.yaml <<YAML
seed: 1
model: {type: gpt2, n_layer: $layers, n_head: $heads, n_embd: $width, n_positions: $context}
data: {train: data/train, val: "", seq_len: $context}
trainer: {max_steps: $steps, global_batch_size: $global, micro_batch_size: $micro,
  log_every_n_steps: 1, checkpoint_every_n_steps: 0}
lr_scheduler: {warmup_steps: 2}
YAML

# One core and one thread of the driver for each rank: "0 1" of the cores "0-3,8".
cores=$(taskset -cp $$ | sed 's/.*: //' | tr , '\n' |
  awk -F- '{ for (c = $1; c <= $NF; c++) print c }' | head -n 2 | xargs)
read -r first_core second_core <<<"$cores"
second_core=${second_core:-$first_core}
export LP_NUM_THREADS=1 POCL_MAX_PTHREAD_COUNT=1
rank() { # CORE SPEED RUN [SETTING...]: its command line, in $command
  command=(taskset -c "$1" "$program" train train.yaml --device "$device" --mask "speed=$2"
    --share-device --quiet run_dir="$3" "${@:4}")
}

tokens_per_second() { # RUN [STEPS]
  sed -nE 's/.*"step": ([0-9]+),.*"step_ms": ([^,}]*).*/\1 \2/p' "$1/metrics.jsonl" |
    awk -v half=$((${2:-$steps} / 2)) '$1 > half { print $2 }' | sort -g |
    awk -v tokens=$((global * context)) '{ ms[NR] = $1 }
      END { print 1000 * tokens / ((ms[int((NR + 1) / 2)] + ms[int(NR / 2) + 1]) / 2) }'
}

alone() { # CORE SPEED RUN
  rank "$@"
  "${command[@]}" >&2
  tokens_per_second "$3"
}

# The sum of both at once. The faster rank has more steps, so that the halves that count are of one
# time.
apart() { # RUN
  local more
  more=$(awk -v steps="$steps" -v f="$fraction" 'BEGIN { printf "%d", steps / f }')
  rank "$first_core" 1 "$1-first" "trainer.max_steps=$more"
  "${command[@]}" >&2 &
  alone "$second_core" "$fraction" "$1-second" >"$1"
  wait $!
  tokens_per_second "$1-first" "$more" >>"$1"
  awk '{ sum += $1 } END { print sum }' "$1"
}

both() { # RUN BALANCE
  rank "$first_core" 1 "$1" "trainer.balance=$2"
  local first=("${command[@]}")
  rank "$second_core" "$fraction" "$1" "trainer.balance=$2"
  "${launch[@]}" -n 1 "${first[@]}" : -n 1 "${command[@]}" >&2 </dev/null
  tokens_per_second "$1"
}

for round in $(seq "$rounds"); do
  fast=$(alone "$first_core" 1 "fast-$round")
  slow=$(alone "$second_core" "$fraction" "slow-$round")
  at_once=$(apart "apart-$round")
  echo "$fast $slow $at_once $(both "auto-$round" auto) $(both "equal-$round" equal)"
done >rounds.txt

# Of the rounds: column COLUMN, or its ratio to the sum of the first two.
values() { # COLUMN [ratio]
  awk -v column="$1" -v ratio="${2:-}" \
    '{ printf ratio ? "%.3f\n" : "%.1f\n", $column / (ratio ? $1 + $2 : 1) }' rounds.txt
}

median() {
  sort -g | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

report() { # WHAT COLUMN [ratio]
  printf '%-36s %10.1f tokens/s' "$1" "$(values "$2" | median)"
  [ $# = 2 ] || printf '   %.3f of the sum' "$(values "$2" ratio | median)"
  if [ $# = 3 ] && [ "$rounds" -gt 1 ]; then printf ' (%s)' "$(values "$2" ratio | xargs)"; fi
  echo
}

report "rank 0 alone" 1
report "rank 1 alone, at $fraction of its speed" 2
report "both at once, in runs of their own" 3 ratio
report "both, shares by measured speed" 4 ratio
report "both, equal shares" 5 ratio
sed -n 's/^[^ ]* balance: step/  step/p' auto-"$rounds"/log.txt
