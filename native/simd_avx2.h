// Vec for AVX2 with FMA: 8 floats or 4 doubles.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace stepahead {
namespace avx2 {

template <class T>
struct Vec;

template <>
struct Vec<float> {
    static constexpr int width = 8;
    __m256 v;
    static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static Vec splat(float x) { return {_mm256_set1_ps(x)}; }
    void store(float* p) const { _mm256_storeu_ps(p, v); }
    void stream(float* p) const { _mm256_stream_ps(p, v); }
    static constexpr bool has_parts = false;
};

template <>
struct Vec<double> {
    static constexpr int width = 4;
    __m256d v;
    static Vec load(const double* p) { return {_mm256_loadu_pd(p)}; }
    static Vec splat(double x) { return {_mm256_set1_pd(x)}; }
    void store(double* p) const { _mm256_storeu_pd(p, v); }
    void stream(double* p) const { _mm256_stream_pd(p, v); }
    static constexpr bool has_parts = false;
};

using F = Vec<float>;
using D = Vec<double>;

inline F operator+(F a, F b) { return {_mm256_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm256_div_ps(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline F min(F a, F b) { return {_mm256_min_ps(a.v, b.v)}; }
inline F max(F a, F b) { return {_mm256_max_ps(a.v, b.v)}; }
// Masks: all bits of a lane set or clear.
inline F less(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
inline F not_positive(F a) { return {_mm256_cmp_ps(a.v, _mm256_setzero_ps(), _CMP_LE_OQ)}; }
inline F select(F mask, F yes, F no) { return {_mm256_blendv_ps(no.v, yes.v, mask.v)}; }

inline D operator+(D a, D b) { return {_mm256_add_pd(a.v, b.v)}; }
inline D operator-(D a, D b) { return {_mm256_sub_pd(a.v, b.v)}; }
inline D operator*(D a, D b) { return {_mm256_mul_pd(a.v, b.v)}; }
inline D operator/(D a, D b) { return {_mm256_div_pd(a.v, b.v)}; }
inline D fma(D a, D b, D c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
inline D min(D a, D b) { return {_mm256_min_pd(a.v, b.v)}; }
inline D max(D a, D b) { return {_mm256_max_pd(a.v, b.v)}; }
inline D less(D a, D b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)}; }
inline D not_positive(D a) { return {_mm256_cmp_pd(a.v, _mm256_setzero_pd(), _CMP_LE_OQ)}; }
inline D select(D mask, D yes, D no) { return {_mm256_blendv_pd(no.v, yes.v, mask.v)}; }
// 2^n, where x = n + 1.5 * 2^52.
inline D power_of_two(D x) {
    const __m256i one = _mm256_castpd_si256(_mm256_set1_pd(1.0));
    return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_slli_epi64(_mm256_castpd_si256(x.v), 52), one))};
}

// out[i] += the sum of the lanes of the i-th vector.
inline void add_sums(F a, F b, F c, F d, float* out) {
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c.v, d.v), _mm256_unpackhi_ps(c.v, d.v));
    const __m256 abcd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
    const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm_loadu_ps(out), sums));
}

inline void add_sums(D a, D b, D c, D d, double* out) {
    const __m256d ab = _mm256_hadd_pd(a.v, b.v);
    const __m256d cd = _mm256_hadd_pd(c.v, d.v);
    const __m256d sums = _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20), _mm256_permute2f128_pd(ab, cd, 0x31));
    _mm256_storeu_pd(out, _mm256_add_pd(_mm256_loadu_pd(out), sums));
}

// Turn a square of width x width numbers: rows[i][j] becomes rows[j][i].
inline void transpose(F (&r)[8]) {
    __m256 t[8], s[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i].v, r[i + 1].v);
        t[i + 1] = _mm256_unpackhi_ps(r[i].v, r[i + 1].v);
    }
    for (int i = 0; i < 8; i += 4) {
        s[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        s[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
        s[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        s[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
        r[i].v = _mm256_permute2f128_ps(s[i], s[i + 4], 0x20);
        r[i + 4].v = _mm256_permute2f128_ps(s[i], s[i + 4], 0x31);
    }
}

inline void transpose(D (&r)[4]) {
    const __m256d a = _mm256_unpacklo_pd(r[0].v, r[1].v), b = _mm256_unpackhi_pd(r[0].v, r[1].v);
    const __m256d c = _mm256_unpacklo_pd(r[2].v, r[3].v), d = _mm256_unpackhi_pd(r[2].v, r[3].v);
    r[0].v = _mm256_permute2f128_pd(a, c, 0x20);
    r[1].v = _mm256_permute2f128_pd(b, d, 0x20);
    r[2].v = _mm256_permute2f128_pd(a, c, 0x31);
    r[3].v = _mm256_permute2f128_pd(b, d, 0x31);
}

inline F sqrt(F a) { return {_mm256_sqrt_ps(a.v)}; }

// What was streamed is seen by whoever goes on from here.
inline void finish_streams() { _mm_sfence(); }

}  // namespace avx2
}  // namespace stepahead
