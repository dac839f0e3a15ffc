#!/bin/bash
# Interrupted runs: killed, stopped, with a lost device or damaged checkpoints. Each is resumed and
# must end in the same bits as a run that nobody disturbed.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
make_data
readonly STEPS=24
accumulate=(trainer.micro_batch_size=2)
dropout=(model.resid_pdrop=0.1 model.embd_pdrop=0.1 trainer.micro_batch_size=1)

# ------------------------------------------------------------------------------------ tools for it

last_of() { # RUN
  echo "$1/checkpoints/step-$(printf %08d "$STEPS")"
}

# A folder per variant that an undisturbed run fills: config NAME.yaml and what it ends in.
reference() { # NAME TYPE ARG...
  local name=$1 type=$2
  shift 2
  make_config "$name" "$type"
  sed -i "s/max_steps: 12/max_steps: $STEPS/" "$name.yaml"
  need "$program" train "$name.yaml" "$@" run_dir="$name.ref" --quiet
  weights_of "$(last_of "$name.ref")" >"$name.weights"
  metrics_of "$name.ref" >"$name.metrics"
}

# NAME is done, and nothing in it differs from the reference's.
check_same() { # TEXT NAME
  if ! weights_of "$(last_of "$2")" 2>&1 | cmp - "$2.weights" >same.log 2>&1; then
    fail "$1: other weights" "$(cat same.log)"
  elif ! metrics_of "$2" | cmp - "$2.metrics" >same.log 2>&1; then
    fail "$1: other metrics" "$(metrics_of "$2" | diff - "$2.metrics" | head -n 4)"
  elif [ -n "$(find "$2" -name '*.tmp*')" ]; then
    fail "$1: half-written files are left" "$(find "$2" -name '*.tmp*')"
  else
    pass "$1: the same bits"
  fi
}

# Starts training in the background: $child.
start() { # NAME ARG...
  local name=$1
  shift
  "$program" train "$name.yaml" --quiet "$@" >out 2>err </dev/null &
  child=$!
}

finish() { # NAME ARG...
  local name=$1
  shift
  run train "$name.yaml" --resume auto --quiet "$@"
  [ "$status" = 0 ] || fail "$name: resuming" "exit code $status" "$(tail -n 2 err)"
}

# Waits until COMMAND succeeds or the child is gone.
wait_until() { # COMMAND...
  until "$@"; do
    kill -0 "$child" 2>/dev/null || return
  done
}
# shellcheck disable=SC2317 # called through wait_until
reached() { # NAME STEP
  grep -qs "^{\"step\": $2," "$1/metrics.jsonl"
}
# shellcheck disable=SC2317 # called through wait_until
is_saving() { # NAME
  compgen -G "$1/checkpoints/*.tmp" >/dev/null
}
end_child() { # SIGNAL...: sends them, and leaves the exit code in $status
  local signal
  for signal in "$@"; do kill -s "$signal" "$child" 2>/dev/null; done
  status=0
  wait "$child" 2>/dev/null || status=$?
}

# A library to be preloaded: kills the process at the TV_KILL_AT-th change of a file in a path that
# contains TV_KILL_PATH; a write is half done by then.
make_killer() {
  command -v cc >/dev/null || return
  cat >killer.c <<'SOURCE'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static long left = -1;
static int due(const char *path)
{
    const char *part = getenv("TV_KILL_PATH"), *at = getenv("TV_KILL_AT");
    if (!part || !at || !strstr(path, part))
        return 0;
    if (left < 0)
        left = atol(at);
    return left > 0 && --left == 0;
}
static void count(const char *path)
{
    if (due(path))
        kill(getpid(), SIGKILL);
}
static void name_of(int fd, char path[4096])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 4095);
    path[n > 0 ? n : 0] = 0;
}
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
ssize_t write(int fd, const void *data, size_t size)
{
    char path[4096];
    name_of(fd, path);
    if (due(path)) {
        NEXT(write)(fd, data, size / 2);
        kill(getpid(), SIGKILL);
    }
    return NEXT(write)(fd, data, size);
}
int fsync(int fd)
{
    char path[4096];
    name_of(fd, path);
    count(path);
    return NEXT(fsync)(fd);
}
int ftruncate(int fd, off_t size)
{
    char path[4096];
    name_of(fd, path);
    count(path);
    return NEXT(ftruncate)(fd, size);
}
int rename(const char *from, const char *to)
{
    count(from);
    return NEXT(rename)(from, to);
}
int mkdir(const char *path, mode_t mode)
{
    count(path);
    return NEXT(mkdir)(path, mode);
}
int unlink(const char *path)
{
    count(path);
    return NEXT(unlink)(path);
}
int rmdir(const char *path)
{
    count(path);
    return NEXT(rmdir)(path);
}
SOURCE
  cc -shared -fPIC -O1 -o killer.so killer.c -ldl
}

# Like run, but killed at the N-th change in the run's folder.
run_until_change() { # N ARG...
  local n=$1
  shift
  LD_PRELOAD=$work/killer.so TV_KILL_AT=$n TV_KILL_PATH=victim "$program" "$@" \
    >out 2>err </dev/null &
  child=$!
  end_child
}

# ---------------------------------------------------------------------------- killed while writing

# On the null device, which computes nothing, so that every single change can be tried.
make_config victim gpt2
victim=(train victim.yaml --quiet --device null trainer.max_steps=2 trainer.keep_checkpoints=1
  trainer.checkpoint_every_n_steps=1 lr_scheduler.warmup_steps=1)
checkpoint_is_whole() { # RUN: nothing was saved yet, or the newest one verifies
  ! compgen -G "$1/checkpoints/step-????????" >/dev/null || "$program" inspect "$1" >/dev/null 2>&1
}
outcome() {
  weights_of victim/checkpoints/step-00000002
  metrics_of victim
  find victim -name '*.tmp*'
}
kill_at_every_change() {
  local n=0 bad=0 expected
  run "${victim[@]}"
  expected=$(outcome)
  while :; do
    n=$((n + 1))
    rm -rf victim
    run_until_change "$n" "${victim[@]}"
    [ "$status" = 137 ] || break
    checkpoint_is_whole victim && run "${victim[@]}" --resume auto && [ "$status" = 0 ] &&
      [ "$(outcome)" = "$expected" ] && continue
    bad=$((bad + 1))
    echo "        killed at change $n: $(grep '^error' err | head -n 1)"
  done
  check "changes to files before the end: $((n - 1))" test "$n" -gt 60 -a "$status" = 0
  check "killed at each of them, all resumed" test "$bad" = 0
}
have_killer=no
if make_killer; then
  have_killer=yes
  kill_at_every_change
else
  echo "skipped: kills at every change of a file; there is no C compiler"
fi

# --------------------------------------------------------------------------- killed while training

# Kills, each one further on: within a step, within saving, at once, and at a random moment.
kill_often() { # NAME ARG...
  local name=$1 kills=0 wait
  shift
  for wait in "reached $name 3" "is_saving $name" "reached $name 11" "is_saving $name" \
    "sleep 0.0$((RANDOM % 9))" "reached $name 18" "sleep 0.$((RANDOM % 4 + 1))"; do
    start "$name" --resume auto "$@"
    # shellcheck disable=SC2086 # a command and its arguments
    wait_until $wait
    end_child KILL
    [ "$status" != 137 ] || kills=$((kills + 1))
    [ "$status" = 137 ] || [ "$status" = 0 ] || fail "$name: exit code $status" "$(tail -n 2 err)"
  done
  finish "$name" "$@"
  check_same "$name: killed $kills times" "$name"
  check "$name: it was killed at least 3 times" test "$kills" -ge 3
}

reference plain gpt2 "${accumulate[@]}"
reference dropped gpt2 "${dropout[@]}"
reference rotary llama "${accumulate[@]}"
kill_often plain "${accumulate[@]}"
kill_often dropped "${dropout[@]}"
kill_often rotary "${accumulate[@]}"

# The same at given changes of files: each process gets a little further than the one before.
if [ "$have_killer" = yes ]; then
  reference victim gpt2 "${accumulate[@]}"
  rm -rf victim
  for n in 31 44 57 73 97; do
    run_until_change "$n" train victim.yaml --quiet --resume auto "${accumulate[@]}"
  done
  finish victim "${accumulate[@]}"
  check_same "killed at given changes" victim
fi

# ------------------------------------------------------------------------------ stopped on request

newest() { # RUN
  find "$1/checkpoints" -mindepth 1 -maxdepth 1 -name 'step-????????' | sort | tail -n 1
}

stop_by() { # SIGNAL
  local step command
  rm -rf plain
  "$program" train plain.yaml "${accumulate[@]}" --device auto >out 2>err </dev/null &
  child=$!
  wait_until reached plain 5
  end_child "$1"
  check "$1: exit code 75" test "$status" = 75
  check "$1: one error line, which says the step" test "$(grep -c '^error: ' err)" = 1
  step=$(sed -nE 's/^error: stopped on request at step ([0-9]+); the checkpoint is saved$/\1/p' err)
  command=$(sed -n 's/^go on with: trivium //p' err)
  check "$1: a checkpoint of step ${step:-?}" \
    test "$(newest plain)" = "plain/checkpoints/step-$(printf %08d "${step:-0}")"
  expect "$1: the checkpoint verifies" 0 inspect "$(newest plain)"
  check "$1: the line to go on with keeps the options" \
    test "$command" = "train plain.yaml ${accumulate[*]} --device auto --resume auto"
  # shellcheck disable=SC2086 # words of a command line
  expect "$1: the printed command works" 0 $command
  check_same "$1: resumed as it says" plain
}
stop_by INT
stop_by TERM
stop_by USR2

rm -rf plain
start plain "${accumulate[@]}" trainer.max_steps=1000000 trainer.checkpoint_every_n_steps=0
wait_until reached plain 3
end_child INT INT
check "a second SIGINT ends at once" test "$status" = 130 -o "$status" = 75
rm -rf plain
start plain "${accumulate[@]}" trainer.max_steps=1000000 trainer.checkpoint_every_n_steps=0
wait_until reached plain 3
end_child TERM TERM # as Slurm does
check "a second SIGTERM changes nothing" test "$status" = 75
rm -rf plain
start plain "${accumulate[@]}" trainer.max_steps=1000000
wait_until reached plain 3
kill -s STOP "$child" # both arrive before it runs again
end_child INT INT CONT
check "SIGINT twice while it is busy: no hang" test "$status" = 130 -o "$status" = 75

# --------------------------------------------------------------------------------- the device lost

for n in 2 77; do
  rm -rf plain
  export TRIVIUM_FAULT=lost:$n
  run train plain.yaml --quiet "${accumulate[@]}"
  unset TRIVIUM_FAULT
  check "device lost at run $n: exit code 75" test "$status" = 75
  check "device lost at run $n: one error line" only_error
  check "device lost at run $n: checkpoints are whole" checkpoint_is_whole plain
  finish plain "${accumulate[@]}"
  check_same "device lost at run $n: resumed" plain
done

# ------------------------------------------------------------------------------ damaged checkpoints

# A run that stands at step 16, with checkpoints of steps 12 and 16.
stand_at_16() {
  rm -rf plain
  need cp -r plain.16 plain
}
rm -rf plain
need "$program" train plain.yaml --quiet "${accumulate[@]}" trainer.keep_checkpoints=9
rm -rf plain/checkpoints/step-000000{04,08,20,24} && mv plain plain.16

damage() { # TEXT COMMAND...: of the newest checkpoint, step 16
  local text=$1
  shift
  stand_at_16
  need "$@"
  finish plain "${accumulate[@]}"
  check "$text: it says what it skipped" grep -q "^warning: skipped checkpoint .*step-00000016" err
  check_same "$text" plain
}
at=plain/checkpoints/step-00000016
damage "a flipped byte in the weights" flip_byte $at/model.safetensors 5000
damage "a truncated optimizer state" truncate -s 1000 $at/optimizer.safetensors
damage "no manifest" rm $at/manifest.json
damage "an empty folder, and a later one" \
  sh -c "rm $at/* && mkdir plain/checkpoints/step-00000023"

# The other ways to be damaged are told apart before anything is computed.
skips() { # TEXT COMMAND...
  local text=$1
  shift
  stand_at_16
  need "$@"
  run inspect plain
  check "skipped: $text" grep -q "^newest valid checkpoint: plain/checkpoints/step-00000012" out
  check "skipped with a word: $text" grep -q "^warning: skipped checkpoint .*step-00000016" err
}
skips "a flipped byte in a header" flip_byte $at/optimizer.safetensors 20
skips "no trainer state" rm $at/trainer.json
skips "an empty manifest" truncate -s 0 $at/manifest.json
skips "a file in place of the folder" sh -c "rm -r $at && echo hello >$at"
skips "a link to nowhere" sh -c "rm -r $at && ln -s nowhere $at"
skips "a manifest that lists nothing" sh -c "echo '{\"files\": {}}' >$at/manifest.json"

stand_at_16
for file in plain/checkpoints/*/model.safetensors; do flip_byte "$file" 5000; done
finish plain "${accumulate[@]}"
check "all damaged: it says so for each" test "$(grep -c '^warning: skipped checkpoint' err)" = 2
check_same "all damaged: from the start" plain

# ----------------------------------------------------------------------------- from a given place

stand_at_16
expect "--resume CHECKPOINT" 0 train plain.yaml --quiet "${accumulate[@]}" \
  --resume plain/checkpoints/step-00000012
check_same "--resume CHECKPOINT" plain
stand_at_16
expect "--resume RUN" 0 train plain.yaml --quiet "${accumulate[@]}" --resume plain
check_same "--resume RUN" plain
expect "--resume auto of a finished run" 0 train plain.yaml --quiet "${accumulate[@]}" --resume auto
check_same "--resume auto of a finished run" plain
expect "--resume CHECKPOINT into another folder" 0 train plain.yaml --quiet "${accumulate[@]}" \
  --resume plain.16/checkpoints/step-00000012 run_dir=elsewhere
check "--resume CHECKPOINT into another folder: the same weights" \
  cmp <(weights_of "$(last_of elsewhere)") plain.weights
rm -rf elsewhere

# What goes on from an earlier checkpoint replaces what came behind it.
stand_at_16
expect "going back to step 12" 0 train plain.yaml --quiet "${accumulate[@]}" \
  --resume plain/checkpoints/step-00000012 trainer.max_steps=13
check "going back leaves no later checkpoint" test "$(newest plain)" = \
  plain/checkpoints/step-00000013

expect_error "starting anew where a run is" 2 "--resume auto" train plain.yaml
expect_error "resuming nothing" 1 "absent.*no such folder" train plain.yaml --resume absent
expect_error "resuming another run's checkpoint in place of this one" 2 "another run_dir" \
  train plain.yaml --resume rotary
stand_at_16
flip_byte $at/model.safetensors 5000
expect_error "resuming a damaged checkpoint" 1 "model.safetensors.*(sum|checksum)" \
  train plain.yaml --resume $at
expect "--resume auto where there is none" 0 train plain.yaml --quiet "${accumulate[@]}" \
  --resume auto run_dir=fresh
check "--resume auto where there is none: the same weights" \
  cmp <(weights_of "$(last_of fresh)") plain.weights
cli_end
