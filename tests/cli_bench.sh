#!/bin/bash
# trivium bench from the outside: the reports of its suites, and what cannot be meant.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"

expect_error "no suite" 2 "--suite is missing; there is: quick, train, .*, conformance" bench
expect_error "an unknown suite" 2 "no suite 'conform'; there is: quick" bench --suite conform
expect_error "an argument too many" 2 "takes no 'all'" bench --suite conformance all
expect_error "no time" 2 "--seconds 0: expected a number above 0" bench --suite quick --seconds 0
expect_error "a size that is no number" 2 "--size big" bench --suite quick --size big
expect_error "half a row" 2 "--size 2.5" bench --suite quick --size 2.5
expect_error "an unknown model" 2 "no model 'gpt5'; there are: gpt2-1m-b8t128, .*, and all" \
  bench --suite train --models gpt2-1m-b8t128,gpt5
expect_error "a model without name" 2 "--models .*: a name is missing" \
  bench --suite train --models ,
expect_error "two kinds of models" 2 "either --models or --shape" \
  bench --suite train --models all --shape L1,d32,H1,T8,B1,V64
expect_error "a shape with an unknown size" 2 "shape 'L1,X2': 'X2' is no size" \
  bench --suite train --shape L1,X2
expect_error "a shape that lacks a size" 2 "shape 'L1,d32,H1,T8,B1': V is missing" \
  bench --suite train --shape L1,d32,H1,T8,B1
expect_error "key/value heads of a GPT-2" 2 "K and untied are for llama" \
  bench --suite train --shape L1,d32,H1,K1,T8,B1,V64
expect_error "an unknown precision" 2 "8-true" bench --suite train --precision 8-true
expect_error "a precision that says nothing" 2 "auto is none" \
  bench --suite train --precision 32-true,auto
expect_error "one op of a suite that has none" 2 "only the suite conformance has --op" \
  bench --suite quick --op ADD
expect_error "a chart of conformance" 2 "has no --plot" \
  bench --suite conformance --plot x.png
expect_error "nothing to compare" 2 "name at least one report" bench compare
expect_error "a report that is not there" "[12]" "absent.json" bench compare absent.json
echo '{"suite": "quick"}' >other.json
expect_error "JSON of something else" "[12]" "other.json: no report of trivium bench" \
  bench compare other.json
echo '{"schema": "trivium-bench", "version": 99}' >newer.json
expect_error "a report of another version" "[12]" "newer.json: .*version 99" \
  bench compare newer.json
echo 'hello' >text.json
expect_error "a report that is no JSON" "[12]" "text.json" bench compare text.json
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

# ------------------------------------------------------------------------------------- the speeds

small=(--seconds 0.05 --size 64 --no-selftest)
expect_error "a missing device" "[12]" "no-such-device" bench --suite quick --device no-such-device
expect "the quick suite" 0 bench --suite quick "${small[@]}" --out quick.json --markdown quick.md \
  --plot quick.png
check "a row for each type and layout" \
  test "$(grep -c '^matmul [a-z0-9]* [a-z]* 64x64x64 ' out)" = 9
check "a row for many small ones" grep -q '^batched matmul f32 nt 96x64x64x64 ' out
check "copy, multiply-adds and attention" test "$(grep -Ec '^(copy|fma|attention) ' out)" = 6
check "nothing is wrong" test "$(grep -c WRONG out)" = 0
check "the same rows on the page" test "$(grep -c '^| matmul ' quick.md)" = 9
check "a picture" test "$(head -c 4 quick.png | tail -c 3)" = PNG
check "progress is on stderr" grep -q '^matmul bf16 tn' err

run bench --suite quick "${small[@]}" --mask range=8M --quiet
check "a copy is as large as the device allows, and says so" grep -q '^copy f32 8 MiB ' out

shape="L1,d32,H2,T16,B2,V64"
expect "the train suite, on a model of one's own" 0 bench --suite train "${small[@]}" \
  --shape $shape --precision 32-true,bf16-mixed --out train.json --quiet
check "a row for each precision" \
  test "$(grep -Ec "^train $shape (32-true|bf16-mixed) .*tokens/s" out)" = 2
check "utilisation says what it is a part of" grep -q 'part of: matmul f32 .. 64x64x64' out
expect "a Llama with a head of its own" 0 bench --suite train "${small[@]}" --quiet \
  --shape llama:L1,d32,H2,K1,F48,T16,B2,V64,untied
check "it has the parameters that it should have" grep -Eq "^train llama:.* +1[0-9]{4} " out
expect "a model that does not fit is skipped" 0 bench --suite train "${small[@]}" --quiet \
  --shape L2,d64,H2,T64,B4096,V60000 --mask alloc=64M
check "with the reason" grep -q "skipped: .*needs" out

run bench --suite quick "${small[@]}" --size 16 --device null --out null.json --quiet
check "a device that computes nothing: exit code 1" test "$status" = 1
check "the table marks it" grep -Eq '^matmul f32 .*WRONG' out
expect "reports side by side" 0 \
  bench compare quick.json null.json train.json --plot both.png --quiet
check "a table with the wrong results marked" grep -Eq '^\| matmul f32 nt 16x16x16 .* WRONG ' out
check "and their number" grep -q '^2\. .*results WRONG' out
check "a chart of them" test "$(head -c 4 both.png | tail -c 3)" = PNG
if command -v jq >/dev/null; then
  check "JSON: schema, device, host, conditions" \
    jq -e '.schema == "trivium-bench" and .version == 1 and .suite == "quick" and
           (.device.name | length) > 0 and .host.cores > 0 and .before.load != null' quick.json
  check "JSON: results are checked, and ordered" \
    jq -e '[.results[] | .good and .min <= .median and .median <= .max] | all' quick.json
  check "JSON: training has its model" \
    jq -e '[.results[] | select(.kind == "train") | .training | .parameters == 15328 and
            .plan_bytes > 0 and (.loss - .log_vocabulary | fabs) < 0.5] | all' train.json
fi
cli_end
