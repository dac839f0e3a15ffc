#!/usr/bin/env bash
# Installs what Trivium needs to build; --tests and --golden add what tests and golden files need.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: tools/setup.sh [--tests] [--golden]

Installs the packages that building Trivium needs: with apt on Debian and Ubuntu; on Fedora and
Arch it prints the command. Only what is missing is installed, so a second run needs no network.

  --tests   also what only the tests need: validation layers, PoCL, cmocka, MPICH,
            shellcheck, iproute2
  --golden  also PyTorch, which wrote the golden files of the tests
TEXT
}

# clang compiles every kernel as OpenCL C, in every build; mpirun wants to see ssh even on one host.
build_apt=(cmake ninja-build gcc libc6-dev clang pkg-config libvulkan-dev libvulkan-volk-dev glslc
  spirv-tools mesa-vulkan-drivers libyaml-dev libjansson-dev libpng-dev libcairo2-dev libxxhash-dev
  opencl-headers ocl-icd-libopencl1 libopenmpi-dev openmpi-bin openssh-client)
# MPICH stands beside Open MPI, which stays what mpicc and mpirun are.
tests_apt=(vulkan-validationlayers pocl-opencl-icd libcmocka-dev shellcheck git iproute2 hostname
  mpich libmpich-dev)
golden_apt=(python3-torch)

tests=false
golden=false
for arg in "$@"; do
  case $arg in
  --tests) tests=true ;;
  --golden) golden=true ;;
  --help | -h) usage && exit 0 ;;
  *) echo "setup.sh: no option $arg; see tools/setup.sh --help" >&2 && exit 2 ;;
  esac
done

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "setup.sh: needs root for: $*" >&2
    return 1
  fi
}

installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs those of the packages that are missing.
apt_install() {
  local missing=() package
  for package in "$@"; do
    installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing: ${missing[*]}"
  if [ -z "${apt_updated:-}" ]; then
    as_root apt-get update -q
    apt_updated=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    "${missing[@]}"
}

# The code is formatted with clang-format 14, and versions differ in taste.
formatter() {
  if installed clang-format-14 || apt-cache show clang-format-14 >/dev/null 2>&1; then
    echo clang-format-14
  else
    echo clang-format
  fi
}

# The sanitizers' runtime is a package of its own, named after clang's version, since clang 14.
sanitizer_runtime() {
  local package
  package=libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev
  if installed "$package" || apt-cache show "$package" >/dev/null 2>&1; then
    echo "$package"
  fi
}

install_with_apt() {
  local packages=("${build_apt[@]}")
  ! $tests || packages+=("${tests_apt[@]}")
  ! $golden || packages+=("${golden_apt[@]}")
  apt_install "${packages[@]}"
  if $tests; then
    local more
    mapfile -t more < <(formatter && sanitizer_runtime)
    apt_install "${more[@]}"
  fi
  echo "setup: all packages are installed"
}

fedora() {
  echo "  sudo dnf install cmake ninja-build gcc clang pkgconf-pkg-config vulkan-headers \\
    vulkan-loader-devel vulkan-volk-devel glslc spirv-tools mesa-vulkan-drivers libyaml-devel \\
    jansson-devel libpng-devel cairo-devel xxhash-devel opencl-headers \\
    ocl-icd openmpi-devel"
  ! $tests || echo "  sudo dnf install vulkan-validation-layers pocl libcmocka-devel compiler-rt \\
    clang-tools-extra ShellCheck git iproute-tc hostname"
  ! $golden || echo "  sudo dnf install python3-torch"
}

arch() {
  echo "  sudo pacman -S --needed cmake ninja gcc clang pkgconf vulkan-headers \\
    vulkan-icd-loader volk shaderc spirv-tools vulkan-swrast libyaml jansson libpng cairo \\
    xxhash opencl-headers ocl-icd openmpi"
  ! $tests || echo "  sudo pacman -S --needed vulkan-validation-layers pocl cmocka compiler-rt \\
    shellcheck git iproute2 inetutils"
  ! $golden || echo "  sudo pacman -S --needed python-pytorch"
}

if command -v apt-get >/dev/null; then
  install_with_apt
elif command -v dnf >/dev/null; then
  echo "setup.sh installs nothing here; on Fedora, run:"
  fedora
elif command -v pacman >/dev/null; then
  echo "setup.sh installs nothing here; on Arch, run:"
  arch
else
  echo "setup.sh: no apt, dnf or pacman here; the packages are listed in tools/setup.sh" >&2
  exit 1
fi
