#!/usr/bin/env bash
# From a bare machine to a trained model: installs, builds, trains and asks it three questions.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: tools/quickstart.sh [--dir DIR] [--keep]

Installs what building needs (tools/setup.sh), builds in build-quickstart/, writes a curriculum of
easy exercises, trains a small model on it as tools/quickstart.yaml says, and asks it exercises that
it has never seen. Needs no GPU. A second run trains a new model beside the earlier ones.

  --dir DIR  where text, tokens and runs go (default ./quickstart)
  --keep     uses the text and the tokens of an earlier quickstart in DIR as they are
TEXT
}

fail() { # message exit-code
  echo "quickstart: $1" >&2
  exit "${2:-1}"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=quickstart
keep=false
while [ $# -gt 0 ]; do
  case $1 in
  --dir)
    [ -n "${2:-}" ] || fail "--dir needs a folder" 2
    dir=$2
    shift
    ;;
  --keep) keep=true ;;
  --help | -h) usage && exit 0 ;;
  *) fail "no option $1; see tools/quickstart.sh --help" 2 ;;
  esac
  shift
done

mkdir -p -- "$dir/logs" || fail "cannot make the folder $dir; choose another one with --dir"
dir=$(cd -- "$dir" && pwd)
# What grows here belongs into no repository.
echo '*' >"$dir/.gitignore"
trivium=$root/build-quickstart/trivium

# Runs a command, its output in a log: one line that says what is done and how long it took.
stage() { # log-name what command...
  local log=$dir/logs/$1.log what=$2 since=$SECONDS status=0
  shift 2
  printf '%-52s' "$what"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" != 0 ]; then
    printf 'FAILED\n'
    tail -n 20 "$log" >&2
    fail "stopped there; all of its output is in $log" "$status"
  fi
  printf '%4d s\n' "$((SECONDS - since))"
}

build() {
  cmake -S "$root" -B "$root/build-quickstart" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DTV_TESTS=OFF && cmake --build "$root/build-quickstart" --target trivium
}

# The first run-N that is not there yet.
new_run() {
  local number=1
  while [ -e "$dir/run-$number" ]; do number=$((number + 1)); done
  echo "$dir/run-$number"
}

train() {
  local since=$SECONDS status=0
  echo "training as tools/quickstart.yaml says (Ctrl-C saves and stops)"
  "$trivium" train "$root/tools/quickstart.yaml" "run_dir=$run" "data.train=$dir/data/train" \
    "data.val=$dir/data/val" </dev/null || status=$?
  [ "$status" = 0 ] || fail "trivium train ended with exit code $status" "$status"
  printf '%-52s%4d s\n' "trained" "$((SECONDS - since))"
}

examine() {
  local since=$SECONDS status=0
  "$trivium" validate "$run" --data "$dir/data" --exercises --show 3 \
    --max-tokens 8192 </dev/null || status=$?
  [ "$status" = 0 ] || fail "trivium validate ended with exit code $status" "$status"
  printf '%-52s%4d s\n' "asked exercises that it had not seen" "$((SECONDS - since))"
}

stage setup "installing what is missing (tools/setup.sh)" "$root/tools/setup.sh"
# Without apt, setup.sh installs nothing but says what to install.
command -v apt-get >/dev/null || cat "$dir/logs/setup.log"
stage build "building in build-quickstart/" build
if $keep && [ -d "$dir/data/val" ]; then
  echo "keeping the text and tokens in $dir"
else
  stage corpus "writing exercises to learn from" "$trivium" corpus --out "$dir/text" --level 1
  stage prepare "turning them into tokens" "$trivium" prepare --tokenizer bytes \
    --out "$dir/data" --loss-after A: --force "$dir/text"
fi
run=$(new_run)
train
examine

checkpoint=$(find "$run/checkpoints" -mindepth 1 -maxdepth 1 -name 'step-*' | sort | tail -n 1)
cat <<TEXT

picture of the loss   $run/loss.png
checkpoint            $checkpoint
                      (a Hugging Face folder: config.json, model.safetensors)

Try next:
TEXT
# Lines to paste, so quoted where a folder's name needs it.
printf '  %q generate %q --greedy --max-tokens 40 --prompt "Q: 3+4? A:"\n' "$trivium" "$run"
printf '  %q inspect %q\n' "$trivium" "$run"
printf '  %q train %q run_dir=%q data.train=%q data.val=%q trainer.max_steps=2000\n' "$trivium" \
  "$root/tools/quickstart.yaml" "$dir/longer" "$dir/data/train" "$dir/data/val"
