// Weights from torch's layout into the order in which the kernels read them, and gradients back.
//
// A unit's gates lie together: row r = j * G + g of what follows is row g * H + j of torch's.
#pragma once

#include "kernel.h"
#include "simd.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

template <class T>
struct Weights {                 // of one model, in torch's layout
    const T *ih, *hh;            // [G*H, D], [G*H, H]
    const T *bias_ih, *bias_hh;  // [G*H] or null
};

constexpr Index round_up(Index n, Index to) { return (n + to - 1) / to * to; }

// Sums of one step: G*H and padding.
inline Index gradient_rows(Cell cell, Index H) { return round_up(gates_of(cell) * H, 4); }

// Where the packed parts of one model begin, in elements.
struct Packed {
    Index weights, bias, back_h, back_x, total;
};

inline Packed packed_layout(Cell cell, Index D, Index H, bool backward) {
    const Index G = gates_of(cell), units = round_up(H, 4);
    Packed p{};
    p.bias = units * (G == 1 ? 1 : G) * (D + H);
    p.back_h = p.bias + units * 4;
    p.back_x = p.back_h + (backward ? units * G * H : 0);
    p.total = round_up(p.back_x + (backward ? round_up(D, 4) * G * H : 0), 16);
    return p;
}

inline bool is_logistic(Cell cell, Index gate) {
    return cell == Cell::lstm ? gate != 2 : cell == Cell::gru && gate != 2;
}

// Plain cells: [ceil(H/4), K, 4]; lstm: [H, K, 4]; gru: [H, K, 3].
template <class T>
inline void pack_forward(Cell cell, Index D, Index H, const Weights<T>& w, T* packed, T* bias) {
    const Index K = D + H, G = gates_of(cell), R = G == 1 ? 4 : G, rows = G * H;
    for (Index row = 0; row < round_up(rows, G == 1 ? 4 : 1); ++row) {
        const Index j = G == 1 ? row : row / G, g = G == 1 ? 0 : row % G, from = g * H + j;
        T* to = G == 1 ? packed + row / 4 * K * 4 + row % 4 : packed + j * K * R + g;
        const bool there = from < rows;
        const T half = is_logistic(cell, g) ? T(0.5) : T(1);
        for (Index k = 0; k < D; ++k) to[k * R] = there ? half * w.ih[from * D + k] : T(0);
        for (Index k = 0; k < H; ++k) to[(D + k) * R] = there ? half * w.hh[from * H + k] : T(0);
        const T by_x = there && w.bias_ih != nullptr ? w.bias_ih[from] : T(0);
        const T by_h = there && w.bias_hh != nullptr ? w.bias_hh[from] : T(0);
        if (cell == Cell::gru && g == 2) {
            bias[j * 4 + 2] = by_x;
            bias[j * 4 + 3] = by_h;
        } else {
            bias[G == 1 ? row : j * 4 + g] = half * (by_x + by_h);
        }
    }
}

// A table of what symbols add to the sums, [V, G*H], as rows that begin those sums: [V, gradient_rows].
template <class T>
inline void pack_table(Cell cell, Index H, const T* table, Index size, const T* bias, T* packed) {
    const Index G = gates_of(cell), R = gradient_rows(cell, H);
    for (Index v = 0; v < size; ++v, table += G * H, packed += R)
        for (Index row = 0; row < R; ++row) {
            const Index j = row / G, g = row % G;
            const T half = is_logistic(cell, g) ? T(0.5) : T(1);
            packed[row] = j < H ? half * table[g * H + j] + bias[G == 1 ? j : j * 4 + g] : T(0);
        }
}

// [ceil(n/4), G*H, 4] of the transpose, for `multiply`: how the n inputs of a product feel its G*H rows.
template <class T>
inline void pack_backward(Cell cell, Index n, Index H, const T* weight, T* packed) {
    const Index G = gates_of(cell), rows = G * H;
    for (Index i = 0; i < round_up(n, 4); ++i) {
        T* to = packed + i / 4 * rows * 4 + i % 4;
        for (Index j = 0; j < H; ++j)
            for (Index g = 0; g < G; ++g) to[(j * G + g) * 4] = i < n ? weight[(g * H + j) * n + i] : T(0);
    }
}

template <class T>
inline void pack_model(Cell cell, Index D, Index H, const Weights<T>& w, bool backward, bool wants_x, T* packed) {
    const Packed p = packed_layout(cell, D, H, backward);
    pack_forward(cell, D, H, w, packed + p.weights, packed + p.bias);
    if (backward) pack_backward(cell, H, H, w.hh, packed + p.back_h);
    if (backward && wants_x) pack_backward(cell, D, H, w.ih, packed + p.back_x);
}

// The gradient of one model as a tile's rows accumulate it: [K, gradient_rows] and the biases [2, gradient_rows] (the
// second only by the gru).
inline Index gradient_size(Cell cell, Index D, Index H) { return round_up(gradient_rows(cell, H) * (D + H + 2), 16); }

template <class T>
struct Gradients {  // of one model, in torch's layout, written; null where not wanted
    T *ih, *hh, *bias_ih, *bias_hh;
};

// Add up `parts` partial gradients, `size` apart, in their order, and turn them into torch's layout.
template <class T>
inline void unpack_gradients(Cell cell, Index D, Index H, const T* partial, Index parts, Index size,
                             const Gradients<T>& out) {
    const Index G = gates_of(cell), R = gradient_rows(cell, H), K = D + H;
    const auto sum = [&](Index at) {
        T total = partial[at];
        for (Index p = 1; p < parts; ++p) total += partial[p * size + at];
        return total;
    };
    for (Index j = 0; j < H; ++j)
        for (Index g = 0; g < G; ++g) {
            const Index to = g * H + j, from = j * G + g;
            for (Index k = 0; k < D; ++k) out.ih[to * D + k] = sum(k * R + from);
            for (Index k = 0; k < H; ++k) out.hh[to * H + k] = sum((D + k) * R + from);
            if (out.bias_ih != nullptr) out.bias_ih[to] = sum(K * R + from);
            if (out.bias_hh != nullptr) out.bias_hh[to] = sum((cell == Cell::gru ? K + 1 : K) * R + from);
        }
}

// Add up the parts' gradients of a table, [V, gradient_rows] each, `size` apart, and turn them into torch's layout.
template <class T>
inline void unpack_table(Cell cell, Index H, const T* partial, Index parts, Index size, Index symbols, T* out) {
    const Index G = gates_of(cell), R = gradient_rows(cell, H);
    for (Index v = 0; v < symbols; ++v)
        for (Index row = 0; row < G * H; ++row) {
            T total = partial[v * R + row];
            for (Index p = 1; p < parts; ++p) total += partial[p * size + v * R + row];
            out[v * G * H + row % G * H + row / G] = total;
        }
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
