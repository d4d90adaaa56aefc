// Vec for NEON on arm64: 4 floats or 2 doubles.
#pragma once
#include <arm_neon.h>

namespace stepahead {
namespace neon {

template <class T>
struct Vec;

template <>
struct Vec<float> {
    static constexpr int width = 4;
    float32x4_t v;
    static Vec load(const float* p) { return {vld1q_f32(p)}; }
    static Vec splat(float x) { return {vdupq_n_f32(x)}; }
    void store(float* p) const { vst1q_f32(p, v); }
    void stream(float* p) const { store(p); }
    static constexpr bool has_parts = false;
};

template <>
struct Vec<double> {
    static constexpr int width = 2;
    float64x2_t v;
    static Vec load(const double* p) { return {vld1q_f64(p)}; }
    static Vec splat(double x) { return {vdupq_n_f64(x)}; }
    void store(double* p) const { vst1q_f64(p, v); }
    void stream(double* p) const { store(p); }
    static constexpr bool has_parts = false;
};

using F = Vec<float>;
using D = Vec<double>;

inline F operator+(F a, F b) { return {vaddq_f32(a.v, b.v)}; }
inline F operator-(F a, F b) { return {vsubq_f32(a.v, b.v)}; }
inline F operator*(F a, F b) { return {vmulq_f32(a.v, b.v)}; }
inline F operator/(F a, F b) { return {vdivq_f32(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline F min(F a, F b) { return {vminq_f32(a.v, b.v)}; }
inline F max(F a, F b) { return {vmaxq_f32(a.v, b.v)}; }
// Masks: all bits of a lane set or clear.
inline F less(F a, F b) { return {vreinterpretq_f32_u32(vcltq_f32(a.v, b.v))}; }
inline F not_positive(F a) { return {vreinterpretq_f32_u32(vclezq_f32(a.v))}; }
inline F select(F mask, F yes, F no) { return {vbslq_f32(vreinterpretq_u32_f32(mask.v), yes.v, no.v)}; }

inline D operator+(D a, D b) { return {vaddq_f64(a.v, b.v)}; }
inline D operator-(D a, D b) { return {vsubq_f64(a.v, b.v)}; }
inline D operator*(D a, D b) { return {vmulq_f64(a.v, b.v)}; }
inline D operator/(D a, D b) { return {vdivq_f64(a.v, b.v)}; }
inline D fma(D a, D b, D c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
inline D min(D a, D b) { return {vminq_f64(a.v, b.v)}; }
inline D max(D a, D b) { return {vmaxq_f64(a.v, b.v)}; }
inline D less(D a, D b) { return {vreinterpretq_f64_u64(vcltq_f64(a.v, b.v))}; }
inline D not_positive(D a) { return {vreinterpretq_f64_u64(vclezq_f64(a.v))}; }
inline D select(D mask, D yes, D no) { return {vbslq_f64(vreinterpretq_u64_f64(mask.v), yes.v, no.v)}; }
// 2^n, where x = n + 1.5 * 2^52.
inline D power_of_two(D x) {
    const int64x2_t one = vreinterpretq_s64_f64(vdupq_n_f64(1.0));
    return {vreinterpretq_f64_s64(vaddq_s64(vshlq_n_s64(vreinterpretq_s64_f64(x.v), 52), one))};
}

// out[i] += the sum of the lanes of the i-th vector.
inline void add_sums(F a, F b, F c, F d, float* out) {
    const float32x4_t sums = vpaddq_f32(vpaddq_f32(a.v, b.v), vpaddq_f32(c.v, d.v));
    vst1q_f32(out, vaddq_f32(vld1q_f32(out), sums));
}

inline void add_sums(D a, D b, D c, D d, double* out) {
    vst1q_f64(out, vaddq_f64(vld1q_f64(out), vpaddq_f64(a.v, b.v)));
    vst1q_f64(out + 2, vaddq_f64(vld1q_f64(out + 2), vpaddq_f64(c.v, d.v)));
}

// Turn a square of width x width numbers: rows[i][j] becomes rows[j][i].
inline void transpose(F (&r)[4]) {
    const float32x4_t a = vtrn1q_f32(r[0].v, r[1].v), b = vtrn2q_f32(r[0].v, r[1].v);
    const float32x4_t c = vtrn1q_f32(r[2].v, r[3].v), d = vtrn2q_f32(r[2].v, r[3].v);
    r[0].v = vcombine_f32(vget_low_f32(a), vget_low_f32(c));
    r[1].v = vcombine_f32(vget_low_f32(b), vget_low_f32(d));
    r[2].v = vcombine_f32(vget_high_f32(a), vget_high_f32(c));
    r[3].v = vcombine_f32(vget_high_f32(b), vget_high_f32(d));
}

inline void transpose(D (&r)[2]) {
    const float64x2_t low = vzip1q_f64(r[0].v, r[1].v);
    r[1].v = vzip2q_f64(r[0].v, r[1].v);
    r[0].v = low;
}

inline F sqrt(F a) { return {vsqrtq_f32(a.v)}; }

// What was streamed is seen by whoever goes on from here.
inline void finish_streams() {}

}  // namespace neon
}  // namespace stepahead
