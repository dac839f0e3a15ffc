#!/bin/bash
# Recomputes the golden files with PyTorch and compares; skipped (77) where PyTorch is missing.
set -u
cd "$(dirname "$0")/.." || exit 1
python=/usr/bin/python3
if ! [ -x "$python" ]; then
  echo "skipped: no $python" >&2
  exit 77
fi
exec "$python" tools/golden.py --check tests/golden
