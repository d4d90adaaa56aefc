// Adam and AdamW, as torch.optim: Kingma and Ba 2015, Loshchilov and Hutter 2019.
#pragma once

#include <cmath>

#include "kernel.h"
#include "simd.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

struct AdamStep {
    Index count;  // this step's number, from 1
    float learning_rate, weight_decay;
};

// Scale a gradient down to the norm `most`, as torch.nn.utils.clip_grad_norm_.   gradient [n] updated
inline void clip(double most, Index n, float* gradient) {
    double squares = 0;
    for (Index i = 0; i < n; ++i) squares += static_cast<double>(gradient[i]) * gradient[i];
    const double factor = most / (std::sqrt(squares) + 1e-6);
    if (factor >= 1) return;
    for (Index i = 0; i < n; ++i) gradient[i] = static_cast<float>(gradient[i] * factor);
}

// One step of one model.   parameters, first, second [n] updated; gradient [n] clipped
inline void take_step(const TrainSetup& s, const AdamStep& a, Index n, float* parameters, float* gradient, float* first,
                      float* second) {
    using V = Vec<float>;
    if (s.clip > 0) clip(s.clip, n, gradient);
    const double correction1 = 1 - std::pow(s.beta1, static_cast<double>(a.count));
    const double correction2 = 1 - std::pow(s.beta2, static_cast<double>(a.count));
    const V rate = V::splat(static_cast<float>(-a.learning_rate / correction1));
    const V root = V::splat(static_cast<float>(std::sqrt(correction2))), eps = V::splat(static_cast<float>(s.eps));
    const V beta2 = V::splat(static_cast<float>(s.beta2)), rest1 = V::splat(static_cast<float>(1 - s.beta1));
    const V rest2 = V::splat(static_cast<float>(1 - s.beta2));
    const V shrink = V::splat(s.decoupled ? 1 - a.learning_rate * a.weight_decay : 1.0f);
    const V decay = V::splat(s.decoupled ? 0.0f : a.weight_decay);
    const auto step = [&](float* p, const float* g, float* m, float* v) {
        const V weight = V::load(p) * shrink, slope = fma(decay, weight, V::load(g));
        const V mean = fma(rest1, slope - V::load(m), V::load(m));
        const V square = fma(rest2 * slope, slope, beta2 * V::load(v));
        mean.store(m);
        square.store(v);
        fma(rate, mean / (sqrt(square) / root + eps), weight).store(p);
    };
    Index i = 0;
    for (; i + V::width <= n; i += V::width) step(parameters + i, gradient + i, first + i, second + i);
    float tail[4][V::width] = {};
    float* const arrays[4] = {parameters + i, gradient + i, first + i, second + i};
    for (int k = 0; k < 4; ++k)
        for (Index r = 0; r < n - i; ++r) tail[k][r] = arrays[k][r];
    step(tail[0], tail[1], tail[2], tail[3]);
    for (int k = 0; k < 4; ++k)
        for (Index r = 0; r < n - i; ++r) arrays[k][r] = tail[k][r];
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
