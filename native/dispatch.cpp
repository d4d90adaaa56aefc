// Picks the table of functions for this processor, once.
#include <cstdlib>
#include <cstring>

#include "kernel.h"

#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace stepahead {

// Each of these is kernel.cpp, compiled with other flags.
#if defined(STEPAHEAD_X86)
namespace avx2 {
const Kernel& table();
}
namespace sse2 {
const Kernel& table();
}
#elif defined(STEPAHEAD_NEON)
namespace neon {
const Kernel& table();
}
#endif
namespace plain {
const Kernel& table();
}

namespace {

#if defined(STEPAHEAD_X86)
bool has_avx2() {
#if defined(_MSC_VER)
    int leaf1[4], leaf7[4];
    __cpuid(leaf1, 1);
    __cpuidex(leaf7, 7, 0);
    const bool saved_by_system = (leaf1[2] & (1 << 27)) != 0 && (_xgetbv(0) & 6) == 6;
    return saved_by_system && (leaf1[2] & (1 << 12)) != 0 && (leaf7[1] & (1 << 5)) != 0;
#else
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
}
#endif

const Kernel& choose() {
    const char* asked = std::getenv("STEPAHEAD_SIMD");
    const auto is = [&](const char* name) { return asked != nullptr && std::strcmp(asked, name) == 0; };
    if (is("plain")) return plain::table();
#if defined(STEPAHEAD_X86)
    return has_avx2() && !is("sse2") ? avx2::table() : sse2::table();
#elif defined(STEPAHEAD_NEON)
    return neon::table();
#else
    return plain::table();
#endif
}

}  // namespace

const Kernel& kernel() {
    static const Kernel& chosen = choose();
    return chosen;
}

}  // namespace stepahead
