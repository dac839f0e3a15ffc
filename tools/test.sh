#!/usr/bin/env bash
# The one command that says whether Trivium is in order: builds it every way, runs all its tests.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1

STAGES=(setup build check clang bare asan test profiles validate)
QUICK_STAGES=(setup build check test)

usage() {
  cat <<TEXT
usage: tools/test.sh [--quick] [--stage NAME]...

  setup     installs what is missing (tools/setup.sh --tests)
  build     configures and builds with gcc in build/
  check     tools/check.sh: sizes, layers, format
  clang     builds with clang in build-clang/
  bare      builds without Vulkan, OpenCL and MPI in build-bare/, runs the unit tests
  asan      builds with address and undefined-behaviour sanitizers in build-asan/, runs the unit
            tests with leak detection
  test      runs all tests of build/
  profiles  runs the device tests again, on Vulkan and OpenCL, on devices that are made to look
            like well-known poor ones (docs/devices.md); of the ops, every third case
  validate  runs the device tests again under the Vulkan validation layer

  --quick       only: ${QUICK_STAGES[*]}
  --stage NAME  only this stage (can be repeated)

Device tests run on the first Vulkan and the first OpenCL device: GPUs, or lavapipe and PoCL where
there are none. Logs are in build/logs.
TEXT
}

# Well-known poor devices, and one so poor that every launch has to be split; and what runs on them.
readonly PROFILES=("profile=spec-minimum" "profile=gtx960" "profile=rx580" "profile=uhd620"
  "profile=v3d" "range=4M,shared=16K,group=128,alloc=64M")
readonly PROFILE_TESTS='test_device_(convert|models|ops|selftest)'

selected=()
while [ $# -gt 0 ]; do
  case $1 in
  --quick) selected=("${QUICK_STAGES[@]}") ;;
  --stage)
    shift
    case " ${STAGES[*]} " in
    *" ${1:-} "*) selected+=("$1") ;;
    *) echo "test.sh: no stage '${1:-}'; there are: ${STAGES[*]}" >&2 && exit 2 ;;
    esac
    ;;
  --help | -h) usage && exit 0 ;;
  *) echo "test.sh: no option $1; see tools/test.sh --help" >&2 && exit 2 ;;
  esac
  shift
done
[ ${#selected[@]} -gt 0 ] || selected=("${STAGES[@]}")

logs=$root/build/logs
mkdir -p "$logs"
passed=0
failed=0
skipped=0

# Ranks on one machine, as root in a container, more of them than cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
# What a caller has set must not decide which device the tests see.
unset TRIVIUM_MASK TRIVIUM_VALIDATE TRIVIUM_SELFTEST TRIVIUM_FAULT TRIVIUM_TEST_EVERY

configure_and_build() { # folder option...
  local folder=$1 launcher=()
  shift
  ! command -v ccache >/dev/null || launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
  cmake -S "$root" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release "${launcher[@]}" "$@" &&
    cmake --build "$folder"
}

# The same with the compiled kernels of build/, where there is one: the C compiler does not change
# them.
build_beside() { # folder option...
  local kernels=
  if [ -f build/build.ninja ]; then
    cmake --build build --target tv_kernels || return
    kernels=$root/build/shaders
  fi
  configure_and_build "$@" "-DTV_KERNELS_FROM=$kernels"
}

# Runs ctest; leaves its counts in build/logs/STAGE.xml, its full output in build/logs/STAGE.full.
run_tests() { # stage folder option...
  local stage=$1 folder=$2 status
  shift 2
  rm -f "$logs/$stage.xml"
  ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$(nproc)" \
    --output-junit "$logs/$stage.xml" "$@"
  status=$?
  cp "$folder/Testing/Temporary/LastTest.log" "$logs/$stage.full"
  return "$status"
}

stage_setup() {
  tools/setup.sh --tests
}

stage_build() {
  configure_and_build build -DCMAKE_C_COMPILER=gcc
}

stage_check() {
  tools/check.sh
}

stage_clang() {
  build_beside build-clang -DCMAKE_C_COMPILER=clang
}

stage_bare() {
  build_beside build-bare -DCMAKE_C_COMPILER=gcc -DTV_VULKAN=OFF -DTV_OPENCL=OFF \
    -DTV_MPI=OFF && run_tests bare build-bare -L unit
}

stage_asan() {
  export ASAN_OPTIONS=detect_leaks=1
  build_beside build-asan -DCMAKE_C_COMPILER=gcc -DTV_SANITIZE=ON &&
    run_tests asan build-asan -L unit
}

stage_test() {
  run_tests test build
}

# In a folder of its own: ctest keeps one log in each.
run_profile() { # NUMBER
  local folder=$logs/profiles-$1.tests jobs=1
  [ "$(nproc)" -le 2 ] || jobs=2
  mkdir -p "$folder"
  echo "subdirs(\"$root/build\")" >"$folder/CTestTestfile.cmake"
  echo "==== ${PROFILES[$1 - 1]}"
  TRIVIUM_MASK=${PROFILES[$1 - 1]} TRIVIUM_TEST_EVERY=3 run_tests "profiles-$1" "$folder" \
    -j "$jobs" -L 'vulkan|opencl' -R "$PROFILE_TESTS"
}

# Two profiles at a time: a test compiles in one thread for most of its time.
stage_profiles() {
  local number status=0
  for number in $(seq ${#PROFILES[@]}); do
    [ "$number" -le 2 ] || wait -n || status=1
    run_profile "$number" >"$logs/profiles-$number.log" 2>&1 &
  done
  while [ -n "$(jobs -p)" ]; do
    wait -n || status=1
  done
  cat "$logs"/profiles-?.log
  return "$status"
}

stage_validate() {
  TRIVIUM_VALIDATE=1 run_tests validate build -L vulkan
}

xml_count() { # file attribute
  sed -nE "s/^[[:space:]]+$2=\"([0-9]+)\".*/\1/p" "$1" | head -n 1
}

# Adds a stage's tests to the totals and describes them in $counts. A stage that failed without a
# failed test (a build, a rule that was broken) counts as one failure.
count_tests() { # stage status
  local file all=0 bad=0 left_out=0 inside=0
  counts=
  for file in "$logs/$1.xml" "$logs/$1"-*.xml; do
    [ -f "$file" ] || continue
    all=$((all + $(xml_count "$file" tests)))
    bad=$((bad + $(xml_count "$file" failures)))
    left_out=$((left_out + $(xml_count "$file" skipped)))
    # Cases that a test program skipped, by its summary: "[  SKIPPED ] 2 test(s), listed below:".
    inside=$((inside + $(sed -nE 's/^\[  SKIPPED \] ([0-9]+) test.*/\1/p' "${file%.xml}.full" |
      awk '{ sum += $1 } END { print sum + 0 }')))
  done
  passed=$((passed + all - bad - left_out))
  skipped=$((skipped + left_out + inside))
  [ "$all" = 0 ] || counts="$all tests, $bad failed, $((left_out + inside)) skipped"
  [ "$2" = 0 ] || [ "$bad" != 0 ] || bad=1
  failed=$((failed + bad))
}

show_failure() { # stage
  echo "---- last lines of $logs/$1.log"
  tail -n 40 "$logs/$1.log"
  echo "----"
}

started=$SECONDS
for stage in "${STAGES[@]}"; do
  [[ " ${selected[*]} " == *" $stage "* ]] || continue
  printf '%-9s ' "$stage"
  since=$SECONDS
  rm -f "$logs/$stage.xml" "$logs/$stage"-*.xml
  ("stage_$stage") >"$logs/$stage.log" 2>&1 </dev/null
  status=$?
  count_tests "$stage" "$status"
  outcome=ok
  [ "$status" = 0 ] || outcome=FAILED
  printf '%-7s %4ds  %s\n' "$outcome" "$((SECONDS - since))" "$counts"
  [ "$status" = 0 ] || show_failure "$stage"
  # Nothing can be tested without a build.
  if [ "$status" != 0 ] && [ "$stage" = build ]; then break; fi
done

echo "total $((SECONDS - started)) s; logs in $logs"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
