#!/bin/bash
# Several ranks as a user starts them: the losses are those of one rank, a run goes on with another
# number of ranks, and one rank's failure ends all of them with one line.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
here=$(realpath "$(dirname "$0")")
cli_begin "$@"
export LP_NUM_THREADS=1 # ranks share the cores
make_data
make_config plain gpt2

if "$program" doctor 2>&1 | grep -q "mpi .*not built in"; then
  export OMPI_COMM_WORLD_SIZE=2
  expect_error "ranks need a build with MPI" 1 "one of 2 ranks.*no MPI" train plain.yaml --quiet
  export OMPI_COMM_WORLD_SIZE=1
  expect "a single rank does not" 0 train plain.yaml --quiet --device null \
    trainer.max_nonfinite_steps=100
  cli_end
fi
find_launch || cli_skip "what starts ranks is missing"

start_ranks() { # MPIRUN-ARGUMENT...
  status=0
  timeout 120 "${launch[@]}" "$@" >out 2>err </dev/null || status=$?
}

ranks() { # COUNT ARG...: trivium ARG... on COUNT ranks
  local count=$1
  shift
  start_ranks -n "$count" "$program" "$@" --share-device
}

expect_status() { # TEXT CODE
  check "$1: exit code $2" test "$status" = "$2"
  [ "$status" = "$2" ] || tail -n 5 err
}

# mpirun adds lines of its own behind a failure.
expect_failure() { # TEXT CODE REGEX
  expect_status "$1" "$2"
  check "$1: one error line" test "$(grep -c '^error: ' err)" = 1
  check "$1: $(grep '^error: ' err | head -c 160)" grep -Eq "^error: .*($3)" err
}

# ------------------------------------------------------------------------------- the same numbers

# Shares and micro-batches of any size. Where these are larger than a share, they are filled up.
same_numbers() { # MODEL RANKS NAME SETTING...
  local model=$1 count=$2 name=$1-$3
  shift 3
  ranks "$count" train "$model.yaml" "${settings[@]}" "run_dir=$name" "$@"
  expect_status "$name" 0
  check "$name: the numbers of one rank" agree "$model" "$name"
}

dropout=(model.embd_pdrop=0.1 model.resid_pdrop=0.1)
for model in gpt2 llama; do
  make_config "$model" "$model"
  settings=(--quiet trainer.max_steps=50 trainer.balance=equal)
  [ "$model" = llama ] || settings+=("${dropout[@]}")
  expect "$model on one rank, without mpirun" 0 train "$model.yaml" "${settings[@]}"
  same_numbers "$model" 2 uneven "trainer.balance=[3,1]"
  check "$model-uneven: the shares" grep -q "rank 0 3 sequences, rank 1 1\$" "$model-uneven/log.txt"
  same_numbers "$model" 3 three trainer.micro_batch_size=1 trainer.strategy=ddp # 2 + 1 + 1
  same_numbers "$model" 4 four trainer.strategy=zero1 trainer.bucket_cap_mb=0.05
  same_numbers "$model" 2 zero2 trainer.strategy=zero2 "trainer.balance=[3,1]"
  same_numbers "$model" 3 fsdp trainer.strategy=fsdp trainer.micro_batch_size=1
  check "$model-zero2: bytes sent are those of the formula" as_promised "$model-zero2" 1
  same_numbers "$model" 1 again trainer.activation_checkpointing=block
  same_numbers "$model" 2 blocks trainer.activation_checkpointing=block trainer.strategy=zero1
  same_numbers "$model" 2 norms trainer.activation_checkpointing=selective trainer.strategy=ddp \
    trainer.bucket_cap_mb=0.05
  same_numbers "$model" 2 gathered trainer.activation_checkpointing=block trainer.strategy=fsdp \
    trainer.offload_activations=true
  [ "$model" = llama ] || same_numbers gpt2 1 alone
done
for strategy in auto zero2 fsdp; do
  same_numbers llama 3 "idle-$strategy" "trainer.balance=[1,0,2.5]" "trainer.strategy=$strategy"
done
same_numbers llama 4 four-fsdp trainer.strategy=fsdp
same_numbers llama 2 least trainer.strategy=fsdp trainer.activation_checkpointing=block \
  trainer.offload_activations=true trainer.offload_optimizer=true
ranks 3 train llama.yaml "${settings[@]}" run_dir=again trainer.micro_batch_size=1 \
  trainer.strategy=ddp trainer.bucket_cap_mb=0.01
check "llama on 3 ranks again, in small buckets: the same bits" \
  diff <(metrics_of llama-three) <(metrics_of again)

# ------------------------------------------------------------------------------------- mixed speed

# Rank 1 is so much slower that the measured speeds differ on any machine.
one=("$program" train gpt2.yaml "${dropout[@]}" --quiet --share-device run_dir=mixed
  trainer.micro_batch_size=1)
slow=(env TRIVIUM_MASK=speed=0.02 "${one[@]}")
start_ranks -n 1 "${one[@]}" trainer.max_steps=50 : -n 1 "${slow[@]}" trainer.max_steps=50
expect_status "ranks of mixed speed" 0
check "ranks of mixed speed: the numbers of one rank" agree gpt2 mixed
speeds='rank 0 [34] sequences \([0-9.]+k? tokens/s\), rank 1 [01] \([0-9.]+k?\)$'
check "shares follow the speeds" grep -Eq "balance: step [0-9]+: $speeds" mixed/log.txt
one+=(trainer.max_steps=52 --resume auto)
slow+=(trainer.max_steps=52 --resume auto)
start_ranks -n 1 "${one[@]}" : -n 1 "${slow[@]}"
expect_status "ranks of mixed speed, resumed" 0
check "a resumed run starts with the shares that it had" \
  grep -Eq "balance: at first: $speeds" mixed/log.txt
ranks 2 train plain.yaml --quiet "trainer.balance=[1,1,1]"
expect_failure "more weights than ranks" 2 "3 weights for 2 ranks"

# Rank 1 has no buffer for the activations of two sequences, so it computes one at a time.
wide=("$program" train plain.yaml --quiet --share-device model.n_inner=512 trainer.max_steps=20)
need "${wide[@]}" run_dir=roomy
start_ranks -n 1 "${wide[@]}" run_dir=cramped : \
  -n 1 env TRIVIUM_MASK=alloc=100K "${wide[@]}" run_dir=cramped
expect_status "ranks of different memory" 0
check "ranks of different memory: the numbers of one rank" agree roomy cramped
# shellcheck disable=SC2317
micro_batches() { grep -o '"micro_batch_size": [0-9]*, ' "$1"/checkpoints/*20/trainer.json; }
check "ranks of different memory: their micro-batches" \
  test "$(micro_batches cramped | tr -dc '0-9,')" = 2,1,

tool=$(dirname "$here")/tools/mixed_speed.sh
check "what unequal ranks come to is measured" \
  bash -c "'$tool' -p '$program' -s 4 -m '1 2 32 32' -b '4 1' >speeds"
check "it prints both alone, and both together" test "$(grep -c 'tokens/s' speeds)" -ge 4
check "and what these come to" test "$(grep -c ' of the sum' speeds)" = 3

# Two vendors.
if "$program" devices | grep -q opencl; then
  ranks 2 train llama.yaml "${settings[@]}" --device vulkan:0,opencl:0 run_dir=vendors \
    trainer.check_replicas_every_n_steps=5
  expect_status "lavapipe and PoCL, with the same weights at every check" 0
  check "lavapipe and PoCL: each weight has one owner" grep -q "strategy zero1, chosen because" \
    vendors/log.txt
  check "lavapipe and PoCL: the numbers of one rank" agree llama vendors 1e-4
  ranks 2 train llama.yaml "${settings[@]}" --device vulkan:0,opencl:0 run_dir=vendors-fsdp \
    trainer.strategy=fsdp
  expect_status "lavapipe and PoCL, fsdp" 0
  check "lavapipe and PoCL, fsdp: the numbers of one rank" agree llama vendors-fsdp 1e-4
fi

# ------------------------------------------------------------------------------------- compression

# shellcheck disable=SC2317 # called by check
differ() { # RUN RUN
  ! agree "$@" >/dev/null
}

for strategy in ddp zero1 zero2 fsdp; do
  run=bf16-$strategy
  ranks 3 train llama.yaml "${settings[@]}" "run_dir=$run" "trainer.strategy=$strategy" \
    --device vulkan:0 trainer.gradient_compression=bf16 trainer.bucket_cap_mb=0.01 \
    trainer.check_replicas_every_n_steps=10
  expect_status "$strategy with gradients in 16 bits" 0
  check "$run: nearly the numbers of one rank" agree llama "$run" 0.01
  check "$run: gradients are rounded" differ llama "$run"
done

# ---------------------------------------------------------------------------------------- replicas

drifting=(train llama.yaml "${settings[@]}" trainer.strategy=ddp --device vulkan:0
  trainer.check_replicas_every_n_steps=10)
TRIVIUM_FAULT=drift:1:7 ranks 3 "${drifting[@]}" run_dir=drifts
expect_failure "a rank whose weights drift" 1 "step 10: the weights of rank 1 on .* of rank 0 on "
TRIVIUM_FAULT=drift:0:7 ranks 3 "${drifting[@]}" run_dir=mended \
  trainer.on_replica_mismatch=resync
expect_status "a rank whose weights drift is mended" 0
check "a line says so" grep -q "step 10: the weights of rank 0 on .* of rank 1 on .* are now" \
  mended/log.txt

# ------------------------------------------------------------------------- another number of ranks

settings=(train llama.yaml --quiet trainer.max_steps=50 run_dir=moved)
TRIVIUM_FAULT=lost:200 ranks 3 "${settings[@]}" trainer.strategy=fsdp
expect_failure "a device lost in the middle" 75 "lost"
check "checkpoints are left" test -d moved/checkpoints
ranks 2 "${settings[@]}" --resume auto trainer.strategy=zero1
expect_status "resumed on 2 ranks, with another strategy" 0
check "resumed on 2 ranks: the numbers of one rank" agree llama moved
expect "a finished run resumes on one" 0 "${settings[@]}" --resume auto

# --------------------------------------------------------------------------------------- stopping

null=(--quiet --device null trainer.max_nonfinite_steps=1000000)
"${launch[@]}" -n 2 "$program" train plain.yaml "${null[@]}" trainer.max_steps=1000000 \
  run_dir=stopped --share-device >out 2>err </dev/null &
for _ in $(seq 200); do
  [ -s stopped/metrics.jsonl ] && break
  sleep 0.1
done
signal=USR2 # which MPICH does not pass on
[ "${launch[0]}" = mpirun ] || signal=INT
kill -"$signal" $!
status=0
wait $! || status=$?
expect_failure "SIG$signal of ${launch[0]}" 75 "stopped on request"
check "the stop left a checkpoint" "$program" inspect stopped
check "the table of ranks" grep -Eq " 1  $(hostname) +null .* 32-true .* 2 of 4\$" stopped/log.txt

# ----------------------------------------------------------------------------------------- devices

start_ranks -n 3 "$program" devices --no-selftest
expect_status "devices on every host" 0
check "a host's name stands above its devices, once" \
  test "$(grep -c "^$(hostname)\$" out)" = 1 -a "$(grep -c '^0  ' out)" = 1
start_ranks -n 2 "$program" devices --no-selftest --json
check "as JSON" grep -q "^\"$(hostname)\": \\[\$" out
start_ranks -n 2 "$program" devices --mask no-such
expect_failure "a mask that means nothing" 2 "no-such"

# ---------------------------------------------------------------------------------------- failures

ranks 2 train plain.yaml --quiet trainer.max_step=1
expect_failure "a wrong key" 2 "max_step"
ranks 2 train plain.yaml --quiet data.train=absent
expect_failure "no data on any rank" 1 "absent"
echo "no folder" >file
ranks 2 train plain.yaml "${null[@]}" run_dir=file/run
expect_failure "a run that rank 0 cannot write" 1 "file"
start_ranks -n 2 "$program" train plain.yaml --quiet --device 0
expect_failure "two ranks on one device" 2 "ranks 0 and 1 .*--share-device"
ranks 3 train plain.yaml --quiet --device 0,0
expect_failure "fewer devices than ranks" 2 "names 2 devices, but 3 ranks"

# Rank 1 differs from rank 0.
one=("$program" train plain.yaml "${null[@]}" run_dir=differ --share-device)
start_ranks -n 1 "${one[@]}" : -n 1 "${one[@]}" seed=2
expect_failure "another configuration" 1 "rank 1 .*another configuration"
build=$("$program" --version | sed -nE 's/.*build ([0-9a-f]{16})$/\1/p')
LC_ALL=C sed "s/$build/0123456789abcdef/g" "$program" >rebuilt && chmod +x rebuilt
start_ranks -n 1 "${one[@]}" : -n 1 ./rebuilt "${one[@]:1}"
expect_failure "another build" 1 "rank 1 .*another build of trivium.*0123456789abcdef"
mkdir other
cp plain.yaml other
tac text.txt >other/text.txt
need "$program" prepare --out other/data other/text.txt
start_ranks -n 1 "${one[@]}" : -wdir "$work/other" -n 1 "${one[@]}"
expect_failure "other data" 1 "rank 1 .*another data"

# In a backward pass, where the ranks meet, or in an update, after which they do not.
for run in 20 21; do
  one+=("run_dir=lost-$run")
  start_ranks -n 1 "${one[@]}" : -n 1 env TRIVIUM_FAULT=lost:$run "${one[@]}"
  expect_failure "a device lost on rank 1 in run $run" 75 "rank 1 on .*lost"
done
for setting in strategy=ddp strategy=zero1 strategy=fsdp gradient_compression=powersgd; do
  mkdir full
  ln -s /dev/full full/metrics.jsonl
  ranks 2 train plain.yaml "${null[@]}" run_dir=full "trainer.$setting"
  expect_failure "rank 0 has a full disk behind a step, $setting" 28 "metrics.jsonl"
  rm -r full
done

export SLURM_NTASKS=4
expect_error "a task of Slurm without srun" 1 "Slurm has 4 tasks.*mpirun" train plain.yaml --quiet
export SLURM_STEP_ID=0
expect_error "srun without PMIx" 1 "Slurm has 4 tasks.*mpirun" train plain.yaml --quiet
unset SLURM_NTASKS SLURM_STEP_ID
if [ "${launch[0]}" = mpirun ]; then
  export PMI_RANK=0 PMI_SIZE=2
else
  export OMPI_COMM_WORLD_SIZE=2
fi
expect_error "the launcher of another MPI" 1 "one of 2 ranks.*this build has .*MPI" \
  train plain.yaml --quiet
cli_end
