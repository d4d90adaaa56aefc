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
namespace avx512 {
const Kernel& table();
}
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
#if defined(_MSC_VER)
struct Processor {
    bool amd = false, avx2 = false, avx512 = false;
    Processor() {
        int leaf1[4], leaf7[4];
        __cpuid(leaf1, 0);
        amd = leaf1[1] == 0x68747541;  // "Auth", of AuthenticAMD
        __cpuid(leaf1, 1);
        __cpuidex(leaf7, 7, 0);
        if ((leaf1[2] & (1 << 27)) == 0) return;  // the system does not save any of these registers
        const unsigned long long saved = _xgetbv(0);
        const auto has = [&](int bit) { return (static_cast<unsigned>(leaf7[1]) >> bit & 1) != 0; };
        avx2 = (saved & 6) == 6 && (leaf1[2] & (1 << 12)) != 0 && has(5);
        avx512 = avx2 && (saved & 0xE6) == 0xE6 && has(16) && has(17) && has(28) && has(30) && has(31);
    }
};
#else
struct Processor {
    bool amd = __builtin_cpu_is("amd");
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
};
#endif
#endif

const Kernel& choose() {
    const char* asked = std::getenv("STEPAHEAD_SIMD");
    const auto is = [&](const char* name) { return asked != nullptr && std::strcmp(asked, name) == 0; };
    if (is("plain")) return plain::table();
#if defined(STEPAHEAD_X86)
    const Processor processor;
    if (is("sse2") || !processor.avx2) return sse2::table();
    return is("avx2") || !processor.avx512 ? avx2::table() : avx512::table();
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

bool& past_caches() {
#if defined(STEPAHEAD_X86)
    static bool past = Processor().amd;
#else
    static bool past = false;
#endif
    return past;
}

}  // namespace stepahead
