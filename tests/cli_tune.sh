#!/bin/bash
# Tuning from the outside: products are timed once per kind, kept on disk, and can be left alone.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"

cat >small.yaml <<'EOF'
run_dir: run
model: {type: gpt2, n_layer: 1, n_head: 2, n_embd: 32, n_positions: 16, vocab_size: 61}
data: {train: absent, seq_len: 16}
trainer: {global_batch_size: 4, micro_batch_size: 4}
EOF

run devices --no-selftest
[ "$status" = 0 ] || cli_end
export XDG_CACHE_HOME=$PWD/cache
# General kernels, of which there are several for a product, on whatever device there is.
mask=no-coopmat,no-subgroup,no-texel,no-cpu-kernels
plan=(train --explain small.yaml --mask "$mask")

expect "software drivers are not tuned unless asked" 0 \
  train --explain small.yaml --device null
check "nothing is kept" test -z "$(ls cache/trivium/products-* 2>/dev/null)"

export TRIVIUM_TUNE=1
expect "the first plan times what there is" 0 "${plan[@]}"
kept=$(ls cache/trivium/products-*.txt)
check "one kind of product a line, with the kernel" \
  grep -Eq '^nn f32 f32 f32 2\^6 2\^7 2\^5	matmul_nn(_wide)? ' "$kept"
cp "$kept" first
expect "the second one takes what was kept" 0 "${plan[@]}"
check "it stays as it is" cmp -s first "$kept"

sed -i 's/	matmul_.*/	matmul_of_another_version 0 0 0 0 0/; 1s/.*/no table/' "$kept"
expect "what is not understood is timed again" 0 "${plan[@]}"
check "and kept" grep -Eq '^nn f32 f32 f32 2\^6 2\^7 2\^5	matmul_nn(_wide)? ' "$kept"

rm -r cache
expect "--no-tune" 0 "${plan[@]}" --no-tune
check "takes the best guess" grep -Eq '^matmul_nn +64x96x32 ' out
check "and keeps nothing" test -z "$(ls cache/trivium/products-* 2>/dev/null)"

rm -rf cache
echo "in the way" >cache
expect "a cache that cannot be written is no failure" 0 "${plan[@]}"
cli_end
