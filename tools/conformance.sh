#!/usr/bin/env bash
# Writes docs/conformance.md: what the conformance suite says of every device of this machine, or of
# those that are named (vulkan:0, opencl:0, ...).
# usage: tools/conformance.sh [PROGRAM [DEVICE...]]   (build/trivium)
set -euo pipefail
program=$(realpath "${1:-$(dirname "$0")/../build/trivium}")
cd "$(dirname "$0")/.."
page=$(mktemp)
trap 'rm -f "$page"' EXIT

cat >"$page" <<'END'
# Conformance

How far every op is from a reference in double precision, forward and gradient, in every storage
type, on the drivers that were at hand. `tools/conformance.sh` writes this page; it runs, for each
device that `trivium devices` lists,

    trivium bench --suite conformance --device D --markdown FILE

Run the suite when a device gives strange results, and send `--json report.json` along with the
report: it holds every number of every trial, the device, its driver and its capabilities.

What is run: each row of the table of cases (`src/conformance/case_table.c`; one element, odd and
even sizes, many groups, heads of many sizes) is a small graph with random inputs, run as f32, f16
and bf16. Inputs are rounded to the storage type first, so that device and reference start from the
same numbers. Outputs are compared element by element with the reference; gradients of all inputs
are compared with central differences of the reference, 64 elements of each, and along four random
directions, for which all elements count. Ops that only occur in a backward pass (GELU_GRAD,
ATTENTION_DELTA, ...) are measured by the gradient of their op. A trial is run twice and must give
the same bits.

How errors are counted: a table shows the largest error of any element, in units in the last place
(ULP). An element's unit is that of values as large as the wanted one, or as the root of the mean
square of the tensor where that is more: a sum of terms of the size of 1 that happens to be 1e-6
cannot be as exact as 1e-6. Arithmetic is done in floats whatever the storage type, so a 16-bit
result is usually off by half a unit, its own rounding. Statistics, losses and gradients of weights
are floats in every storage type: their errors are in ULP of f32, and a table shows them, marked
`f`, only where an op has no results of the storage type. (Where 16-bit values lie in between,
attention's output in its own backward pass or the gradient of the logits, the unit is that of the
storage type.) AdamW without float masters rounds bf16 at random to one of the two neighbours, so it
may be off by one unit.

What is allowed: a result is wrong (`!`) where an error is larger than the roundings of a sum of
that length, the handful of functions around it, the roundings to the storage type and those of
large scores in attention explain (`src/conformance/judge.c`, `stored.c`, `scores.c`). Large values
in the table that are not wrong are long sums, or results that cancel. `-`: nothing to compare; the
op has no gradient, or it is covered by another.

END

devices=("${@:2}")
if [ ${#devices[@]} = 0 ]; then
  mapfile -t devices < <("$program" devices --no-selftest |
    sed -nE 's/^ +what .*, ([a-z]+:[0-9]+)$/\1/p')
fi
status=0
for place in "${devices[@]}"; do
  echo "$place" >&2
  "$program" bench --suite conformance --device "$place" --mask "" --quiet --markdown - \
    >>"$page" || status=1
  echo >>"$page"
done
sed -e '$ d' "$page" >docs/conformance.md
exit "$status"
