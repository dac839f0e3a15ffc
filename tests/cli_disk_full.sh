#!/bin/bash
# A full disk: exit code 28, one line, no half-written files, and the checkpoints before it whole.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
make_data
make_config run gpt2
quick=(train run.yaml --quiet --device null trainer.max_nonfinite_steps=100)

# ------------------------------------------------------------------------------- files that refuse

# Lines are appended to the metrics, so a device in their place is written to as it is.
for file in metrics.jsonl metrics.csv; do
  mkdir run
  ln -s /dev/full "run/$file"
  run "${quick[@]}"
  check "$file on a full disk: exit code 28" test "$status" = 28
  check "$file on a full disk: one error line" test "$(grep -c '^error: .*'"$file" err)" = 1
  rm -rf run
done
mkdir run
ln -s /dev/full run/log.txt
run "${quick[@]}"
check "log.txt on a full disk: training goes on" test "$status" = 0
check "log.txt on a full disk: with a warning" grep -q "^warning: .*log.txt" err
rm -rf run

need "$program" "${quick[@]}"
for command in "inspect run" "corpus --out c --size 8K --json" \
  "prepare --force --out p text.txt --json" "train --print-config" "train --help"; do
  status=0
  # shellcheck disable=SC2086 # a command and its arguments
  "$program" $command --quiet >/dev/full 2>err || status=$?
  check "stdout is full: $command: exit code 28" test "$status" = 28
  check "stdout is full: $command: one error line" only_error
done

# ---------------------------------------------------------------------------------- a limit on size

# The shell ignores the signal on behalf of its children, so that writing fails instead.
limited() { # BLOCKS ARG...
  local blocks=$1
  shift
  status=0
  (
    trap '' XFSZ
    ulimit -f "$blocks"
    exec "$program" "$@"
  ) >out 2>err </dev/null || status=$?
}
limited 8 corpus --out limited --size 1M --quiet
check "file size limit: corpus: exit code 28" test "$status" = 28
check "file size limit: corpus: one error line" only_error
check "file size limit: corpus: nothing half-written" test -z "$(find limited -name '*.tmp*')"
limited 4 prepare --out limited.data text.txt --quiet
check "file size limit: prepare: exit code 28" test "$status" = 28
check "file size limit: prepare: one error line" only_error
check "file size limit: prepare: nothing that looks whole" \
  test -z "$(find limited.data -name '*.tokens' -size -4k 2>/dev/null)"
limited 4 plot run --out plot.png --quiet
check "file size limit: plot: exit code 28" test "$status" = 28
check "file size limit: plot: one error line" only_error
check "file size limit: plot: no file" test -z "$(find . -maxdepth 1 -name 'plot.png*')"
limited 64 "${quick[@]}" run_dir=limited.run
check "file size limit: train: exit code 28" test "$status" = 28
check "file size limit: train: one error line" test "$(grep -c '^error: ' err)" = 1
check "file size limit: train: it says which checkpoint" grep -q "checkpoint of step 4" err
check "file size limit: train: no half of it" test -z "$(find limited.run -name 'step*')"

# ------------------------------------------------------------------------------------ a small disk

mkdir disk
if ! mount -t tmpfs -o size=1m none disk 2>/dev/null; then
  echo "skipped: a disk that fills up; mounting is not permitted"
  cli_end
fi
cp -r data disk/data
need "$program" train run.yaml --quiet run_dir=whole
free_kib() {
  df --output=avail -k disk | tail -n 1
}
# Room for a checkpoint (about 270 KiB) and the small files, but not for two.
full=(train run.yaml --quiet run_dir=disk/run)
dd if=/dev/zero of=disk/ballast bs=1K count=$(($(free_kib) - 460)) status=none
run "${full[@]}"
check "the disk fills up: exit code 28" test "$status" = 28
check "the disk fills up: one error line that says what was not saved" \
  grep -Eq "^error: checkpoint of step 8 not saved: .*No space left" err
check "the disk fills up: no other error" test "$(grep -c '^error: ' err)" = 1
check "the disk fills up: no half checkpoint" test -z "$(find disk/run -name '*.tmp*')"
expect "the checkpoint before it is whole" 0 inspect disk/run/checkpoints/step-00000004
expect "the disk is still full" 28 "${full[@]}" --resume auto
expect "the checkpoint before it is still whole" 0 inspect disk/run/checkpoints/step-00000004
rm disk/ballast
expect "with room again it goes on" 0 "${full[@]}" --resume auto
check "and ends in the same weights" \
  cmp <(weights_of disk/run/checkpoints/step-00000012) <(weights_of whole/checkpoints/step-00000012)
check "and the same metrics" cmp <(metrics_of disk/run) <(metrics_of whole)

# No room at all: not even the first line.
rm -rf disk/run
dd if=/dev/zero of=disk/ballast bs=1K status=none 2>/dev/null
expect_error "a disk without any room: train" 28 "No space left" "${full[@]}"
expect_error "a disk without any room: corpus" 28 "No space left" corpus --out disk/c --quiet
expect_error "a disk without any room: prepare" 28 "No space left" \
  prepare --out disk/p text.txt --quiet
expect_error "a disk without any room: plot" 28 "No space left" \
  plot whole --out disk/a.png --quiet
cli_end
