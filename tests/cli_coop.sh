#!/usr/bin/env bash
# The SPIR-V of the cooperative matrix kernels is what rebuild.sh made of the sources beside it.
set -euo pipefail
cd "$(dirname "$0")/../shaders/coop"
sha256sum --check --quiet spirv/SHA256SUMS || {
  echo "shaders/coop: run rebuild.sh with a recent glslc, so that spirv/ fits the sources" >&2
  exit 1
}
listed=$(sed -E 's/^[0-9a-f]+ +(\.\/)?//' spirv/SHA256SUMS | sort)
present=$(printf '%s\n' *.comp *.h ../args.h ../epilogue.h ../gelu.h spirv/*.spv | sort)
[ "$listed" = "$present" ] || { echo "spirv/SHA256SUMS does not list all files" >&2 && exit 1; }
