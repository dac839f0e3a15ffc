#!/bin/bash
# trivium train --explain from the outside: the plan of a step, with and without a device.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"

cat >small.yaml <<'EOF'
run_dir: run
model: {type: gpt2, n_layer: 2, n_head: 2, n_embd: 32, n_positions: 16, vocab_size: 61}
data: {train: absent, seq_len: 16}
trainer: {global_batch_size: 8, micro_batch_size: 4}
EOF

expect "a device that computes nothing has a plan, too" 0 \
  train --explain small.yaml --device null
check "every phase has a table, and says how often it runs" \
  test "$(grep -Ec '^(first, 1|micro, 1|update, 1) per step: [1-9][0-9]* dispatches, ' out)" = 3
check "products by shape" grep -Eq '^matmul_tn[a-z0-9_]* +32x128x64 +f32 +2 ' out
check "what products do to their results" \
  test "$(grep -Ec "^matmul_n[nt][a-z0-9_]* +64x128x32[+]gelu'? +f32 +2 " out)" = 4
check "attention by shape" grep -Eq '^attention_dq +4x2x16x16 +f32 +2 ' out
check "memory by kind" grep -Eq '^memory: weights .*, gradients .*, optimizer .* in all$' out
check "no peak is claimed" grep -q '^peaks: not known$' out
check "no time is claimed" grep -Eq '^adamw .* - GB/s +-$' out
check "no data is read, and no run is made" test ! -e run -a ! -e absent
expect_error "no vocabulary, and no data to take it from" 1 "absent" \
  train --explain small.yaml --device null model.vocab_size=auto

run devices --no-selftest
[ "$status" = 0 ] || cli_end
expect "on a device" 0 train --explain small.yaml
check "rates and fractions of what the device reaches" \
  grep -Eq '^matmul_.* [0-9.]+ G(FLOP|B)/s +[0-9.]+ %$' out
check "nothing else is printed than the plan" test ! -s err
copy='copy f32 [0-9]+ MiB [0-9.]+ GB/s' size='([0-9]+)x\2x\2'
check "the peaks have the names of trivium bench" \
  grep -Eq "^peaks: $copy, matmul f32 (nt|nn|tn) $size [0-9.]+ GFLOP/s\$" out
expect "in halves" 0 train --explain small.yaml trainer.precision=bf16-mixed
check "their peak" grep -Eq '^peaks: .*, matmul bf16 ' out
check "their products" grep -Eq '^matmul_[a-z0-9_]* +64x96x32 +bf16 +2 ' out

# Software drivers only: auto is the one that is fastest for the model, now and later.
run devices --no-selftest
drivers=$(grep -c '^   what ' out)
if [ "$drivers" -lt 2 ] || [ "$(grep -c '^   what  *CPU' out)" != "$drivers" ]; then cli_end; fi
long=(train --explain small.yaml trainer.max_steps=100000000000)
expect "a long run" 0 "${long[@]}"
check "one line says which driver, and why" test "$(grep -c . err)" = 1 -a \
  "$(grep -Ec '^device: auto is [a-z]+:0 .*, the fastest for this model: [0-9]+ ms.* on ' err)" = 1
cp err first
kept=$(echo "$XDG_CACHE_HOME"/trivium/fastest-*.txt)
check "the times are kept" test "$(grep -c . "$kept")" = "$drivers"
expect "the same again" 0 "${long[@]}"
check "the same line" cmp -s err first
sed -i '1s/.*/1e6/' "$kept"
expect "the first driver is a slow one" 0 "${long[@]}"
check "auto is another one" grep -q '1000000000 on vulkan:0' err
echo nonsense >"$kept"
expect "a damaged cache" 0 "${long[@]}"
check "is measured anew" test "$(grep -c . "$kept")" = "$drivers" -a "$(grep -c e9 "$kept")" = 0
expect "a short run takes the first driver" 0 train --explain small.yaml
check "and says nothing" test ! -s err
expect "so does one whose device is named" 0 "${long[@]}" --device vulkan
check "and says nothing, either" test ! -s err
cli_end
