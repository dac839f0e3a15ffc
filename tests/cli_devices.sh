#!/bin/bash
# Devices from the outside: what is listed, every way to name one, and machines that lack something.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
export POCL_CACHE_DIR=${TMPDIR:-/tmp}/trivium-pocl-cache # else each test compiles anew
mkdir -p "$POCL_CACHE_DIR"
make_data
make_config run gpt2

run devices
[ "$status" = 0 ] || cli_skip "no device here"
name=$(sed -nE '1s/^0 +//p' out)
uuid=$(sed -nE 's/^ +uuid +//p' out | head -n 1)
place=$(sed -nE 's/.*, ([a-z]+:[0-9]+)$/\1/p' out | head -n 1)
check "a name, a UUID and a place: $name, $uuid, $place" \
  test -n "$name" -a ${#uuid} = 36 -a -n "$place"
check "it is tested, and the test's result is said" grep -qE "^   test     passed" out
for text in "16-bit storage" "half conversion" "bfloat16" "row reductions" "precision: auto"; do
  check "what it uses: $text" grep -qE "^(   uses| {11}) +$text +[0-9a-z]" out
done
expect "devices --json" 0 devices --json
check "the JSON names the same" grep -qF "\"uuid\": \"$uuid\"" out
if command -v jq >/dev/null; then
  check "the JSON is JSON" jq -e '.[0] | .index == 0 and .caps.memory > 0' out
  check "it has the test's result" jq -e '.[0] | .selftest.passed and .selftest.ms > 0' out
  check "nothing is masked: used is what is offered" jq -e '.[0] | .caps == .offered' out
  run devices --json --no-selftest --mask no-f16,no-storage16,no-subgroup
  check "a mask: used is less than offered" jq -e '.[0] | .caps != .offered' out
  check "a mask: the fallbacks" jq -e '.[0].uses |
    .storage16 == "packed in 32-bit words" and .half_conversion == "bit operations" and
    .row_reductions == "shared memory"' out
  check "--no-selftest: no result" jq -e '.[0].selftest == null' out
else
  echo "skipped: JSON by another parser; there is no jq"
fi
expect "devices --all" 0 devices --all --no-selftest
check "--all has what the list has" grep -qE "^0 +" out
run devices --no-selftest --mask profile=spec-minimum
check "a profile: its limits" grep -qE "groups +up to 128 lanes, 16.0 KiB shared" out
check "--no-selftest: no result for people" test "$(grep -c "^   test " out)" = 0
expect_error "a profile that there is not" 2 "no profile 'rx-580'; did you mean 'rx580'" \
  devices --no-selftest --mask profile=rx-580

export TRIVIUM_FAULT=wrong:matmul_nt
run devices
check "a device that computes wrongly is listed" test "$status" = 0
check "a device that computes wrongly: the kernel is named" \
  grep -qE "^   PROBLEM .*kernel 'matmul_[a-z0-9_]*' computes wrongly" out
expect_error "a device that computes wrongly is not trained on" 1 \
  "kernel 'matmul_[a-z0-9_]*' computes wrongly.*--no-selftest" train run.yaml --quiet
rm -rf run
expect "train --no-selftest takes it nevertheless" 0 train run.yaml --quiet --no-selftest \
  trainer.max_steps=1 lr_scheduler.warmup_steps=1
expect_error "validate: the same" 1 "computes wrongly" validate run --data data/val --quiet
expect "validate --no-selftest" 0 validate run --data data/val --quiet --no-selftest
expect_error "generate: the same" 1 "computes wrongly" generate run --prompt a --quiet
expect "generate --no-selftest" 0 generate run --prompt a --max-tokens 2 --quiet --no-selftest
export TRIVIUM_FAULT=wrong:nothing
rm -rf run
expect_error "a fault that there is not" 2 "no such check" train run.yaml --quiet
unset TRIVIUM_FAULT

# Without the self-test it is the plan that finds out.
for skip in "" --no-selftest; do
  expect_error "groups too small: one line ($skip)" 1 \
    "needs groups of 64 lanes, the device takes 32" \
    train run.yaml --quiet --mask no-subgroup,group=32 $skip
  expect_error "too little shared memory: one line ($skip)" 1 \
    "needs [0-9]+ bytes of shared memory, the device has 128" \
    train run.yaml --quiet --mask no-texel,no-subgroup,shared=128 $skip
done
rm -rf run
run train run.yaml --mask profile=spec-minimum --quiet trainer.max_steps=2
check "a run on the least that Vulkan promises" test "$status" = 0

opens() { # TEXT DEVICE
  rm -rf run
  run train run.yaml --device "$2" trainer.max_steps=1 lr_scheduler.warmup_steps=1
  check "$1 opens the device" test "$status" = 0
  check "$1: the choice is printed" grep -qF "device: $name" err
}
opens "auto" auto
opens "an index" 0
opens "backend and index" "$place"
opens "a name" "$name"
opens "a part of a name" "$(cut -c 2-6 <<<"$name" | tr '[:lower:]' '[:upper:]')"
opens "a UUID" "$uuid"
opens "a UUID without dashes" "${uuid//-/}"
rm -rf run
export TRIVIUM_MASK=range=soon
expect_error "the mask of the environment is read" 2 "mask.*range=soon" train run.yaml --quiet
unset TRIVIUM_MASK

expect "doctor: nothing that is needed is missing" 0 doctor
check "doctor: kernels compute" grep -q "^ok  *kernels" out

export VK_DRIVER_FILES=$work/absent.json VK_ICD_FILENAMES=$work/absent.json
export OCL_ICD_VENDORS=$work/absent/
run devices --json
if [ "$(cat out)" = "[]" ]; then
  check "no driver: devices: exit code 1" test "$status" = 1
  check "no driver: devices: one error line that says what to install" \
    test "$(only_error | grep -c install)" = 1
  run doctor
  check "no driver: doctor: exit code 1" test "$status" = 1
  check "no driver: doctor says what is missing" grep -q "^MISSING  *devices" out
else
  echo "skipped: a machine without drivers; there are devices that need neither Vulkan nor OpenCL"
fi
cli_end
