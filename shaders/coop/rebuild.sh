#!/usr/bin/env bash
# Compiles the cooperative matrix kernels into spirv/, for builds whose glslc does not know them,
# and notes the checksums that tests/cli_coop.sh compares. Needs a glslc that knows
# GL_NV_cooperative_matrix2 and GL_EXT_bfloat16 (shaderc 2026.4 does) and a spirv-val of its age.
#
#     GLSLC=glslc SPIRV_VAL=spirv-val shaders/coop/rebuild.sh
set -euo pipefail
cd "$(dirname "$0")"
for source in *.comp; do
  for type in f16 bf16; do
    bf16=0
    [ "$type" = f16 ] || bf16=1
    output=spirv/${source%.comp}_$type.spv
    "${GLSLC:-glslc}" -O --target-env=vulkan1.3 -std=460 -fshader-stage=compute -Werror -I.. \
      -DBF16=$bf16 -o "$output" "$source"
    "${SPIRV_VAL:-spirv-val}" --target-env vulkan1.3 "$output"
  done
done
sha256sum ./*.comp ./*.h ../args.h ../epilogue.h ../gelu.h spirv/*.spv >spirv/SHA256SUMS
