#!/bin/bash
# Ranks on several hosts (network namespaces): a rank that is killed, stopped, cut off or hangs, and
# a disk that fills up. Each ends the job with one line and leaves no process on any host, and the
# run goes on, also on another number of ranks, with the losses of one rank.
set -u
# shellcheck source=tests/hosts.sh
. "$(dirname "$0")/hosts.sh"
hosts_enter "$(realpath "$0")" "$@"
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
trap 'hosts_remove; cli_remove' EXIT
"$program" doctor 2>&1 | grep -q "mpi .*Open MPI" || cli_skip "this build has no Open MPI"
command -v mpirun >/dev/null || cli_skip "mpirun is missing"
export LP_NUM_THREADS=1 # ranks share the cores
make_data
make_config plain gpt2
make_config quick gpt2
hosts_make 3 1gbit

null=(train quick.yaml --quiet --device null --share-device trainer.max_nonfinite_steps=1000000
  trainer.max_steps=1000000 trainer.log_every_n_steps=1)

start() { # COUNT ARG...: trivium ARG... with one rank on each of COUNT hosts
  local count=$1
  shift
  rm -rf quick
  hosts_start 1 timeout 60 mpirun -n "$count" "$program" "$@" >out 2>err
}

finish() {
  status=0
  wait "$hosts_child" || status=$?
}

wait_for_steps() {
  until grep -qs '"step": 5,' quick/metrics.jsonl; do
    kill -0 "$hosts_child" 2>/dev/null || return
    sleep 0.05
  done
}

# shellcheck disable=SC2317 # called by check
nothing_is_left() {
  local n tries
  for tries in $(seq 100); do
    for n in 1 2 3; do
      [ -z "$(hosts_pids "$n")" ] || break
      [ "$n" != 3 ] || return 0
    done
    sleep 0.1
  done
  echo "after $tries tries: $(hosts_pids 1) / $(hosts_pids 2) / $(hosts_pids 3)"
  return 1
}

# mpirun adds lines of its own; 124 is that of timeout.
expect_loss() { # TEXT REGEX
  check "$1: exit code $status" test "$status" != 0 -a "$status" != 124
  check "$1: one error line" test "$(grep -c '^error: ' err)" = 1
  check "$1: $(grep '^error: ' err | head -c 160)" grep -Eq "^error: $2" err
  check "$1: no process is left" nothing_is_left
}

# --------------------------------------------------------------------------------- a rank is lost

TRIVIUM_FAULT=kill:1:5 start 3 "${null[@]}"
finish
expect_loss "SIGKILL of rank 1" "rank 1 on host2 ended"
TRIVIUM_FAULT=kill:0:5 start 3 "${null[@]}"
finish
expect_loss "SIGKILL of rank 0" "rank 0 on host1 ended"
export TRIVIUM_RANK_TIMEOUT=4
TRIVIUM_FAULT=stop:2:5 start 3 "${null[@]}"
finish
expect_loss "SIGSTOP of rank 2" "rank 2 on host3 has not been heard for 4 s"
TRIVIUM_FAULT=stop:0:5 start 3 "${null[@]}"
finish
expect_loss "SIGSTOP of rank 0" "rank 0 on host1 has not been heard for 4 s"
TRIVIUM_RANK_DEADLINE=4 TRIVIUM_FAULT=hang:1:5 start 3 "${null[@]}"
finish
expect_loss "a rank that hangs" "rank 1 on host2 has let the others wait"
unset TRIVIUM_RANK_TIMEOUT
start 3 "${null[@]}"
wait_for_steps
hosts_cut 2
finish
hosts_mend 2
expect_loss "a cut link" "rank 1 on host2 has not been heard for 15 s"

# ------------------------------------------------------------------------ the launcher, and signals

start 3 "${null[@]}"
wait_for_steps
kill -KILL "$(pgrep -x mpirun)"
finish
check "SIGKILL of mpirun: no process is left" nothing_is_left
start 2 "${null[@]}"
wait_for_steps
kill -USR2 "$(pgrep -x mpirun)"
finish
check "SIGUSR2 of mpirun: resumable" test "$status" = 75
expect_loss "SIGUSR2 of mpirun" "stopped on request at step"
check "SIGUSR2 of mpirun: a checkpoint" "$program" inspect quick
export TRIVIUM_RANK_TIMEOUT=soon
start 2 "${null[@]}"
finish
check "a timeout that is none: exit code 2" test "$status" = 2
expect_loss "a timeout that is none" "TRIVIUM_RANK_TIMEOUT=soon: must be a number"
unset TRIVIUM_RANK_TIMEOUT

# ------------------------------------------------------------------------------------ a full disk

mkdir disk
mount -t tmpfs -o size=400k none disk
start 3 "${null[@]}" run_dir=disk/run trainer.checkpoint_every_n_steps=5
finish
umount disk
check "a full disk on rank 0: exit code 28" test "$status" = 28
expect_loss "a full disk on rank 0" "rank 0 on host1: .*No space left"

# ------------------------------------------------------------------------ going on, on other hosts

moved=(train plain.yaml --quiet --share-device trainer.max_steps=20 run_dir=moved
  trainer.micro_batch_size=1 model.resid_pdrop=0.1)
expect "one rank, without a fault" 0 "${moved[@]}" run_dir=plain
TRIVIUM_FAULT=kill:1:10 start 3 "${moved[@]}"
finish
expect_loss "3 ranks, of which one is killed" "rank 1 on host2 ended"
TRIVIUM_RANK_TIMEOUT=4 TRIVIUM_FAULT=stop:1:14 start 2 "${moved[@]}" --resume auto
finish
expect_loss "2 ranks go on, of which one is stopped" "rank 1 on host2 has not been heard"
start 3 "${moved[@]}" --resume auto
finish
check "3 ranks end the run: exit code 0" test "$status" = 0
check "the numbers of one rank" agree plain moved
cli_end
