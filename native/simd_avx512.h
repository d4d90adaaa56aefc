// Vec for AVX-512 (F and DQ): 16 floats or 8 doubles.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace stepahead {
namespace avx512 {

template <class T>
struct Vec;

template <>
struct Vec<float> {
    static constexpr int width = 16;
    __m512 v;
    static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static Vec splat(float x) { return {_mm512_set1_ps(x)}; }
    void store(float* p) const { _mm512_storeu_ps(p, v); }
    void stream(float* p) const { _mm512_stream_ps(p, v); }
    // The first n alone; the others are zero, or stay as they are.
    static constexpr bool has_parts = true;
    static __mmask16 first(long n) { return static_cast<__mmask16>((1u << n) - 1); }
    static Vec load_part(const float* p, long n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
    void store_part(float* p, long n) const { _mm512_mask_storeu_ps(p, first(n), v); }
};

template <>
struct Vec<double> {
    static constexpr int width = 8;
    __m512d v;
    static Vec load(const double* p) { return {_mm512_loadu_pd(p)}; }
    static Vec splat(double x) { return {_mm512_set1_pd(x)}; }
    void store(double* p) const { _mm512_storeu_pd(p, v); }
    void stream(double* p) const { _mm512_stream_pd(p, v); }
    static constexpr bool has_parts = true;
    static __mmask8 first(long n) { return static_cast<__mmask8>((1u << n) - 1); }
    static Vec load_part(const double* p, long n) { return {_mm512_maskz_loadu_pd(first(n), p)}; }
    void store_part(double* p, long n) const { _mm512_mask_storeu_pd(p, first(n), v); }
};

using F = Vec<float>;
using D = Vec<double>;

// Masks: all bits of a lane set or clear, as elsewhere.
inline F lanes_of(__mmask16 mask, F) { return {_mm512_castsi512_ps(_mm512_movm_epi32(mask))}; }
inline D lanes_of(__mmask8 mask, D) { return {_mm512_castsi512_pd(_mm512_movm_epi64(mask))}; }

inline F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F less(F a, F b) { return lanes_of(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), a); }
inline F not_positive(F a) { return lanes_of(_mm512_cmp_ps_mask(a.v, _mm512_setzero_ps(), _CMP_LE_OQ), a); }
inline F select(F mask, F yes, F no) {
    return {_mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(mask.v)), no.v, yes.v)};
}

inline D operator+(D a, D b) { return {_mm512_add_pd(a.v, b.v)}; }
inline D operator-(D a, D b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline D operator*(D a, D b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline D operator/(D a, D b) { return {_mm512_div_pd(a.v, b.v)}; }
inline D fma(D a, D b, D c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
inline D min(D a, D b) { return {_mm512_min_pd(a.v, b.v)}; }
inline D max(D a, D b) { return {_mm512_max_pd(a.v, b.v)}; }
inline D less(D a, D b) { return lanes_of(_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ), a); }
inline D not_positive(D a) { return lanes_of(_mm512_cmp_pd_mask(a.v, _mm512_setzero_pd(), _CMP_LE_OQ), a); }
inline D select(D mask, D yes, D no) {
    return {_mm512_mask_blend_pd(_mm512_movepi64_mask(_mm512_castpd_si512(mask.v)), no.v, yes.v)};
}
// 2^n, where x = n + 1.5 * 2^52.
inline D power_of_two(D x) {
    const __m512i one = _mm512_castpd_si512(_mm512_set1_pd(1.0));
    return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_slli_epi64(_mm512_castpd_si512(x.v), 52), one))};
}

// A number for each lane out of 32, aligned as a vector is, by the last five bits of its index.
#define STEPAHEAD_LOOKS_UP
inline F lookup(const float* numbers, F index) {
    const __m512 first = _mm512_load_ps(numbers), second = _mm512_load_ps(numbers + 16);
    return {_mm512_permutex2var_ps(first, _mm512_castps_si512(index.v), second)};
}
inline F abs(F a) { return {_mm512_abs_ps(a.v)}; }
// x that is not negative, with the sign of a.
inline F with_sign_of(F a, F x) {
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    return {_mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_castps_si512(x.v), _mm512_castps_si512(a.v), sign, 0xF8))};
}

// out[i] += the sum of the lanes of the i-th vector.
inline void add_sums(F a, F b, F c, F d, float* out) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
    const __m512 abcd = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
    const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm_loadu_ps(out), sums));
}

inline void add_sums(D a, D b, D c, D d, double* out) {
    const auto halves = [](D x) {
        return _mm256_add_pd(_mm512_castpd512_pd256(x.v), _mm512_extractf64x4_pd(x.v, 1));
    };
    const __m256d ab = _mm256_hadd_pd(halves(a), halves(b)), cd = _mm256_hadd_pd(halves(c), halves(d));
    const __m256d sums = _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20), _mm256_permute2f128_pd(ab, cd, 0x31));
    _mm256_storeu_pd(out, _mm256_add_pd(_mm256_loadu_pd(out), sums));
}

// Turn a square of width x width numbers: rows[i][j] becomes rows[j][i].
inline void transpose(F (&r)[16]) {
    __m512 t[16], s[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
        t[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
    }
    // s[4 q + j]: in its four quarters, columns j, j + 4, j + 8, j + 12 of rows 4 q to 4 q + 3.
    for (int i = 0; i < 16; i += 4) {
        s[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        s[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
        s[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        s[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int j = 0; j < 4; ++j) {
        const __m512 low = _mm512_shuffle_f32x4(s[j], s[4 + j], 0x88);
        const __m512 high = _mm512_shuffle_f32x4(s[8 + j], s[12 + j], 0x88);
        const __m512 low_odd = _mm512_shuffle_f32x4(s[j], s[4 + j], 0xDD);
        const __m512 high_odd = _mm512_shuffle_f32x4(s[8 + j], s[12 + j], 0xDD);
        r[j].v = _mm512_shuffle_f32x4(low, high, 0x88);
        r[8 + j].v = _mm512_shuffle_f32x4(low, high, 0xDD);
        r[4 + j].v = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
        r[12 + j].v = _mm512_shuffle_f32x4(low_odd, high_odd, 0xDD);
    }
}

inline void transpose(D (&r)[8]) {
    __m512d t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i].v, r[i + 1].v);
        t[i + 1] = _mm512_unpackhi_pd(r[i].v, r[i + 1].v);
    }
    // t[2 q + j]: columns j, j + 2, j + 4, j + 6 of rows 2 q and 2 q + 1.
    for (int j = 0; j < 2; ++j) {
        const __m512d low = _mm512_shuffle_f64x2(t[j], t[2 + j], 0x88);
        const __m512d high = _mm512_shuffle_f64x2(t[4 + j], t[6 + j], 0x88);
        const __m512d low_odd = _mm512_shuffle_f64x2(t[j], t[2 + j], 0xDD);
        const __m512d high_odd = _mm512_shuffle_f64x2(t[4 + j], t[6 + j], 0xDD);
        r[j].v = _mm512_shuffle_f64x2(low, high, 0x88);
        r[4 + j].v = _mm512_shuffle_f64x2(low, high, 0xDD);
        r[2 + j].v = _mm512_shuffle_f64x2(low_odd, high_odd, 0x88);
        r[6 + j].v = _mm512_shuffle_f64x2(low_odd, high_odd, 0xDD);
    }
}

inline F sqrt(F a) { return {_mm512_sqrt_ps(a.v)}; }

// What was streamed is seen by whoever goes on from here.
inline void finish_streams() { _mm_sfence(); }

}  // namespace avx512
}  // namespace stepahead
