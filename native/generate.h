// Going on after a symbol: step, head, choice, again, without a way back to Python in between.
//
// The head is packed with its classes in the lanes: for each group of `group_classes` classes [H, classes], then the
// biases [classes].
#pragma once

#include <algorithm>
#include <cmath>

#include "step.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

constexpr int group_vectors = 4;
constexpr Index group_classes = group_vectors * width<float>;

inline Index packed_head_size(Index H, Index classes) { return round_up(classes, group_classes) * (H + 1); }

inline void pack_head(Index H, Index classes, const float* head, const float* bias, float* packed) {
    std::memset(packed, 0, sizeof(float) * packed_head_size(H, classes));
    for (Index k = 0; k < classes; ++k) {
        float* group = packed + k / group_classes * group_classes * (H + 1) + k % group_classes;
        for (Index j = 0; j < H; ++j) group[j * group_classes] = head[k * H + j];
        group[H * group_classes] = bias[k];
    }
}

// logits [round_up(classes, group_classes)] written
inline void head_logits(Index H, Index classes, const float* packed, const float* h, float* logits) {
    using V = Vec<float>;
    for (Index k = 0; k < classes; k += group_classes) {
        V even[group_vectors], odd[group_vectors];
        const float* weights = packed + k * (H + 1);
        for (int v = 0; v < group_vectors; ++v) {
            even[v] = V::load(weights + H * group_classes + v * V::width);
            odd[v] = V::splat(0);
        }
        // Two sums a class: one alone would wait for itself.
        for (Index j = 0; j + 1 < H; j += 2, weights += 2 * group_classes) {
            const V first = V::splat(h[j]), second = V::splat(h[j + 1]);
            for (int v = 0; v < group_vectors; ++v) {
                even[v] = fma(V::load(weights + v * V::width), first, even[v]);
                odd[v] = fma(V::load(weights + group_classes + v * V::width), second, odd[v]);
            }
        }
        for (int v = 0; v < group_vectors; ++v) {
            if (H % 2 == 1) even[v] = fma(V::load(weights + v * V::width), V::splat(h[H - 1]), even[v]);
            (even[v] + odd[v]).store(logits + k + v * V::width);
        }
    }
}

// Room for choosing: odds [classes], order [classes].
struct Choice {
    double* odds;
    Index* order;
};

// The class that `uniform` in [0, 1) falls on, among those that top_k and top_p leave; runtime/symbols.py `pick`.
inline Index draw(const GenerateCall& g, const float* logits, double uniform, const Choice& room) {
    const float most = *std::max_element(logits, logits + g.classes);
    for (Index k = 0; k < g.classes; ++k)
        room.odds[k] = std::exp((static_cast<double>(logits[k]) - static_cast<double>(most)) / g.temperature);
    Index count = g.classes;
    for (Index k = 0; k < count; ++k) room.order[k] = k;
    if (g.top_k > 0 || g.top_p < 1) {
        std::stable_sort(room.order, room.order + count,
                         [&](Index a, Index b) { return room.odds[a] > room.odds[b]; });
        if (g.top_k > 0 && g.top_k < count) count = g.top_k;
    }
    double total = 0, reached = 0;
    for (Index i = 0; i < count; ++i) total += room.odds[room.order[i]];
    if (g.top_p < 1) {
        const double enough = g.top_p * total;
        Index kept = 0;
        for (total = 0; kept < count && total < enough; ++kept) total += room.odds[room.order[kept]];
        count = kept;
    }
    for (Index i = 0; i + 1 < count; ++i) {
        reached += room.odds[room.order[i]];
        if (uniform * total < reached) return room.order[i];
    }
    return room.order[count - 1];
}

constexpr Index most_kept = Index{1} << 20;  // floats: what symbols add is kept while it stays in the second cache

inline Index generate(const GenerateCall& g) {
    const Index H = g.step.hidden, padded = round_up(g.classes, group_classes);
    const Index size = input_sums_size(g.step.cell, H), kept = g.classes * size <= most_kept ? g.classes : 0;
    char* memory = static_cast<char*>(scratch(
        Slot::shared, sizeof(float) * (padded + kept * size) + (sizeof(double) + sizeof(Index) + 1) * g.classes));
    float *logits = reinterpret_cast<float*>(memory), *sums = logits + padded;
    char* rest = reinterpret_cast<char*>(sums + kept * size);
    const Choice room = {reinterpret_cast<double*>(rest), reinterpret_cast<Index*>(rest + sizeof(double) * g.classes)};
    char* known = rest + (sizeof(double) + sizeof(Index)) * g.classes;
    std::memset(known, 0, static_cast<std::size_t>(g.classes));
    Index code = g.code;
    for (Index n = 0; n < g.length; ++n) {
        StepCall step = g.step;
        step.x = g.rows + code * g.step.layers[0].inputs;
        if (code < kept) {
            step.input_sums = sums + code * size;
            if (!known[code]) keep_input_sums(step, sums + code * size);
            known[code] = 1;
        }
        stepahead::STEPAHEAD_ISA::step(step);
        head_logits(H, g.classes, g.head, step.h + (step.num_layers - 1) * H, logits);
        code = g.uniforms == nullptr ? std::max_element(logits, logits + g.classes) - logits
                                     : draw(g, logits, g.uniforms[n], room);
        if (code == g.end) return n;
        g.codes[n] = code;
    }
    return g.length;
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
