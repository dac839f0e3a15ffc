#!/usr/bin/env bash
# Times a training step with Trivium and with PyTorch, alternating, and prints medians, spreads,
# ratios and memory.
#
#     tools/peers/step.sh [--shape NAME] [--device D] [--precision P] [--rounds N] [--seconds S]
#                         [--peer cpu|cuda] [--no-clip] [--program FILE] [--python FILE]
#
#   --shape      a GPT-2 of src/bench/models.def (default gpt2-14m-b8t256), or sizes such as
#                L6,d384,H6,T256,B8,V8192
#   --device     Trivium's (default: auto)     --peer      PyTorch's (default: cuda, else cpu)
#   --precision  32-true (default), bf16-mixed
#   --rounds     each times both, one after the other (default 3)
#   --seconds    that each times in a round, behind its warm-up (default 4)
#   --no-clip    PyTorch does not clip gradients; Trivium does
#   --program    default build/trivium         --python    one that has torch; /usr/bin/python3
#
# Debian: apt-get install python3-torch libopenblas0-openmp. On CPUs both take as many threads as
# there are cores; PyTorch's allocator is told to keep its memory, which makes it faster.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
shape=gpt2-14m-b8t256
device=auto
precision=32-true
rounds=3
seconds=4
peer=
clip=()
program=$root/build/trivium
python=/usr/bin/python3

die() {
  echo "step.sh: $*" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case $1 in
  -h | --help)
    sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"
    exit
    ;;
  --shape | --device | --precision | --rounds | --seconds | --peer | --program | --python)
    [ $# -ge 2 ] || die "$1 needs a value"
    declare "${1#--}=$2"
    shift 2
    ;;
  --no-clip)
    clip=(--no-clip)
    shift
    ;;
  *) die "no option $1; see --help" ;;
  esac
done
[ -x "$program" ] || die "$program: no program; build it, or name it with --program"
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "--rounds $rounds: expected a number from 1 on"
"$python" -c 'import torch' 2>/dev/null || die "$python has no torch; name another with --python"

if [[ $shape == *,* ]]; then
  sizes=$shape
  which=(--shape "$shape")
else
  sizes=$(sed -nE "s/^MODEL\(\"$shape\", \"([^\"]+)\".*/\1/p" "$root/src/bench/models.def")
  which=(--models "$shape")
  [ -n "$sizes" ] || die "--shape $shape: no such model in src/bench/models.def"
fi
[[ $sizes != llama:* ]] || die "--shape $shape: only GPT-2 is written for PyTorch here"
if [ -z "$peer" ]; then
  peer=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
threads=${OMP_NUM_THREADS:-$(nproc)}

# OpenBLAS knows best which of its kernels suit the CPU: an environment that names others halves it.
peer_round() {
  env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_NUM_THREADS="$threads" \
    OPENBLAS_NUM_THREADS="$threads" MALLOC_MMAP_THRESHOLD_=8589934592 \
    MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 \
    "$python" "$root/tools/peers/torch_step.py" --shape "$sizes" --device "$peer" \
    --precision "$precision" --threads "$threads" --seconds "$seconds" ${clip[@]+"${clip[@]}"} \
    >"$folder/peer-$1.jsonl"
}

own_round() {
  "$program" bench --suite train "${which[@]}" --device "$device" --precision "$precision" \
    --seconds "$seconds" --no-peaks --quiet --out "$folder/own-$1.json" >/dev/null
}

for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  if ((round % 2)); then
    peer_round "$round"
    own_round "$round"
  else
    own_round "$round"
    peer_round "$round"
  fi
done
"$python" "$root/tools/peers/step_summary.py" "$folder" "$rounds"
