#!/bin/bash
# Generation from the outside: the known continuation of a really trained model, reproducible
# sampling, and the cache of keys and values against computing everything anew.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"

generate() { # OUTPUT ARG...: text without the newline that ends it
  local output=$1
  shift
  run generate "$@" --quiet
  [ "$status" = 0 ] || fail "generate $*" "exit code $status" "$(tail -n 2 err)"
  head -c -1 out >"$output"
}

# ------------------------------------------------------------------- a model that we trained, bytes

make_data
make_config run gpt2
need "$program" train run.yaml --quiet trainer.max_steps=150 trainer.val_check_interval=0 \
  trainer.checkpoint_every_n_steps=0 optimizer.lr=0.01 model.n_positions=64

generate greedy run --prompt "the cat" --greedy --max-tokens 40
check "it has learned its text" grep -q "^the cat sat on" greedy
check "greedy: 40 tokens of one byte behind the prompt" test "$(stat -c %s greedy)" = 47
generate again run --prompt "the cat" --greedy --max-tokens 40
check "greedy twice: the same text" cmp greedy again
generate again run --prompt "the cat" --top-k 1 --max-tokens 40 --seed 9
check "top-k 1 is greedy" cmp greedy again
generate again run --prompt "the cat" --temperature 0 --max-tokens 40 --seed 9
check "temperature 0 is greedy" cmp greedy again
generate again run --prompt "the cat" --top-p 0 --max-tokens 40
check "top-p 0 leaves the likeliest" cmp greedy again
generate again run/checkpoints/step-00000150 --prompt "the cat" --greedy --max-tokens 40
check "a run is its newest checkpoint" cmp greedy again

# What was made token by token, fed as a prompt (partly 32 at a time), must go on alike.
for length in 8 30 33 40; do
  generate again run --prompt "$(head -c "$length" greedy)" --greedy --max-tokens $((47 - length))
  check "cache against prompt of $length bytes" cmp greedy again
done

generate one run --prompt "the" --seed 1 --temperature 2 --max-tokens 30
generate two run --prompt "the" --seed 1 --temperature 2 --max-tokens 30
generate three run --prompt "the" --seed 2 --temperature 2 --max-tokens 30
check "the same seed: the same text" cmp one two
check "another seed: another text" test "$(sha256sum <one)" != "$(sha256sum <three)"
generate one run --prompt "the" --max-tokens 1 --greedy
check "--max-tokens 1" test "$(stat -c %s one)" = 4
generate one run --max-tokens 5
check "no prompt: starts from BOS" test "$status" = 0
generate one run --prompt "" --greedy --max-tokens 5
generate two run --greedy --max-tokens 5
check "an empty prompt is no prompt" cmp one two

run generate run --prompt "$(printf 'a%.0s' $(seq 1 40))" --greedy --max-tokens 100
check "the context fills up: exit code 0" test "$status" = 0
check "the context fills up: a warning says so" grep -q "^warning: .*context of 64" err
check "the context fills up: 64 positions make 65 tokens" test "$(wc -c <out)" = 66
run generate run --prompt "the" --max-tokens 5
check "the speed goes to stderr" grep -q "5 tokens, .*tokens/s" err
expect_error "a prompt longer than the context" 2 "context holds 64.*shorten" \
  generate run --prompt "$(printf 'a%.0s' $(seq 1 65))"
generate one run --prompt "$(printf 'a%.0s' $(seq 1 64))" --max-tokens 3
check "a prompt that fills the context" test "$(stat -c %s one)" = 65
expect_error "--max-tokens 0" 2 "--max-tokens" generate run --max-tokens 0
expect_error "a negative temperature" 2 "--temperature" generate run --temperature -1
expect_error "top-p above 1" 2 "--top-p" generate run --top-p 1.5

# Whole characters only, whatever bytes the model draws.
if command -v iconv >/dev/null; then
  for i in $(seq 1 30); do
    echo "$i: žluťoučký kůň, 日本語, Привет, 🙂"
  done >text.txt
  need "$program" prepare --force --out data text.txt
  need "$program" train run.yaml --quiet run_dir=words trainer.max_steps=150 optimizer.lr=0.01 \
    trainer.val_check_interval=0 data.val= trainer.checkpoint_every_n_steps=0
  generate characters words --prompt "1: " --greedy --max-tokens 25
  check "text of several bytes per character is UTF-8" iconv -f UTF-8 -t UTF-8 characters
  check "and holds some" grep -q "[^ -~]" characters
else
  echo "skipped: UTF-8; there is no iconv"
fi
run generate run --prompt $'\xff\xfe' --max-tokens 2
check "a prompt that is not UTF-8: no crash" test "$status" -le 2

# --------------------------------------------------------------------------------- the known model

stories=$shared/models/stories260K
if ! [ -d "$stories" ]; then
  echo "skipped: stories260K; $stories is missing"
  cli_end
fi
run generate "$stories" --greedy --max-tokens 200 --quiet
check "stories260K: greedy.txt, byte for byte" cmp <(head -c 464 out) "$stories/greedy.txt"
cp out known
check "stories260K: greedy.txt has 464 bytes" test "$(stat -c %s "$stories/greedy.txt")" = 464
prompt=$(head -c 29 "$stories/greedy.txt")
generate again "$stories" --prompt "$prompt" --greedy --max-tokens 60
check "stories260K: a prompt of its own words goes on alike" \
  cmp <(head -c 120 again) <(head -c 120 known)
generate again "$stories" --greedy --max-tokens 60 --mask range=64K,shared=16K,group=128
check "stories260K: the same words on a poorer device" \
  cmp <(head -c 100 again) <(head -c 100 known)
cli_end
