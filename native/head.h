// What sits on the last step while training: a linear layer and a loss, for one tile.
#pragma once

#include <cmath>

#include "tile.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

struct HeadLayout {
    Index outputs, hidden;  // O, H
    Index padded_outputs() const { return round_up(outputs, 4); }
    Index padded_hidden() const { return round_up(hidden, 4); }
    // Gradient of a part: [O, padded H] and [padded O].
    Index gradient_size() const { return outputs * padded_hidden() + padded_outputs(); }
};

// y[o] = bias[o] + sum over j of weight[o, j] * h[j].   h [H, L] read; y [O, L] written
template <int NV>
inline void head_forward(const HeadLayout& z, const float* weight, const float* bias, const float* h, float* y) {
    using V = Vec<float>;
    constexpr int W = V::width, L = NV * W;
    for (Index o = 0; o < z.outputs; ++o) {
        V sums[1][1][NV];
        for (int v = 0; v < NV; ++v) sums[0][0][v] = V::splat(bias[o]);
        accumulate(sums, weight + o * z.hidden, 0, h, z.hidden);
        for (int v = 0; v < NV; ++v) sums[0][0][v].store(y + o * L + v * W);
    }
}

// From y's gradient: h's, and added to `gradient` the weight's and bias's.   h [padded H, L], y_grad [padded O, L] read
template <int NV>
inline void head_backward(const HeadLayout& z, const float* weight, const float* h, const float* y_grad, float* h_grad,
                          float* gradient) {
    using V = Vec<float>;
    constexpr int W = V::width, L = NV * W;
    for (Index j = 0; j < z.hidden; ++j)
        for (int v = 0; v < NV; ++v) {
            V sum = V::splat(0);
            for (Index o = 0; o < z.outputs; ++o)
                sum = fma(V::splat(weight[o * z.hidden + j]), V::load(y_grad + o * L + v * W), sum);
            sum.store(h_grad + j * L + v * W);
        }
    outer<NV, float>(h, 0, z.padded_hidden(), y_grad, 0, z.outputs, 1, gradient);
    outer_ones<NV, float>(y_grad, 0, z.padded_outputs(), 1, gradient + z.outputs * z.padded_hidden());
}

struct Slope {
    float loss, gradient;
};

// The loss of one number and its derivative; ties as torch's autograd breaks them.
inline Slope loss_of(const TrainSetup& s, float y, float target, Index quantile) {
    const float error = y - target, size = std::fabs(error);
    const float sign = error > 0 ? 1.0f : error < 0 ? -1.0f : error;
    switch (s.loss) {
        case Loss::mse: return {error * error, 2 * error};
        case Loss::mae: return {size, sign};
        case Loss::huber:
            if (!(size > s.delta)) return {0.5f * error * error, error};
            return {s.delta * (size - 0.5f * s.delta), s.delta * sign};
        default: break;
    }
    const float q = s.quantiles[quantile], below = -q * error, above = (1 - q) * error;
    if (!(error < 0) && !(error > 0)) return {below + above, error == 0 ? 0.5f - q : error};
    return error < 0 ? Slope{below, -q} : Slope{above, 1 - q};
}

// The weighted loss of a tile, unscaled; y [O, L] becomes its gradient times `scale`.
// target, weight [lanes] pointers to [horizon] each, read; weight null: ones
template <int NV>
inline float tile_loss(const TrainSetup& s, const float* const* target, const float* const* weight, Index lanes,
                       float scale, float* y) {
    constexpr int L = NV * width<float>;
    const Index quantiles = s.num_quantiles, outputs = s.horizon * quantiles;
    float total = 0;
    for (Index o = 0; o < outputs; ++o) {
        const Index step = o / quantiles;
        for (Index l = 0; l < L; ++l) {
            const float w = l >= lanes ? 0.0f : weight == nullptr ? 1.0f : weight[l][step];
            if (w == 0) {  // a target that is not there may be anything
                y[o * L + l] = 0;
                continue;
            }
            const Slope slope = loss_of(s, y[o * L + l], target[l][step], o % quantiles);
            total += w * slope.loss;
            y[o * L + l] = scale * w * slope.gradient;
        }
    }
    return total;
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
