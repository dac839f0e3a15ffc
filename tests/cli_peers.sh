#!/bin/bash
# tools/peers/step.sh from the outside: PyTorch's step beside ours, where PyTorch is installed.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
tool=$(realpath "$(dirname "$0")/../tools/peers/step.sh")
cli_begin "$@"

# Its one line of an error.
refuse() { # TEXT REGEX ARG...
  local text=$1 regex=$2
  shift 2
  bash "$tool" --program "$program" "$@" >out 2>err </dev/null && fail "$text" "it did not fail"
  check "$text" test "$(wc -l <err)" = 1 -a "$(grep -Ec -- "^step.sh: .*($regex)" err)" = 1
}

refuse "an unknown option" "no option --what" --what
refuse "an option without value" "--rounds needs a value" --rounds
refuse "no rounds" "--rounds 0" --rounds 0
refuse "a Python without torch" "has no torch" --python /bin/false
bash "$tool" --program absent >out 2>err && fail "no program" "it did not fail"
check "no program" grep -q '^step.sh: absent: no program' err
if ! /usr/bin/python3 -c 'import torch' 2>/dev/null; then
  echo "skipped: the rest; there is no PyTorch here"
  cli_end
fi
refuse "an unknown model" "no such model" --shape gpt5
refuse "a Llama" "only GPT-2" --shape llama-15m-b32t256
run devices --no-selftest
if [ "$status" != 0 ]; then
  echo "skipped: the rest; there is no device here"
  cli_end
fi

for precision in 32-true bf16-mixed; do
  check "both, in $precision" bash "$tool" --program "$program" --rounds 2 --seconds 0.1 \
    --peer cpu --shape L1,d32,H2,T16,B2,V64 --precision $precision
  cp check.log out
  check "the same model" test "$(grep -c '15328 parameters' out)" = 2
  check "medians and ratios of both rounds" \
    test "$(grep -Ec '^(Trivium|PyTorch|ratio) ( +[0-9.]+){5}$' out)" = 3
  check "memory of both" grep -Eq '^memory .*plan [0-9]+ MiB.*PyTorch: whole process [0-9]+' out
done
cli_end
