#!/usr/bin/env bash
# Measures matrix products of a device against OpenBLAS on two threads, taking turns.
#
#     tools/peers/gemm.sh [--device D] [--dtype f32,f16,bf16] [--rounds N] [--only TEXT]
#
# Prints GFLOP/s and their ratio for the products of five layers: forward, gradient of the input,
# gradient of the weight, for weights stored [N, K] and [K, N]. Several types take turns, too, and
# are compared with the first. --only keeps the rows whose title holds TEXT. Needs libtrivium in
# build/ (TRIVIUM_BUILD names another folder) and Debian's libopenblas0-openmp.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${TRIVIUM_BUILD:-$root/build}
library=$build/libtrivium.a

[ -f "$library" ] || { echo "gemm.sh: no $library; build Trivium first" >&2; exit 1; }
blas=
for folder in /usr/lib/*/openblas-openmp; do
  if [ -e "$folder/libopenblas.so.0" ]; then blas=$folder; fi
done
[ -n "$blas" ] || { echo "gemm.sh: no OpenBLAS; install libopenblas0-openmp" >&2; exit 1; }

program=$build/peer_gemm
if [ ! "$program" -nt "$library" ] || [ ! "$program" -nt "$root/tools/peers/gemm.c" ]; then
  # shellcheck disable=SC2046 # the libraries are words
  cc -std=c11 -O2 -Wall -Wextra -D_GNU_SOURCE -I"$root/src" -I"$root/shaders" \
    -o "$program" "$root/tools/peers/gemm.c" "$library" "$build/shaders/libtv_kernels.a" \
    -Wl,--as-needed "$blas/libopenblas.so.0" -Wl,-rpath,"$blas" \
    $(pkg-config --libs yaml-0.1 jansson libpng cairo libxxhash) -lpthread -ldl -lm
fi
export OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE # it knows the CPU best
exec "$program" "$@"
