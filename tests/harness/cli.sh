# shellcheck shell=bash
# What the cli_*.sh tests share: a folder of their own, running the program, checks and their count.
# Sourced; then `cli_begin "$@"` opens a test and `cli_end` closes it.
#
#   run ARG...                  runs the program: ./out, ./err, $status
#   check TEXT COMMAND...       a check: passes where COMMAND succeeds
#   expect TEXT CODE ARG...     a check: the program ends with CODE
#   expect_error TEXT CODE REGEX ARG...   (CODE may be a pattern, such as "[12]")
#                               a check: it ends with CODE, and stderr is one line, 'error: ...'
#                               that matches REGEX; nothing was printed on stdout

program=
work=
status=0
cli_checks=0
cli_failures=0

cli_remove() {
  cd / || return
  ! mountpoint -q "$work/disk" || umount -l "$work/disk"
  rm -rf "$work"
}

# Enters an empty folder that goes away at the end. HOME and the caches lie in it, except for Mesa's
# shaders: compiling them takes longer than all the rest.
cli_begin() { # PROGRAM
  program=$(realpath "${1:?usage: $0 PROGRAM}") || exit 1
  local name
  while read -r name; do unset "$name"; done < <(compgen -e TRIVIUM_)
  export shared # for the scripts
  shared=$(realpath -m "${TV_SHARED_DATA:-$(dirname "$0")/../../shared/data}")
  work=$(mktemp -d) || exit 1
  trap cli_remove EXIT
  export MESA_SHADER_CACHE_DIR=${TMPDIR:-/tmp}/trivium-mesa-cache
  export HOME=$work/home XDG_CACHE_HOME=$work/home/.cache
  mkdir -p "$HOME" "$MESA_SHADER_CACHE_DIR" && cd "$work" || exit 1
}

cli_skip() { # REASON
  echo "skipped: $*"
  exit 77
}

cli_end() {
  echo "$cli_checks checks, $cli_failures failed"
  [ "$cli_failures" = 0 ]
  exit
}

pass() { # TEXT
  cli_checks=$((cli_checks + 1))
  echo "ok      $1"
}

fail() { # TEXT DETAIL...
  cli_checks=$((cli_checks + 1))
  cli_failures=$((cli_failures + 1))
  echo "FAILED  $1"
  shift
  [ $# = 0 ] || printf '        %s\n' "$@"
}

check() { # TEXT COMMAND...
  local text=$1
  shift
  if "$@" >check.log 2>&1; then
    pass "$text"
  else
    fail "$text" "failed: $*" "$(head -n 5 check.log)"
  fi
}

run() { # ARG...
  status=0
  "$program" "$@" >out 2>err </dev/null || status=$?
}

expect() { # TEXT CODE ARG...
  local text=$1 code=$2
  shift 2
  run "$@"
  # shellcheck disable=SC2053 # CODE may be a pattern
  if [[ $status == $code ]]; then
    pass "$text"
  else
    fail "$text" "exit code $status, expected $code: trivium $*" "stderr: $(tail -n 3 err)"
  fi
}

# The one line of stderr; nothing where it is not one line that opens with "error: ".
only_error() {
  [ "$(wc -l <err)" = 1 ] && grep '^error: ' err
}

expect_error() { # TEXT CODE REGEX ARG...
  local text=$1 code=$2 regex=$3 wrong=()
  shift 3
  run "$@"
  # shellcheck disable=SC2053 # CODE may be a pattern
  [[ $status == $code ]] || wrong+=("exit code $status, expected $code")
  only_error >/dev/null || wrong+=("stderr is not one error line")
  grep -Eq -- "^error: .*($regex)" err || wrong+=("no error line matches: $regex")
  [ ! -s out ] || wrong+=("printed on stdout: $(head -c 200 out)")
  if [ ${#wrong[@]} = 0 ]; then
    pass "$text: $(head -c 160 err)"
  else
    fail "$text" "${wrong[@]}" "command: trivium $*" "stderr: $(head -n 5 err)"
  fi
}

# Commands that only have to work for the test to go on.
need() { # COMMAND...
  "$@" >need.log 2>&1 && return
  echo "FAILED  could not prepare: $*"
  cat need.log
  exit 1
}

# ----------------------------------------------------------------------- data and configurations

# data/train and data/val: text that a tiny model learns within a few steps.
make_data() {
  local i
  for i in $(seq 1 300); do
    echo "$i: the cat sat on the mat, the dog lay on the log"
  done >text.txt
  need "$program" prepare --out data text.txt
}

# NAME.yaml for a run in NAME, of one narrow layer; further lines come from stdin.
make_config() { # NAME gpt2|llama
  {
    echo "seed: 5"
    echo "run_dir: $1"
    if [ "$2" = gpt2 ]; then
      echo "model: {type: gpt2, n_layer: 1, n_head: 2, n_embd: 32, n_positions: 32}"
    else
      echo "model: {type: llama, num_hidden_layers: 1, num_attention_heads: 2, hidden_size: 32,"
      echo "        intermediate_size: 48, num_key_value_heads: 1, max_position_embeddings: 32}"
    fi
    echo "data: {train: data/train, val: data/val, seq_len: 32}"
    echo "trainer: {max_steps: 12, global_batch_size: 4, log_every_n_steps: 1,"
    echo "          val_check_interval: 4, limit_val_batches: 2, checkpoint_every_n_steps: 4}"
    echo "optimizer: {lr: 1.0e-3}"
    echo "lr_scheduler: {warmup_steps: 2}"
  } >"$1.yaml"
}

# Finds what starts ranks of the program on this machine, more of them than cores:
# "${launch[@]}" -n COUNT COMMAND... Fails where the program has no MPI, or its launcher is missing.
find_launch() {
  local mpi
  mpi=$("$program" doctor 2>&1 | sed -nE 's/^[a-z]+ +mpi +//p')
  case $mpi in
  "not built in"*) return 1 ;;
  MPICH*) launch=(mpiexec.hydra) ;;
  *)
    launch=(mpirun --allow-run-as-root --oversubscribe --bind-to none --mca btl "self,vader,tcp")
    ;;
  esac
  command -v "${launch[0]}" >/dev/null
}

# So many lines of the run's log say what a step sent, and that is what the formula says.
# shellcheck disable=SC2317 # called by check
as_promised() { # RUN LINES
  awk -v lines="$2" '/traffic: / { n++; f = $0
    sub(/.*step [0-9]+: /, "", f); split(f, w, /[ ()]+/); d = w[1] / w[5] - 1
    if (d > 0.02 || d < -0.02) wrong++ } END { exit n != lines || wrong }' "$1/log.txt"
}

# Replaces the byte at OFFSET by another one.
flip_byte() { # FILE OFFSET
  local old
  old=$(od -An -tu1 -j "$2" -N 1 "$1") || return 1
  # shellcheck disable=SC2059 # the format is the byte
  printf "\\x$(printf %02x $((old ^ 0x40)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Byte-wise sums of what a checkpoint holds, without the name of the folder.
weights_of() { # CHECKPOINT
  (cd "$1" && sha256sum model.safetensors optimizer.safetensors config.json)
}

# Metric lines without what depends on the clock.
metrics_of() { # RUN
  sed -E 's/, "(tokens_per_s|flops_per_s|step_ms)": [^,}]*//g' "$1/metrics.jsonl"
}

# Losses and gradient norms, line by line, to 1e-5 or as given.
agree() { # RUN RUN [RELATIVE]
  paste -d' ' <(numbers "$1") <(numbers "$2") | awk -v relative="${3:-1e-5}" '
    { if ($1 != $4 || $2 != $5) wrong++
      d = $3 - $6; if (d < 0) d = -d
      if (NF != 6 || d > relative * $3) { wrong++; print } lines++ }
    END { print lines + 0 " values, " wrong + 0 " wrong"; exit lines < 40 || wrong }'
}
numbers() { # RUN: step, key, value
  sed -nE 's/.*"step": ([0-9]+), "(loss|val_loss)": ([^,]*).*/\1 \2 \3/p' "$1/metrics.jsonl"
  sed -nE 's/.*"step": ([0-9]+), .*"(grad_norm)": ([^,]*).*/\1 \2 \3/p' "$1/metrics.jsonl"
}
