#!/usr/bin/env bash
# Trains the same GPT-2 on several ranks of this machine with each way of sending gradients
# (trainer.gradient_compression), and compares validation losses and what a step sends.
#
#     tools/compression.sh [-p PROGRAM] [-d DEVICE] [-r RANKS] [-s STEPS] [-m SIZES] [-w WAYS] TEXT
#
#   TEXT   any text file
#   -p     the program (build/trivium beside this folder)
#   -d     the device that the ranks share (vulkan:0)
#   -r     ranks (2)
#   -s     optimizer steps (300)
#   -m     "layers heads width context batch" (4 4 192 128 8)
#   -w     ways: none, bf16, or RANK@START of powersgd ("none bf16 1@10 4@10 4@0")
#
# One line for each run: the way, MB that rank 0 sends in the last step, validation loss, and its
# ratio to the first run's.
set -euo pipefail
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/../tests/harness/cli.sh"

# shellcheck source=tools/small_runs.sh
. "$(dirname "$0")/small_runs.sh"

device=vulkan:0
ranks=2
steps=300
sizes="4 4 192 128 8"
ways="none bf16 1@10 4@10 4@0"
while getopts p:d:r:s:m:w: option; do
  case $option in
  p) program=$OPTARG ;;
  d) device=$OPTARG ;;
  r) ranks=$OPTARG ;;
  s) steps=$OPTARG ;;
  m) sizes=$OPTARG ;;
  w) ways=$OPTARG ;;
  *) usage ;;
  esac
done
shift $((OPTIND - 1))
take_text "$sizes" "$@"

find_launch || { echo "compression.sh: $program has no MPI, or no mpirun is there" >&2 && exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export LP_NUM_THREADS=${LP_NUM_THREADS:-1} # ranks share the cores
prepare_run "$folder" "$steps" "strategy: ddp, balance: equal"

train() { # WAY
  local settings=("trainer.gradient_compression=$1")
  if [[ $1 == *@* ]]; then
    settings=(trainer.gradient_compression=powersgd "trainer.powersgd_rank=${1%@*}"
      "trainer.powersgd_start_step=${1#*@}")
  fi
  "${launch[@]}" -n "$ranks" "$program" train "$folder/train.yaml" --quiet --share-device \
    --device "$device" \
    run_dir="$folder/$1" "${settings[@]}" >&2 </dev/null
}

reference=
printf '%-8s %-10s %-12s %s\n' way "MB a step" "val. loss" ratio
for way in $ways; do
  train "$way"
  sent=$(sed -nE 's/.*traffic: .* ([^ ]+) MB sent.*/\1/p' "$folder/$way/log.txt" | tail -n 1)
  loss=$(validation_loss "$folder/$way")
  reference=${reference:-$loss}
  printf '%-8s %-10s %-12s %.4f\n' "$way" "$sent" "$loss" \
    "$(awk "BEGIN { print $loss / $reference }")"
done
