#!/usr/bin/env bash
# Trains the same GPT-2 in every precision on every device, with what the driver has and with all of
# it emulated, and compares the validation losses with those of 32-true on the same device.
#
#     tools/curves.sh [-p PROGRAM] [-d DEVICES] [-s STEPS] [-m SIZES] [-o FOLDER] TEXT
#
#   TEXT   any text file
#   -p     the program (build/trivium beside this folder)
#   -d     devices, "vulkan:0 opencl:0" (all that `trivium devices` lists)
#   -s     optimizer steps (300)
#   -m     "layers heads width context batch" (4 4 192 128 8)
#   -o     a folder for data and runs, which must not exist (a temporary one, removed at the end)
#
# One line for each run: device, precision, native or emulated, validation loss, its ratio to
# 32-true. Fails where a ratio is more than 0.5 % from 1, or where native and emulated differ.
set -euo pipefail

# shellcheck source=tools/small_runs.sh
. "$(dirname "$0")/small_runs.sh"

devices=
steps=300
sizes="4 4 192 128 8"
folder=
while getopts p:d:s:m:o: option; do
  case $option in
  p) program=$OPTARG ;;
  d) devices=$OPTARG ;;
  s) steps=$OPTARG ;;
  m) sizes=$OPTARG ;;
  o) folder=$OPTARG ;;
  *) usage ;;
  esac
done
shift $((OPTIND - 1))
take_text "$sizes" "$@"

if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
elif [ -e "$folder" ]; then
  echo "$folder exists; name another folder" >&2
  exit 2
else
  mkdir -p "$folder"
fi
[ -n "$devices" ] || devices=$("$program" devices | grep -oE '(vulkan|opencl):[0-9]+' | xargs)
[ -n "$devices" ] || { echo "there is no device" >&2; exit 1; }

prepare_run "$folder" "$steps" ""

train() { # DEVICE PRECISION MASK NAME: prints the validation loss
  "$program" train "$folder/train.yaml" --quiet --device "$1" --mask "$3" run_dir="$folder/$4" \
    trainer.precision="$2" >&2
  validation_loss "$folder/$4"
}

failures=0

# Prints a line; counts it where the loss is none or too far from the reference.
report() { # DEVICE PRECISION HOW LOSS REFERENCE
  awk -v device="$1" -v precision="$2" -v how="$3" -v loss="$4" -v reference="$5" 'BEGIN {
    ratio = reference > 0 ? loss / reference : 0
    bad = !(ratio >= 0.995 && ratio <= 1.005)
    printf "%-10s %-11s %-9s %-12s %.5f%s\n", device, precision, how, loss, ratio,
           bad ? "  more than 0.5 % off" : ""
    exit bad }' || failures=$((failures + 1))
}

printf '%-10s %-11s %-9s %-12s %s\n' device precision "" "val. loss" ratio
for device in $devices; do
  reference=$(train "$device" 32-true "" "$device-32")
  report "$device" 32-true "" "$reference" "$reference"
  for precision in 16-mixed bf16-mixed bf16-true; do
    native=$(train "$device" "$precision" "" "$device-$precision")
    report "$device" "$precision" native "$native" "$reference"
    emulated=$(train "$device" "$precision" no-f16,no-bf16,no-storage16 "$device-$precision-e")
    report "$device" "$precision" emulated "$emulated" "$reference"
    if [ "$native" != "$emulated" ]; then
      echo "$device $precision: native and emulated differ"
      failures=$((failures + 1))
    fi
  done
done
[ "$failures" = 0 ] || { echo "$failures comparisons failed"; exit 1; }
