// A linear layer, softmax and cross-entropy, with their gradients, in one pass over the rows.
//
// Rows are cut into blocks of some tiles; what a block works on stays in the second cache. Parts of the weights'
// gradient are added up block by block, then part by part: the result does not depend on the number of threads.
#pragma once

#include <bit>
#include <cstdint>

#include "scan.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

constexpr int softmax_vectors = 3, softmax_tiles = 6;  // a block: enough lanes to pay for the sums over them
constexpr Index softmax_lanes = softmax_vectors * width<float>, most_softmax_parts = 8;

// e^x for n numbers from -87 to 0, about 1e-7 off: 2^k e^r, |r| <= ln(2) / 2, by a polynomial. A loop that compilers
// turn into vectors.
inline void exponentials(float* x, Index n) {
    for (Index i = 0; i < n; ++i) {
        const float y = x[i], shifted = y * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: adding it rounds
        const float k = shifted - 12582912.0f, r = (y - k * 0.693359375f) - k * -2.12194440e-4f;
        float p = 1.0f / 720;
        p = p * r + 1.0f / 120;
        p = p * r + 1.0f / 24;
        p = p * r + 1.0f / 6;
        p = p * r + 0.5f;
        p = p * r + 1.0f;
        p = p * r + 1.0f;
        const std::uint32_t power = (std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3F800000u;
        x[i] = p * std::bit_cast<float>(power);
    }
}

struct SoftmaxLayout {
    Index K, H, wide_k, wide_h;  // classes and hidden, and both rounded up to 4
    Index by_class, by_unit;     // packed weights [wide_k / 4, H, 4] and their transpose [wide_h / 4, K, 4]
    Index part;                  // a part's gradients: [K, wide_h], [wide_k] and the loss, a double
    explicit SoftmaxLayout(const SoftmaxCall& c)
        : K(c.classes),
          H(c.hidden),
          wide_k(round_up(K, 4)),
          wide_h(round_up(H, 4)),
          by_class(0),
          by_unit(wide_k * H),
          part(round_up(K * wide_h + wide_k + 2, 16)) {}
    Index packed() const { return round_up(by_unit + wide_h * K, 16); }
    Index block() const { return softmax_tiles * (wide_h + wide_k) * softmax_lanes + H * softmax_lanes; }
};

// weight [n, m] by strides into [ceil(n/4), m, 4].
inline void pack_fours(const float* weight, Index stride_n, Index stride_m, Index n, Index m, float* packed) {
    for (Index i = 0; i < round_up(n, 4); ++i)
        for (Index j = 0; j < m; ++j)
            packed[(i / 4 * m + j) * 4 + i % 4] = i < n ? weight[i * stride_n + j * stride_m] : 0.0f;
}

// Logits [K, L] of one tile become the gradient of the loss, times scale; returns the loss, unscaled.
inline double softmax_tile(const SoftmaxCall& c, Index first, Index lanes, float* y) {
    using V = Vec<float>;
    constexpr Index L = softmax_lanes;
    float true_logit[L], scale[L];
    for (Index l = 0; l < L; ++l) {
        const Index target = l < lanes ? c.targets[first + l] : -1;
        true_logit[l] = target < 0 ? 0.0f : y[target * L + l];
        scale[l] = target < 0 ? 0.0f : c.scale;
    }
    V most[softmax_vectors], sum[softmax_vectors];
    for (int v = 0; v < softmax_vectors; ++v) {
        most[v] = V::load(y + v * V::width);
        for (Index k = 1; k < c.classes; ++k) most[v] = max(most[v], V::load(y + k * L + v * V::width));
        for (Index k = 0; k < c.classes; ++k)
            max(V::load(y + k * L + v * V::width) - most[v], V::splat(-87.0f)).store(y + k * L + v * V::width);
    }
    exponentials(y, c.classes * L);
    float top[L], total[L];
    for (int v = 0; v < softmax_vectors; ++v) {
        sum[v] = V::splat(0);
        for (Index k = 0; k < c.classes; ++k) sum[v] = sum[v] + V::load(y + k * L + v * V::width);
        most[v].store(top + v * V::width);
        sum[v].store(total + v * V::width);
        const V factor = V::load(scale + v * V::width) / sum[v];
        for (Index k = 0; k < c.classes; ++k)
            (V::load(y + k * L + v * V::width) * factor).store(y + k * L + v * V::width);
    }
    double loss = 0;
    for (Index l = 0; l < lanes; ++l) {
        const Index target = c.targets[first + l];
        if (target < 0) continue;
        y[target * L + l] -= c.scale;
        loss += std::log(static_cast<double>(total[l])) + static_cast<double>(top[l]) - true_logit[l];
    }
    return loss;
}

// Rows from `first` on: the gradient of hidden, and added to a part the others'.
inline double softmax_block(const SoftmaxCall& c, const SoftmaxLayout& z, const float* packed, Index first, Index rows,
                            float* part) {
    using V = Vec<float>;
    constexpr Index L = softmax_lanes;
    float* work = static_cast<float*>(scratch(Slot::task, sizeof(float) * z.block()));
    float *h = work, *y = h + softmax_tiles * z.wide_h * L, *grad = y + softmax_tiles * z.wide_k * L;
    double loss = 0;
    Index tiles = 0;
    for (; tiles * L < rows; ++tiles, h += z.wide_h * L, y += z.wide_k * L) {
        const Index row = first + tiles * L, lanes = rows - tiles * L < L ? rows - tiles * L : L;
        if (lanes < L || z.wide_h > z.H) std::memset(h, 0, sizeof(float) * z.wide_h * L);
        load_rows<softmax_vectors>(c.rows + row * z.H, z.H, z.H, lanes, h);
        multiply<softmax_vectors, float>(packed + z.by_class, h, nullptr, y, z.K, z.H);
        for (Index k = 0; k < z.K; ++k)
            for (Index at = k * L; at < (k + 1) * L; at += V::width)
                (V::load(y + at) + V::splat(c.bias[k])).store(y + at);
        std::memset(y + z.K * L, 0, sizeof(float) * (z.wide_k - z.K) * L);
        loss += softmax_tile(c, row, lanes, y);
        if (c.grad_rows == nullptr) continue;
        multiply<softmax_vectors, float>(packed + z.by_unit, y, nullptr, grad, z.H, z.K);
        lanes_to_rows<softmax_vectors>(grad, z.H, lanes, c.grad_rows + row * z.H, z.H);
    }
    if (c.grad_rows == nullptr) return loss;
    outer<softmax_vectors>(work, z.wide_h * L, z.wide_h, work + softmax_tiles * z.wide_h * L, z.wide_k * L, z.K, tiles,
                           part);
    outer_ones<softmax_vectors>(work + softmax_tiles * z.wide_h * L, z.wide_k * L, z.wide_k, tiles,
                                part + z.K * z.wide_h);
    return loss;
}

inline double softmax_loss(const SoftmaxCall& c) {
    const SoftmaxLayout z(c);
    constexpr Index per_block = softmax_tiles * softmax_lanes;
    const Index blocks = (c.num_rows + per_block - 1) / per_block;
    const Index parts = blocks < most_softmax_parts ? blocks : most_softmax_parts;
    float* packed = static_cast<float*>(scratch(Slot::shared, sizeof(float) * (z.packed() + parts * z.part)));
    float* sums = packed + z.packed();
    pack_fours(c.weight, z.H, 1, z.K, z.H, packed + z.by_class);
    if (c.grad_rows != nullptr) pack_fours(c.weight, 1, z.H, z.H, z.K, packed + z.by_unit);
    parallel(parts, c.threads, [&](Index p) {
        float* part = sums + p * z.part;
        std::memset(part, 0, sizeof(float) * z.part);
        double loss = 0;
        for (Index block = p * blocks / parts; block < (p + 1) * blocks / parts; ++block) {
            const Index first = block * per_block, left = c.num_rows - first;
            loss += softmax_block(c, z, packed, first, left < per_block ? left : per_block, part);
        }
        std::memcpy(part + z.part - 2, &loss, sizeof loss);
    });
    double total = 0;
    for (Index p = 0; p < parts; ++p) {
        double loss;
        std::memcpy(&loss, sums + p * z.part + z.part - 2, sizeof loss);
        total += loss;
    }
    if (c.grad_rows == nullptr) return total;
    const auto sum = [&](Index at) {
        float all = 0;
        for (Index p = 0; p < parts; ++p) all += sums[p * z.part + at];
        return all;
    };
    for (Index k = 0; k < z.K; ++k) {
        for (Index j = 0; j < z.H; ++j) c.grad_weight[k * z.H + j] = sum(k * z.wide_h + j);
        c.grad_bias[k] = sum(z.K * z.wide_h + k);
    }
    return total;
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
