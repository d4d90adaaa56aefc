// tanh and the logistic function on vectors.
#pragma once

#include "simd.h"
#if defined(STEPAHEAD_LOOKS_UP)
#include "tanh_table.h"
#endif

namespace stepahead {
namespace STEPAHEAD_ISA {

#if defined(STEPAHEAD_LOOKS_UP)
STEPAHEAD_INLINE Vec<float> tanh(Vec<float> x) { return tanh_by_table(x); }
#else
// A rational minimax fit, degree 9 over 8: at most 3e-7 from tanh (3.8e-7 without fused multiply-adds), and exactly 1
// from the limit on, either way.
STEPAHEAD_INLINE Vec<float> tanh(Vec<float> x) {
    using F = Vec<float>;
    const F limit = F::splat(8.400809288024902f), low = F::splat(-8.400809288024902f);
    x = max(low, min(limit, x));
    const F u = x * x;
    F p = fma(F::splat(2.8172451038699364e-08f), u, F::splat(4.166077997069806e-05f));
    F q = fma(F::splat(1.6017423831726774e-06f), u, F::splat(0.0006550113903358579f));
    p = fma(p, u, F::splat(0.006901242304593325f));
    q = fma(q, u, F::splat(0.050764210522174835f));
    p = fma(p, u, F::splat(0.2614959478378296f));
    q = fma(q, u, F::splat(0.9110342264175415f));
    p = fma(p, u, F::splat(1.9486154317855835f));
    q = fma(q, u, F::splat(1.948615550994873f));
    return x * p / q;
}
#endif

// e^y - 1 by 2^n (e^r - 1) + (2^n - 1) with |r| <= ln(2) / 2, and tanh(x) = (e^2x - 1) / (e^2x + 1).
STEPAHEAD_INLINE Vec<double> tanh(Vec<double> x) {
    using D = Vec<double>;
    const D y = max(D::splat(-44.0), min(D::splat(44.0), x + x));
    const D magic = D::splat(6755399441055744.0);  // 1.5 * 2^52: adding it rounds to a whole number
    const D shifted = fma(y, D::splat(1.4426950408889634), magic);
    const D n = shifted - magic;
    const D r = fma(n, D::splat(-1.9082149292705877e-10), fma(n, D::splat(-0.6931471803691238), y));
    D p = D::splat(1.0 / 6227020800.0);
    const double factorials[] = {479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2};
    for (const double factorial : factorials) p = fma(p, r, D::splat(1.0 / factorial));
    p = fma(p * r, r, r);  // e^r - 1
    const D power = power_of_two(shifted);
    const D less_one = fma(power, p, power - D::splat(1.0));
    return less_one / (less_one + D::splat(2.0));
}

// 1 / (1 + e^-2x): the logistic function of twice x. Packed weights carry the half.
template <class T>
STEPAHEAD_INLINE Vec<T> logistic_of_double(Vec<T> x) {
    const Vec<T> half = Vec<T>::splat(T(0.5));
    return fma(half, tanh(x), half);
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
