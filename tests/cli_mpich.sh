#!/bin/bash
# Ranks over MPICH: they compute the very bits that ranks over Open MPI do, whatever the strategy,
# stop on request, and end where one of them is lost.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
mpich=$program-mpich # built beside the program
[ -x "$mpich" ] || cli_skip "MPICH was not there when this was built"
find_launch
[ "${launch[0]:-}" = mpirun ] || cli_skip "the program has no Open MPI to compare with"
open_mpi=$program
open_mpi_launch=("${launch[@]}")
program=$mpich
find_launch || cli_skip "mpiexec.hydra is missing"
export LP_NUM_THREADS=1 # ranks share the cores
make_data
make_config plain llama

settings=(--quiet --share-device --device vulkan:0 trainer.balance=equal
  trainer.checkpoint_every_n_steps=0)
for strategy in zero1 fsdp diloco; do # among them all that link_mpi.c does in training
  run=("${settings[@]}" "trainer.strategy=$strategy")
  [ "$strategy" != diloco ] || run+=(diloco.sync_every_n_steps=4 diloco.local_steps=equal)
  need timeout 100 "${open_mpi_launch[@]}" -n 2 "$open_mpi" train plain.yaml "${run[@]}" \
    "run_dir=$strategy-open-mpi"
  need timeout 100 "${launch[@]}" -n 2 "$program" train plain.yaml "${run[@]}" \
    "run_dir=$strategy-mpich"
  check "$strategy: the numbers of Open MPI" \
    diff <(metrics_of "$strategy-open-mpi") <(metrics_of "$strategy-mpich")
  check "$strategy: the weights of Open MPI" diff \
    <(weights_of "$strategy-open-mpi"/checkpoints/*12) \
    <(weights_of "$strategy-mpich"/checkpoints/*12)
done

# ------------------------------------------------------------------------------ stopping, failures

endless=("$program" train plain.yaml --quiet --device null --share-device run_dir=endless
  trainer.max_nonfinite_steps=1000000 trainer.max_steps=1000000)

expect_end() { # TEXT REGEX
  check "$1: one error line" test "$(grep -c '^error: ' err)" = 1
  check "$1: $(grep '^error: ' err | head -c 160)" grep -Eq "^error: .*($2)" err
}

"${launch[@]}" -n 2 "${endless[@]}" >out 2>err </dev/null &
for _ in $(seq 200); do
  [ -s endless/metrics.jsonl ] && break
  sleep 0.1
done
kill -INT $!
status=0
wait $! || status=$?
# At times mpiexec itself ends with 0 all the same.
check "SIGINT of mpiexec: exit code $status" test "$status" = 75 -o "$status" = 0
check "SIGINT of mpiexec: a checkpoint" compgen -G "endless/checkpoints/step-????????"
expect_end "SIGINT of mpiexec" "stopped on request"

# mpiexec tells of a killed rank itself, and may end the other one before that one finds a word.
expect_lost() { # TEXT REGEX
  if grep -q '^error: ' err; then
    expect_end "$1" "$2"
  else
    check "$1: mpiexec says it" grep -Eq 'PID [0-9]+ RUNNING AT ' err out
  fi
}

for fault in kill stop; do
  status=0
  rm -rf endless
  TRIVIUM_RANK_TIMEOUT=4 TRIVIUM_FAULT=$fault:1:5 timeout 60 "${launch[@]}" -n 2 "${endless[@]}" \
    >out 2>err </dev/null || status=$?
  check "$fault of rank 1: exit code $status" test "$status" != 0 -a "$status" != 124
  expect_lost "$fault of rank 1" "rank 1 on .*(ended without a word|not been heard for 4 s)"
done
cli_end
