#!/usr/bin/env bash
# Predicted and real steps over slow links: `trivium bench --suite network`, then the same run under
# ddp, zero1 and diloco. Hosts are network namespaces of this machine (tests/hosts.sh).
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: tools/predicted_steps.sh [-p PROGRAM] [-d DEVICE] [-s NAMES] [-n STEPS] [-t TEXT] RATE...

For each RATE (100mbit, 1gbit, none) of the links between two hosts with one rank and one core each:
a table of what a step was predicted to take, and what it took on average; beside what it was
predicted from, computing and network, of which a perfect overlap hides the smaller one.

  -p PROGRAM  (build/trivium)
  -d DEVICE   of both ranks (opencl)
  -s NAMES    strategies ("ddp zero1 diloco")
  -n STEPS    of ddp and zero1 (14), of which the first 4 do not count; diloco takes 50, in
              intervals of 10, of which the first does not
  -t TEXT     to train on (../shared/data/text/tinyshakespeare.txt)
TEXT
}

strategies="ddp zero1 diloco"
program=build/trivium device=opencl steps=14 text=../shared/data/text/tinyshakespeare.txt
here=$(realpath "$(dirname "$0")")
while getopts p:d:s:n:t:h option; do
  case $option in
  p) program=$OPTARG ;;
  d) device=$OPTARG ;;
  s) strategies=$OPTARG ;;
  n) steps=$OPTARG ;;
  t) text=$OPTARG ;;
  h) usage && exit ;;
  *) usage >&2 && exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { usage >&2 && exit 2; }
program=$(realpath "$program") text=$(realpath "$text")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export POCL_MAX_PTHREAD_COUNT=1 LP_NUM_THREADS=1

"$program" prepare --out data "$text" >/dev/null
cat >run.yaml <<'YAML'
model: {type: gpt2, n_layer: 4, n_head: 6, n_embd: 192, n_positions: 64}
data: {train: data/train, val: "", seq_len: 64}
trainer: {global_batch_size: 16, micro_batch_size: 8, balance: equal, bucket_cap_mb: 2,
          log_every_n_steps: 1, checkpoint_every_n_steps: 0, enable_progress_bar: false}
optimizer: {lr: 3.0e-4}
lr_scheduler: {warmup_steps: 4}
YAML
diloco=(trainer.strategy=diloco diloco.sync_every_n_steps=10 diloco.local_steps=equal)

on_hosts() { # RATE COMMAND...
  local rate=$1
  shift
  "$here/../tests/hosts.sh" --hosts 2 --rate "$rate" mpirun -n 2 "$program" "$@" \
    --share-device --device "$device" --quiet
}

# Milliseconds of a step, on average.
real() { # RATE STRATEGY SETTING...
  local skipped=4
  [ "$2" != diloco ] || skipped=10
  on_hosts "$1" train run.yaml run_dir="$1-$2" "${@:3}" >"$1-$2.log" 2>&1 ||
    { tail -n 3 "$1-$2.log" >&2 && exit 1; }
  sed -nE 's/.*"step": ([0-9]+),.*"step_ms": ([0-9.]+).*/\1 \2/p' "$1-$2/metrics.jsonl" |
    awk -v skipped=$skipped '$1 > skipped { sum += $2; n++ } END { print sum / n }'
}

row() { # RATE STRATEGY SETTING...
  local computing network predicted measured
  read -r computing network predicted < <(awk -F ' *[|] *' -v name="$2" \
    '$2 == name && NF > 10 { print $4, $5, $7 }' "$1.md")
  measured=$(real "$@")
  awk -v rate="$1" -v name="$2" -v c="$computing" -v n="$network" -v p="$predicted" \
    -v m="$measured" 'BEGIN {
      printf "| %s | %s | %s | %s | %s | %.1f | %.2f | %.2f |\n", rate, name, c, n, p, m, m / p,
             m / (c > n ? c : n) }'
}

for rate in "$@"; do
  on_hosts "$rate" bench --suite network run.yaml "${diloco[@]}" --seconds 0.2 \
    --markdown "$rate.md" >"$rate.txt"
  cat "$rate.txt"
  echo
  echo "| link | strategy | computing | network | predicted ms | real ms | real / predicted |" \
    "real / larger part |"
  echo "|---|---|--:|--:|--:|--:|--:|--:|"
  for name in $strategies; do
    if [ "$name" = diloco ]; then
      row "$rate" diloco "${diloco[@]}" trainer.max_steps=50
    else
      row "$rate" "$name" trainer.strategy="$name" trainer.max_steps="$steps"
    fi
  done
done
