// Lanes of numbers.  Vec<float> and Vec<double> with arithmetic, for the instructions this file is compiled for.
//
// Each translation unit sees one kind; everything lives in a namespace of its own name (STEPAHEAD_ISA), so that code
// compiled for AVX2 is never linked into the baseline. No standard-library templates in here for the same reason.
// min and max return the second operand where one is not a number: write min(limit, x) and NaN passes through.
#pragma once

#include <cstddef>

#if defined(STEPAHEAD_PLAIN)
#define STEPAHEAD_ISA plain
#include "simd_plain.h"
#elif defined(__AVX512F__) && defined(__AVX512DQ__)
#define STEPAHEAD_ISA avx512
#include "simd_avx512.h"
#elif defined(__AVX2__) && (defined(__FMA__) || defined(_MSC_VER))
#define STEPAHEAD_ISA avx2
#include "simd_avx2.h"
#elif defined(__SSE2__) || defined(_M_X64)
#define STEPAHEAD_ISA sse2
#include "simd_sse2.h"
#elif defined(__aarch64__) || defined(_M_ARM64)
#define STEPAHEAD_ISA neon
#include "simd_neon.h"
#else
#define STEPAHEAD_ISA plain
#include "simd_plain.h"
#endif

#if defined(_MSC_VER)
#define STEPAHEAD_INLINE __forceinline
#define STEPAHEAD_RESTRICT __restrict
#else
#define STEPAHEAD_INLINE inline __attribute__((always_inline))
#define STEPAHEAD_RESTRICT __restrict__
#endif

namespace stepahead {
namespace STEPAHEAD_ISA {

template <class T>
constexpr int width = Vec<T>::width;

#if defined(__AVX512F__) || defined(__aarch64__) || defined(_M_ARM64)
constexpr int registers = 32;
#else
constexpr int registers = 16;
#endif

// Numbers in a line of the caches.
template <class T>
constexpr std::ptrdiff_t line = 64 / sizeof(T);

// n numbers that are soon written or read, into the first cache.
template <class T>
STEPAHEAD_INLINE void fetch(const T* data, std::ptrdiff_t n) {
#if defined(__GNUC__)
    for (std::ptrdiff_t i = 0; i < n; i += line<T>) __builtin_prefetch(data + i, 1);
#endif
}

// A line that is read later, into the second cache; or, to be read just once, beside it.
enum class Fetch { nothing, later, once };
template <Fetch how, class T>
STEPAHEAD_INLINE void fetch_line(const T* data) {
#if defined(__GNUC__)
    if constexpr (how == Fetch::later) __builtin_prefetch(data, 0, 2);
    if constexpr (how == Fetch::once) __builtin_prefetch(data, 0, 0);
#else
    (void)data;
#endif
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
