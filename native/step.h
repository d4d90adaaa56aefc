// One step of a network whose weights were packed beforehand: for streams.
//
// Few rows: the units lie in the lanes, two vectors at a time. Many: the rows do, as in a scan. Both do the same sums
// in the same order, so that a row's result does not depend on how many came with it, not in the last bit.
// Packed, per layer: the scan's weights and biases, then for each group of U = 2 * width units [K, G, U] (the rows of
// the logistic gates halved) and the biases [4, U].
#pragma once

#include "scan.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

constexpr Index group_units = 2 * width<float>;

inline Index group_size(Cell cell, Index D, Index H) { return ((D + H) * gates_of(cell) + 4) * group_units; }

inline Index packed_step_size(Cell cell, Index D, Index H) {
    return packed_layout(cell, D, H, false).total + round_up(H, group_units) / group_units * group_size(cell, D, H);
}

inline void pack_step(Cell cell, Index D, Index H, const float* ih, const float* hh, const float* bias_ih,
                      const float* bias_hh, float* packed) {
    const Index G = gates_of(cell), K = D + H;
    const Packed p = packed_layout(cell, D, H, false);
    pack_model<float>(cell, D, H, {ih, hh, bias_ih, bias_hh}, false, false, packed);
    float* groups = packed + p.total;
    std::memset(groups, 0, sizeof(float) * (packed_step_size(cell, D, H) - p.total));
    for (Index j = 0; j < H; ++j) {
        float* group = groups + j / group_units * group_size(cell, D, H);
        for (Index g = 0; g < G; ++g) {
            const Index row = g * H + j, lane = j % group_units;
            const float half = is_logistic(cell, g) ? 0.5f : 1.0f;
            for (Index k = 0; k < K; ++k)
                group[(k * G + g) * group_units + lane] = half * (k < D ? ih[row * D + k] : hh[row * H + k - D]);
        }
        const float* bias = packed + p.bias + (G == 1 ? j : j * 4);
        for (Index g = 0; g < (G == 1 ? 1 : 4); ++g) group[(K * G + g) * group_units + j % group_units] = bias[g];
    }
}

// sums[g] += weights[k, g] * values[k] over k.   weights [n, G, U], values [n] read
template <int G>
STEPAHEAD_INLINE void accumulate_units(Vec<float> (&sums)[G][2], const float* weights, const float* values, Index n) {
    constexpr int W = width<float>;
    for (Index k = 0; k < n; ++k, weights += G * group_units) {
        const Vec<float> value = Vec<float>::splat(values[k]);
        for (int g = 0; g < G; ++g)
            for (int v = 0; v < 2; ++v)
                sums[g][v] = fma(Vec<float>::load(weights + g * group_units + v * W), value, sums[g][v]);
    }
}

// What a group's sums are before its hidden units count: the biases, and what the input adds.   x [D] read
template <int G>
STEPAHEAD_INLINE void sum_inputs(Vec<float> (&sums)[G][2], Index D, Index H, const float* group, const float* x) {
    const float* bias = group + (D + H) * G * group_units;
    for (int g = 0; g < G; ++g)
        for (int v = 0; v < 2; ++v)
            sums[g][v] = Vec<float>::load(bias + g * group_units + v * width<float>);
    accumulate_units(sums, group, x, D);
}

inline Index input_sums_size(Cell cell, Index H) { return round_up(H, group_units) * gates_of(cell); }

// The same of all groups, to be kept for an input that comes again.   sums [input_sums_size] written
template <Cell cell>
inline void keep_input_sums(Index D, Index H, const float* packed, const float* x, float* to) {
    constexpr int W = width<float>, G = static_cast<int>(gates_of(cell));
    const float* group = packed + packed_layout(cell, D, H, false).total;
    for (Index j = 0; j < H; j += group_units, group += group_size(cell, D, H), to += G * group_units) {
        Vec<float> sums[G][2];
        sum_inputs(sums, D, H, group, x);
        for (int g = 0; g < G; ++g)
            for (int v = 0; v < 2; ++v) sums[g][v].store(to + g * group_units + v * W);
    }
}

inline void keep_input_sums(const StepCall& s, float* to) {
    const StepLayer& first = s.layers[0];
    with_cell(s.cell, 1, [&]<Cell C, int>() { keep_input_sums<C>(first.inputs, s.hidden, first.packed, s.x, to); });
}

// One group of units of one row.   xh [K], kept [G, U] in place of its x or null, h_before and c [U] read;
// h, c [U] written
template <Cell cell>
inline void step_group(Index D, Index H, const float* group, const float* xh, const float* kept,
                       const float* h_before, float* h, float* c) {
    using V = Vec<float>;
    constexpr int W = width<float>, G = static_cast<int>(gates_of(cell));
    V sums[G][2];
    if (kept == nullptr) {
        sum_inputs(sums, D, H, group, xh);
    } else {
        for (int g = 0; g < G; ++g)
            for (int v = 0; v < 2; ++v) sums[g][v] = V::load(kept + g * group_units + v * W);
    }
    V by_x[2];
    if constexpr (cell == Cell::gru)
        for (int v = 0; v < 2; ++v) {
            by_x[v] = sums[2][v];
            sums[2][v] = V::load(group + ((D + H) * G + 3) * group_units + v * W);
        }
    accumulate_units(sums, group + D * G * group_units, xh + D, H);
    for (int v = 0; v < 2; ++v) {
        if constexpr (cell == Cell::lstm) {
            const LstmUnit<float> u(sums[0][v], sums[1][v], sums[2][v], sums[3][v], V::load(c + v * W));
            u.c.store(c + v * W);
            u.h.store(h + v * W);
        } else if constexpr (cell == Cell::gru) {
            GruUnit<float>(sums[0][v], sums[1][v], by_x[v], sums[2][v], V::load(h_before + v * W)).h.store(h + v * W);
        } else {
            plain_unit<cell>(sums[0][v]).store(h + v * W);
        }
    }
}

// One row through all layers.   x [D]; h, c [layers, B, H] from this row on
template <Cell cell>
inline void step_row(const StepCall& s, const float* x, float* h, float* c) {
    const Index H = s.hidden, wide = round_up(H, group_units);
    for (Index layer = 0; layer < s.num_layers; ++layer, h += s.rows * H, c = at(c, s.rows * H)) {
        const Index D = s.layers[layer].inputs;
        float* xh = static_cast<float*>(scratch(Slot::task, sizeof(float) * (D + 3 * wide)));
        float *next = xh + D + wide, *cell_state = next + wide;
        std::memcpy(xh, x, sizeof(float) * D);
        std::memset(xh + D, 0, sizeof(float) * 3 * wide);
        std::memcpy(xh + D, h, sizeof(float) * H);
        if (c != nullptr) std::memcpy(cell_state, c, sizeof(float) * H);
        const float* group = s.layers[layer].packed + packed_layout(cell, D, H, false).total;
        const float* kept = layer == 0 ? s.input_sums : nullptr;
        for (Index j = 0; j < H; j += group_units, group += group_size(cell, D, H)) {
            step_group<cell>(D, H, group, xh, kept, xh + D + j, next + j, cell_state + j);
            kept = at(kept, gates_of(cell) * group_units);
        }
        std::memcpy(h, next, sizeof(float) * H);
        if (c != nullptr) std::memcpy(c, cell_state, sizeof(float) * H);
        x = h;
    }
}

// A tile of rows through all layers.
template <Cell cell, int NV>
inline void step_tile(const StepCall& s, Index b, Index lanes) {
    const Index H = s.hidden;
    const float* x = s.x + b * s.layers[0].inputs;
    for (Index layer = 0; layer < s.num_layers; ++layer) {
        const Index D = s.layers[layer].inputs, state = (layer * s.rows + b) * H;
        const Packed p = packed_layout(cell, D, H, false);
        TileForward<float> f{};
        f.scan = {1, D, H, lanes, false, nullptr};
        for (Index l = 0; l < lanes; ++l) f.x[l] = x + l * D;
        f.x_stride_i = 1;
        f.weights = s.layers[layer].packed + p.weights;
        f.bias = s.layers[layer].packed + p.bias;
        f.h0 = f.h_n = s.h + state;
        if (s.c != nullptr) f.c0 = f.c_n = s.c + state;
        f.memory =
            static_cast<float*>(scratch(Slot::task, sizeof(float) * Memory<cell, NV, float>::size_without_steps(D, H)));
        forward_tile<cell, NV, float>(f);
        x = s.h + state;
    }
}

inline void step(const StepCall& s) {
    if (s.rows * s.hidden == 0) return;
    const Index vectors = choose_vectors<float>(s.rows);
    with_cell(s.cell, vectors, [&]<Cell C, int NV>() {
        constexpr Index L = NV * width<float>;
        if (s.rows <= width<float> / 2) {
            for (Index b = 0; b < s.rows; ++b)
                step_row<C>(s, s.x + b * s.layers[0].inputs, s.h + b * s.hidden, at(s.c, b * s.hidden));
            return;
        }
        parallel((s.rows + L - 1) / L, s.threads, [&](Index tile) {
            const Index b = tile * L;
            step_tile<C, NV>(s, b, s.rows - b < L ? s.rows - b : L);
        });
    });
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
