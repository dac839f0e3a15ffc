#!/usr/bin/env bash
# Checks the rules that a compiler does not see: sizes, layers, format, first lines, leftovers.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

readonly COLUMNS_MOST=100 C_LINES=600 FUNCTION_LINES=80 KERNEL_LINES=150

# What each room may include besides itself and shaders/*.h. A path is one file.
declare -A MAY_INCLUDE=(
  [src/base]=""
  [src/device]="base"
  [src/graph]="device base"
  [src/plan]="graph device base"
  [src/conformance]="plan graph device base"
  [src/model]="plan graph device base formats/model_config.h"
  [src/data]="plan graph device base"
  [src/dist]="plan graph device base"
  [src/formats]="plan graph device base"
  [src/report]="plan graph device base"
  [src/train]="model data dist formats report plan graph device base"
  [src/bench]="train conformance model data dist formats report plan graph device base"
  [tools]="bench conformance train model data dist formats report plan graph device base trivium.h"
  [backends]="device base"
  [shaders]=""
)

# System headers that only one place may see.
declare -A ONLY_IN=(
  ['vulkan/|volk\.h']=backends/vulkan
  ['mpi\.h']=src/dist
  ['CL/']=backends/opencl
)

TOP_LEVEL='src shaders backends tests tools docs CMakeLists.txt README.md LICENSE'

violations=0

violation() {
  echo "check: $*"
  violations=$((violations + 1))
}

# Turns the lines of stdin into violations.
violations_from() {
  local line
  while IFS= read -r line; do violation "$line"; done
}

# All files of the project; where git cannot say which they are, all but what .gitignore names.
project_files() {
  { git ls-files --cached --others --exclude-standard 2>/dev/null ||
    find . -type d \( -path './build*' -o -path ./runs -o -path ./data -o -path ./.git \) -prune \
      -o -type f -name '*.o' -prune -o -type f -print | sed 's|^\./||'; } | sort -u |
    while IFS= read -r file; do
      if [ -f "$file" ]; then echo "$file"; fi
    done
}

# Those of the files whose path matches.
matching() {
  printf '%s\n' "${files[@]}" | grep -E "$1" || true
}

check_lengths() { # most-lines pattern
  local file lines
  while IFS= read -r file; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt "$1" ]; then violation "$file: $lines lines, at most $1"; fi
  done < <(matching "$2")
}

check_functions() {
  # shellcheck disable=SC2016 # these are awk's variables
  violations_from < <(matching '\.c$' | xargs -r awk -v most="$FUNCTION_LINES" '
    FNR == 1 { start = 0 }
    /^[A-Za-z_].*\(/ && !/;$/ { start = FNR; name = $0 }
    /^}$/ {
      if (start && FNR - start + 1 > most)
        printf "%s:%d: a function of %d lines, at most %d: %s\n", FILENAME, start,
               FNR - start + 1, most, name
      start = 0
    }')
}

check_columns() {
  violations_from < <(matching '\.(c|h|k|cl|comp|def|sh|py|cmake)$|CMakeLists\.txt$|^\.ci/run$' |
    xargs -r grep -HnE ".{$((COLUMNS_MOST + 1)),}" |
    sed -E "s/^([^:]*:[0-9]+):.*/\1: more than $COLUMNS_MOST columns/")
}

check_first_lines() {
  violations_from < <(matching '\.(c|h|k|cl|comp|def)$' |
    xargs -r awk 'FNR == 1 && !/^(\/\/|\/\*) ?[^ ]/ {
      print FILENAME ": line 1 is no comment that says what the file is" }')
  violations_from < <(matching '\.(sh|py)$|^\.ci/run$' |
    xargs -r awk 'FNR == 1 { shebang = /^#!/ }
      FNR == 1 + shebang && !/^(# |""")/ {
        print FILENAME ": no comment at the top that says what the file is" }')
}

room_of() { # path of a file -> key of MAY_INCLUDE, or nothing
  case $1 in
  src/*/*) echo "${1%/*}" | cut -d/ -f1-2 ;;
  tools/* | backends/* | shaders/*) echo "${1%%/*}" ;;
  esac
}

may_include() { # file included
  local file=$1 included=$2 room allowed
  room=$(room_of "$file")
  [[ $included == */* || $included == trivium.h ]] || {
    [ -f "${file%/*}/$included" ] || [ -f "shaders/$included" ]
    return
  }
  [[ $room != src/* || $included != "${room#src/}"/* ]] || return 0
  [[ $room != backends || $included != "$(cut -d/ -f2 <<<"$file")"/* ]] || return 0
  for allowed in ${MAY_INCLUDE[$room]}; do
    if [[ $included == "$allowed" || $included == "$allowed"/* ]]; then return 0; fi
  done
  return 1
}

check_layers() {
  local file line included room
  while IFS=: read -r file line included; do
    room=$(room_of "$file")
    if [ -z "$room" ]; then continue; fi
    if [ -z "${MAY_INCLUDE[$room]+known}" ]; then
      violation "$file: room $room is not in the table of tools/check.sh"
    elif ! may_include "$file" "$included"; then
      violation "$file:$line: $room may not include \"$included\""
    fi
  done < <(matching '^(src|tools|backends|shaders)/' |
    xargs -r grep -HnoE '^ *# *include "[^"]+"' | sed -E 's/# *include "([^"]+)"/\1/; s/: +/:/')
  local header
  for header in "${!ONLY_IN[@]}"; do
    violations_from < <(matching '\.(c|h)$' | grep -v "^${ONLY_IN[$header]}/" |
      xargs -r grep -HnE "^ *# *include [<\"]($header)" |
      sed -E "s|^([^:]*:[0-9]+):.*<(.*)>.*|\1: <\2> belongs in ${ONLY_IN[$header]} only|")
  done
}

find_formatter() {
  local name
  for name in clang-format-14 clang-format; do
    if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then
      echo "$name"
      return
    fi
  done
}

check_format() {
  local formatter
  formatter=$(find_formatter)
  if [ -z "$formatter" ]; then
    violation "clang-format 14 is not here (tools/setup.sh --tests, or pip's clang-format==14.0.6)"
    return
  fi
  violations_from < <(matching '^(src|backends|tools|tests)/.*\.[ch]$' |
    xargs -r -P "$(nproc)" -n 8 "$formatter" --dry-run -Werror 2>&1 |
    sed -nE 's/^([^:]+):[0-9]+:.*clang-format-violations.*/\1: not formatted (clang-format -i)/p' |
    sort -u)
}

check_leftovers() {
  local sources='\.(c|h|k|cl|comp|def|sh|py|cmake|yml)$|CMakeLists\.txt$|^\.ci/run$'
  violations_from < <(matching "$sources" |
    xargs -r grep -HnwE 'TOD[O]|FIXM[E]|XX[X]' | sed -E 's/^([^:]*:[0-9]+):.*/\1: a leftover note/')
  violations_from < <(printf '%s\n' "${files[@]}" |
    xargs -r -d '\n' grep -IHnE '(^|[^A-Za-z0-9_.$}-])/(home|root|Users|work)/[A-Za-z0-9]' |
    sed -E 's/^([^:]*:[0-9]+):.*/\1: a path of one machine/')
}

check_scripts() {
  if ! command -v shellcheck >/dev/null; then
    violation "shellcheck is not here (tools/setup.sh --tests installs it)"
    return
  fi
  violations_from < <(matching '\.sh$|^\.ci/run$' | xargs -r shellcheck --format=gcc)
}

check_top_level() {
  local name
  while IFS= read -r name; do
    case " $TOP_LEVEL " in
    *" $name "*) ;;
    *) [[ $name == .* ]] || violation "$name: does not belong at the top level" ;;
    esac
  done < <(printf '%s\n' "${files[@]}" | cut -d/ -f1 | sort -u)
}

mapfile -t files < <(project_files)
check_lengths "$C_LINES" '\.(c|h)$'
check_lengths "$KERNEL_LINES" '\.(k|cl|comp)$|^shaders/tv\.h$'
check_functions
check_columns
check_first_lines
check_layers
check_format
check_leftovers
check_scripts
check_top_level

if [ "$violations" -gt 0 ]; then
  echo "check: $violations violations in ${#files[@]} files"
  exit 1
fi
echo "check: ${#files[@]} files keep the rules"
