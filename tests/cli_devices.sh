#!/bin/bash
# Devices from the outside: what is listed, every way to name one, and machines that lack something.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
make_data
make_config run gpt2

run devices
[ "$status" = 0 ] || cli_skip "no device here"
name=$(sed -nE '1s/^0 +//p' out)
uuid=$(sed -nE 's/^ +uuid +//p' out | head -n 1)
place=$(sed -nE 's/.*, ([a-z]+:[0-9]+)$/\1/p' out | head -n 1)
check "a name, a UUID and a place: $name, $uuid, $place" \
  test -n "$name" -a ${#uuid} = 36 -a -n "$place"
expect "devices --json" 0 devices --json
check "the JSON names the same" grep -qF "\"uuid\": \"$uuid\"" out
if command -v jq >/dev/null; then
  check "the JSON is JSON" jq -e '.[0] | .index == 0 and .caps.memory > 0' out
else
  echo "skipped: JSON by another parser; there is no jq"
fi

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
run devices --json
if [ "$(cat out)" = "[]" ]; then
  check "no driver: devices: exit code 1" test "$status" = 1
  check "no driver: devices: one error line that says what to install" \
    test "$(only_error | grep -c install)" = 1
  run doctor
  check "no driver: doctor: exit code 1" test "$status" = 1
  check "no driver: doctor says what is missing" grep -q "^MISSING  *devices" out
else
  echo "skipped: a machine without drivers; there are devices that need no Vulkan"
fi
cli_end
