#!/bin/bash
# trivium bench from the outside: the conformance suite's reports, and what cannot be meant.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"

expect_error "no suite" 2 "--suite is missing; there is: conformance" bench
expect_error "an unknown suite" 2 "no suite 'conform'; there is: conformance" bench --suite conform
expect_error "an argument too many" 2 "takes no 'all'" bench --suite conformance all
run devices --no-selftest
[ "$status" = 0 ] || cli_skip "no device here"
expect_error "an unknown op" 2 "no case is about an op named 'SUBTRACT'" \
  bench --suite conformance --op SUBTRACT --quiet
expect_error "a report that cannot be written, before anything is run" "[12]" "absent" \
  bench --suite conformance --op ADD --quiet --json absent/report.json
expect_error "an unknown mask" 2 "mask.*no-such" \
  bench --suite conformance --op ADD --quiet --mask no-such

run bench --suite conformance --op ADD --device null --json wrong.json --quiet
check "a device that computes nothing: exit code 1" test "$status" = 1
check "the table marks it" grep -Eq '^ADD .*!' out
check "the report is written all the same" grep -q '"good": false' wrong.json
expect "the suite on one op" 0 bench --suite conformance --op ADD --json report.json \
  --markdown report.md
check "a table with the op, and all is right" grep -Eq '^ADD( +[0-9]+\.[0-9]+){6}$' out
check "progress is on stderr" grep -q ADD err
check "the page has the same numbers" \
  test "$(sed -nE 's/^ADD +([0-9. ]+)$/\1/p' out | tr -s ' ')" = \
  "$(sed -n 's/^| ADD | //p' report.md | tr -d '|' | tr -s ' ' | sed 's/ $//')"
if command -v jq >/dev/null; then
  check "the JSON counts what failed, and names the device" \
    jq -e '.suite == "conformance" and .failed == 0 and (.device.name | length) > 0 and
           .mask == null and (.trials | length) > 0' report.json
  check "every storage type was run" \
    jq -e '[.trials[].storage] | unique == ["bf16", "f16", "f32"]' report.json
  check "sums of two halves are off by one rounding at most" \
    jq -e '[.trials[] | select(.storage == "f16") | .results[].max_ulp] | max <= 0.501' report.json
else
  echo "skipped: the JSON by another parser; there is no jq"
fi

run bench --suite conformance --op ADD --json - --quiet
check "JSON on standard output: nothing else is there" \
  test "$status" = 0 -a "$(head -c 1 out)" = "{" -a "$(grep -c '^ADD' out)" = 0
run bench --suite conformance --op ADD --mask no-f16,no-storage16 --quiet
check "on a device without 16-bit storage" test "$status" = 0
check "the mask is printed" grep -q '^mask .*no-f16,no-storage16' out
check "--quiet" test ! -s err

# Bit by bit: the inputs are the same in every run.
expect "results are the same again" 0 bench --suite conformance --op ADD --json again.json --quiet
check "but for the date" \
  test "$(grep -v '"date"' report.json)" = "$(grep -v '"date"' again.json)"
cli_end
