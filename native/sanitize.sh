#!/bin/sh
# The self-test under AddressSanitizer and UndefinedBehaviorSanitizer, for each instruction set of this machine.
#   native/sanitize.sh [build folder]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-"$here/build/sanitize"}
cmake -S "$here" -B "$build" -DSTEPAHEAD_SELFTEST=ON -DSTEPAHEAD_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
cmake --build "$build" --parallel
"$build/selftest"
for simd in avx2 sse2 plain; do STEPAHEAD_SIMD=$simd "$build/selftest"; done
