#!/bin/bash
# trivium bench --suite network: what a job of 2 and 3 ranks reports of its links, its calls and its
# strategies; that its checks see what arrives wrong; and what cannot be meant.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
export LP_NUM_THREADS=1 # ranks share the cores
make_data
make_config plain gpt2

expect_error "one rank" 2 "needs several ranks; start it with mpirun -n N" bench --suite network
expect_error "--verify without a configuration" 2 "need a CONFIG.yaml" \
  bench --suite network --verify
expect_error "--verify of another suite" 2 "only the suite network has --verify" \
  bench --suite quick --verify
expect_error "a configuration that is not there" "[12]" "absent.yaml" \
  bench --suite network absent.yaml

find_launch || cli_end

ranks() { # COUNT ARG...
  local count=$1
  shift
  status=0
  timeout 300 "${launch[@]}" -n "$count" "$program" bench --suite network --seconds 0.02 \
    --no-selftest "$@" >out 2>err </dev/null || status=$?
}

# mpirun adds lines of its own behind a failure.
expect_failure() { # TEXT CODE REGEX
  check "$1: exit code $2" test "$status" = "$2"
  check "$1: $(grep '^error: ' err | head -c 160)" grep -Eq "^error: .*($3)" err
  check "$1: one error line" test "$(grep -c '^error: ' err)" = 1
}

# -------------------------------------------------------------------------------- the network alone

ranks 3 --out net.json --markdown net.md --plot net.png
check "3 ranks: exit code $status" test "$status" = 0
check "each pair's latency, and both ways of each link" \
  test "$(grep -Ec '^latency [0-2]-[0-2] |^link [0-2]>[0-2] ' out)" = 9
calls="all-reduce|reduce-scatter|all-gather"
check "calls of several sizes" test "$(grep -Ec "^($calls) .* MB/s " out)" -ge 9
check "the ranks are of one host" grep -q "^3 ranks on 1 host\$" out
check "only rank 0 prints" test "$(grep -c '^device ' out)" = 1
check "how to get predictions" grep -q "for predictions, name the run's CONFIG.yaml" out
check "nothing is wrong" test "$(grep -c WRONG out)" = 0
check "progress is on stderr, once" test "$(grep -c '^link 0>1' err)" = 1
check "the page" grep -q '^| all-reduce 4.0 KiB ' net.md
check "a picture" test "$(head -c 4 net.png | tail -c 3)" = PNG
expect "the report is read back" 0 bench compare net.json net.json --quiet
check "with its results" grep -q '^| latency 0-2 | us ' out

TRIVIUM_FAULT=drift:1:3 ranks 3
expect_failure "a wrong element" 1 "1 results on no device are wrong"
check "a wrong element: the rank is named" \
  grep -q "all-reduce 4.0 KiB, WRONG: what arrived at rank 1 is wrong" out

# ------------------------------------------------------------------------------------ predictions

ranks 2 plain.yaml --share-device --verify --quiet --out room.json
check "2 ranks and a configuration: exit code $status" test "$status" = 0
[ "$status" = 0 ] || tail -n 5 err
for name in ddp "ddp bf16" zero1 "zero1 bf16" zero2 fsdp diloco; do
  check "$name is predicted" grep -Eq "^predicted $name +[0-9.]+ +tokens/s" out
done
for name in ddp "ddp bf16" zero1 "zero1 bf16" zero2 fsdp; do
  check "$name is measured" grep -Eq "^measured $name +[0-9.]+ +tokens/s" out
done
check "the advice" grep -Eq "^this room should use .* \(trainer.strategy=" out
check "what it was predicted for" grep -q "^predicted for: gpt2, [0-9]* parameters, 4 sequences" out
ranks 2 plain.yaml trainer.strategy=diloco diloco.compression=int4 diloco.sync_every_n_steps=7 \
  diloco.fragments=2 diloco.overlap_steps=1 --share-device --quiet
check "diloco as configured: exit code $status" test "$status" = 0
check "its settings count" grep -q \
  "^diloco: 7 steps between averages in 2 fragments, each behind 1 steps, 4.125 bits" out
check "its exchange is measured" grep -q "^outer int4 4.0 KiB " out

if command -v jq >/dev/null; then
  check "JSON: schema, and every result is right" \
    jq -e '.schema == "trivium-bench" and .suite == "network" and
           ([.results[] | .good and .min <= .median and .median <= .max] | all)' room.json
  check "JSON: what travels has bytes and seconds" \
    jq -e '[.results[] | select(.kind == "collective") | .travel |
            .bytes >= 4096 and .seconds > 0 and .of_link > 0] | all' room.json
  check "JSON: the lines cost something" \
    jq -e '.room | [.all_reduce, .reduce_scatter, .all_gather, .outer] |
           [.[] | .fixed_seconds >= 0 and .seconds_per_unit > 0] | all' room.json
  # shellcheck disable=SC2016 # a variable of jq's
  check "JSON: bytes by the formula, and steps no shorter than computing" \
    jq -e '.room.prediction | .parameters as $p | .strategies |
           (.[0].sent_bytes == 4 * $p and .[1].sent_bytes == 2 * $p) and
           ([.[] | .seconds >= .compute_seconds and .hidden_seconds <= .network_seconds + 1e-9] |
            all)' room.json
  check "JSON: ranks compute" \
    jq -e '.room.ranks | ([.[].sequences] | add == 4) and
           ([.[] | .micro_batch_seconds > 0 and .update_seconds > 0] | all)' room.json
fi

# ------------------------------------------------------------------------------------- bad input

ranks 2 plain.yaml --share-device model.n_layer=none
expect_failure "a bad setting" 2 "model.n_layer"
ranks 2 plain.yaml --device null
expect_failure "one device for two ranks" 2 "share-device"
ranks 2 plain.yaml --share-device trainer.global_batch_size=1
expect_failure "a rank without work" 2 "has no work in global batches of 1"
ranks 2 plain.yaml --share-device --out absent/room.json
expect_failure "a report that cannot be written" 1 "absent"
cli_end
