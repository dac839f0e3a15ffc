#!/bin/bash
# trivium corpus and trivium prepare as a user runs them: results, exit codes, what stays behind.
set -u
program=${1:?usage: cli_data.sh PROGRAM}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

# expect CODE WORDS COMMAND...: the exit code, and words that its stderr must contain.
expect() {
  local code=$1 words=$2 got
  shift 2
  "$program" "$@" >out 2>err
  got=$?
  if [ "$got" != "$code" ] || { [ -n "$words" ] && ! grep -qF -- "$words" err; }; then
    echo "trivium $*: exit code $got, expected $code and '$words' in:" >&2
    cat err >&2
    failures=$((failures + 1))
  fi
}

# check COMMAND...: must succeed. refuse COMMAND...: must fail.
check() {
  if ! "$@"; then
    echo "not true: $*" >&2
    failures=$((failures + 1))
  fi
}

refuse() {
  if "$@"; then
    echo "should not be true: $*" >&2
    failures=$((failures + 1))
  fi
}

expect 0 "to learn" corpus --out school --size 64K --seed 3 --level 1 --json
check grep -q '"exercises": [1-9]' out
check [ "$(stat -c %s school/train.txt)" -le 65536 ]
for file in README.txt exercises.jsonl train.txt val.txt; do
  check [ -s "school/$file" ]
done
check [ "$(find school -type f | wc -l)" = 4 ]
expect 0 "" corpus --out again --size=64K --seed=3 --level=1 --quiet
refuse [ -s err ]
check diff -r school again

expect 2 "--out" corpus
expect 2 "--size" corpus --out x --size many
expect 2 "too small" corpus --out x --size 12
expect 2 "--seed" corpus --out x --seed -1
expect 2 "--level" corpus --out x --level 5
expect 2 "--level" corpus --out x --level=
expect 2 "did you mean --seed" corpus --out x --sed 1
refuse [ -e x ]
expect 1 "/dev/null" corpus --out /dev/null/x
expect 0 "" corpus --help
check grep -q "usage: trivium corpus" out

expect 0 "to train" prepare --tokenizer bytes --out data school --json
check grep -q '"vocab_size": 258' out
check cmp -s out data/data.json
check cmp -s school/exercises.jsonl data/exercises.jsonl
check [ -s data/train/0000.tokens ]
check [ -s data/val/0000.tokens ]
expect 2 "--force" prepare --out data school
expect 0 "" prepare --out data --force --quiet school
expect 2 "was not made by" prepare --out school --force data
expect 2 "INPUT" prepare --out y
expect 2 "--out" prepare school
expect 2 "--val" prepare --out y --val much school
expect 2 "less than 1" prepare --out y --val 1 school
expect 1 "nowhere" prepare --out y nowhere
expect 1 "no-such-tokenizer" prepare --tokenizer no-such-tokenizer --out y school
printf 'caf\303\251 \351t\303\251\n' >latin.txt
expect 1 "latin.txt: byte 6" prepare --out y latin.txt
: >empty.txt
expect 1 "empty.txt" prepare --out y empty.txt
refuse [ -e y ]
refuse compgen -G './*.tmp-*'
if [ -w /dev/full ]; then
  "$program" prepare --out z --json school >/dev/full 2>err
  check [ $? = 28 ]
  "$program" corpus --out w --json >/dev/full 2>err
  check [ $? = 28 ]
fi

if [ "$failures" -gt 0 ]; then
  echo "$failures failures" >&2
  exit 1
fi
