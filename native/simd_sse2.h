// Vec for SSE2, which every x86-64 has: 4 floats or 2 doubles.
#pragma once
#include <emmintrin.h>

namespace stepahead {
namespace sse2 {

template <class T>
struct Vec;

template <>
struct Vec<float> {
    static constexpr int width = 4;
    __m128 v;
    static Vec load(const float* p) { return {_mm_loadu_ps(p)}; }
    static Vec splat(float x) { return {_mm_set1_ps(x)}; }
    void store(float* p) const { _mm_storeu_ps(p, v); }
    void stream(float* p) const { _mm_stream_ps(p, v); }
    static constexpr bool has_parts = false;
};

template <>
struct Vec<double> {
    static constexpr int width = 2;
    __m128d v;
    static Vec load(const double* p) { return {_mm_loadu_pd(p)}; }
    static Vec splat(double x) { return {_mm_set1_pd(x)}; }
    void store(double* p) const { _mm_storeu_pd(p, v); }
    void stream(double* p) const { _mm_stream_pd(p, v); }
    static constexpr bool has_parts = false;
};

using F = Vec<float>;
using D = Vec<double>;

inline F operator+(F a, F b) { return {_mm_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm_div_ps(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return a * b + c; }
inline F min(F a, F b) { return {_mm_min_ps(a.v, b.v)}; }
inline F max(F a, F b) { return {_mm_max_ps(a.v, b.v)}; }
// Masks: all bits of a lane set or clear.
inline F less(F a, F b) { return {_mm_cmplt_ps(a.v, b.v)}; }
inline F not_positive(F a) { return {_mm_cmple_ps(a.v, _mm_setzero_ps())}; }
inline F select(F mask, F yes, F no) { return {_mm_or_ps(_mm_and_ps(mask.v, yes.v), _mm_andnot_ps(mask.v, no.v))}; }

inline D operator+(D a, D b) { return {_mm_add_pd(a.v, b.v)}; }
inline D operator-(D a, D b) { return {_mm_sub_pd(a.v, b.v)}; }
inline D operator*(D a, D b) { return {_mm_mul_pd(a.v, b.v)}; }
inline D operator/(D a, D b) { return {_mm_div_pd(a.v, b.v)}; }
inline D fma(D a, D b, D c) { return a * b + c; }
inline D min(D a, D b) { return {_mm_min_pd(a.v, b.v)}; }
inline D max(D a, D b) { return {_mm_max_pd(a.v, b.v)}; }
inline D less(D a, D b) { return {_mm_cmplt_pd(a.v, b.v)}; }
inline D not_positive(D a) { return {_mm_cmple_pd(a.v, _mm_setzero_pd())}; }
inline D select(D mask, D yes, D no) { return {_mm_or_pd(_mm_and_pd(mask.v, yes.v), _mm_andnot_pd(mask.v, no.v))}; }
// 2^n, where x = n + 1.5 * 2^52.
inline D power_of_two(D x) {
    const __m128i one = _mm_castpd_si128(_mm_set1_pd(1.0));
    return {_mm_castsi128_pd(_mm_add_epi64(_mm_slli_epi64(_mm_castpd_si128(x.v), 52), one))};
}

// out[i] += the sum of the lanes of the i-th vector.
inline void add_sums(F a, F b, F c, F d, float* out) {
    const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a.v, b.v), _mm_unpackhi_ps(a.v, b.v));
    const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c.v, d.v), _mm_unpackhi_ps(c.v, d.v));
    const __m128 sums = _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
    _mm_storeu_ps(out, _mm_add_ps(_mm_loadu_ps(out), sums));
}

inline void add_sums(D a, D b, D c, D d, double* out) {
    const __m128d ab = _mm_add_pd(_mm_unpacklo_pd(a.v, b.v), _mm_unpackhi_pd(a.v, b.v));
    const __m128d cd = _mm_add_pd(_mm_unpacklo_pd(c.v, d.v), _mm_unpackhi_pd(c.v, d.v));
    _mm_storeu_pd(out, _mm_add_pd(_mm_loadu_pd(out), ab));
    _mm_storeu_pd(out + 2, _mm_add_pd(_mm_loadu_pd(out + 2), cd));
}

// Turn a square of width x width numbers: rows[i][j] becomes rows[j][i].
inline void transpose(F (&r)[4]) { _MM_TRANSPOSE4_PS(r[0].v, r[1].v, r[2].v, r[3].v); }

inline void transpose(D (&r)[2]) {
    const __m128d low = _mm_unpacklo_pd(r[0].v, r[1].v);
    r[1].v = _mm_unpackhi_pd(r[0].v, r[1].v);
    r[0].v = low;
}

inline F sqrt(F a) { return {_mm_sqrt_ps(a.v)}; }

// What was streamed is seen by whoever goes on from here.
inline void finish_streams() { _mm_sfence(); }

}  // namespace sse2
}  // namespace stepahead
