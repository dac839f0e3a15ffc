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
  test "$(grep -Ec '^(zero, 1|micro, 2|update, 1) per step: [1-9][0-9]* dispatches, ' out)" = 3
check "products by shape" grep -Eq '^matmul_tn[a-z0-9_]* +32x128x64 +f32 +2 ' out
check "attention by shape" grep -Eq '^attention_dq +4x2x16x16 +f32 +2 ' out
check "memory by kind" grep -Eq '^memory: weights .*, gradients .*, optimizer .* in all$' out
check "no time is claimed" grep -Eq '^adamw .* - GB/s +-$' out
check "no data is read, and no run is made" test ! -e run -a ! -e absent
expect_error "no vocabulary, and no data to take it from" 1 "absent" \
  train --explain small.yaml --device null model.vocab_size=auto

run devices --no-selftest
[ "$status" = 0 ] || cli_end
expect "on a device" 0 train --explain small.yaml
check "rates and fractions of what the device reaches" \
  grep -Eq '^matmul_.* [0-9.]+ GFLOP/s +[0-9.]+ %$' out
check "nothing else is printed than the plan" test ! -s err
expect "in halves" 0 train --explain small.yaml trainer.precision=bf16-mixed
check "their products" grep -Eq '^matmul_nn[a-z0-9_]* +64x96x32 +bf16 +2 ' out
cli_end
