#!/bin/sh
# The kernel's self-test on NEON: cross-compiled, run by qemu-user (Debian: g++-aarch64-linux-gnu and qemu-user).
#   native/check_arm64.sh [build folder]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-"$here/build/arm64"}
cmake -S "$here" -B "$build" -DSTEPAHEAD_SELFTEST=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static >/dev/null
cmake --build "$build" --parallel
qemu-aarch64 "$build/selftest"
