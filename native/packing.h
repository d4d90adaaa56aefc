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

// Large weights are packed in pieces, so that several threads may.
struct Piece {
    Index number, count;
    Index first(Index n) const { return fours(n) * number / count * 4; }
    Index last(Index n) const { return number + 1 == count ? n : fours(n) * (number + 1) / count * 4; }
    static Index fours(Index n) { return (n + 3) / 4; }
};
constexpr Piece whole = {0, 1};

// Plain cells: [ceil(H/4), K, 4]; lstm: [H, K, 4]; gru: [H, K, 3].   The piece is one of units.
template <class T>
inline void pack_forward(Cell cell, Index D, Index H, const Weights<T>& w, const Piece& piece, T* packed, T* bias) {
    const Index K = D + H, G = gates_of(cell), R = G == 1 ? 4 : G, rows = G * H;
    for (Index row = piece.first(H) * G; row < round_up(piece.last(H) * G, G == 1 ? 4 : 1); ++row) {
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

// [ceil(n/4), G*H, 4] of the transpose, for `multiply`: how the n inputs of a product feel its G*H rows. The piece
// is one of inputs.
template <class T>
inline void pack_backward(Cell cell, Index n, Index H, const T* weight, const Piece& piece, T* packed) {
    const Index G = gates_of(cell), rows = G * H, last = piece.last(n);
    // A line of a row at a time: along a column every number would come from another one.
    for (Index first = piece.first(n); first < last; first += 16)
        for (Index j = 0; j < H; ++j)
            for (Index g = 0; g < G; ++g) {
                const T* from = weight + (g * H + j) * n;
                for (Index i = first; i < last && i < first + 16; i += 4) {
                    T* to = packed + (i * rows / 4 + j * G + g) * 4;
                    for (Index r = 0; r < 4; ++r) to[r] = i + r < n ? from[i + r] : T(0);
                }
            }
}

template <class T>
inline void pack_model(Cell cell, Index D, Index H, const Weights<T>& w, bool backward, bool wants_x, T* packed) {
    const Packed p = packed_layout(cell, D, H, backward);
    pack_forward(cell, D, H, w, whole, packed + p.weights, packed + p.bias);
    if (backward) pack_backward(cell, H, H, w.hh, whole, packed + p.back_h);
    if (backward && wants_x) pack_backward(cell, D, H, w.ih, whole, packed + p.back_x);
}

// The gradient of one model as a tile's rows accumulate it: [K, R] and the biases [2, R] (the second only by the gru),
// R whole vectors.
template <class T>
inline Index padded_rows(Cell cell, Index H) {
    return round_up(gates_of(cell) * H, width<T>);
}
template <class T>
inline Index gradient_size(Cell cell, Index D, Index H) {
    return round_up(padded_rows<T>(cell, H) * (D + H + 2), 16);
}

template <class T>
struct Gradients {  // of one model, in torch's layout, written; null where not wanted
    T *ih, *hh, *bias_ih, *bias_hh;
};

// Add up `parts` partial gradients, `size` apart, in their order (the first becomes the sum), and turn a piece of units
// into torch's layout.
template <class T>
inline void unpack_gradients(Cell cell, Index D, Index H, const Piece& piece, T* partial, Index parts, Index size,
                             const Gradients<T>& out) {
    const Index G = gates_of(cell), R = padded_rows<T>(cell, H), K = D + H;
    const Index first = piece.first(H), last = piece.last(H);
    for (Index k = 0; k < K + (cell == Cell::gru ? 2 : 1); ++k)
        for (Index p = 1; p < parts; ++p) {
            T* STEPAHEAD_RESTRICT to = partial + k * R;
            const T* STEPAHEAD_RESTRICT from = to + p * size;
            for (Index r = first * G; r < last * G; ++r) to[r] += from[r];
        }
    // A line of `out` at a time.
    for (Index k0 = 0; k0 < K; k0 += 16)
        for (Index j = first; j < last; ++j)
            for (Index g = 0; g < G; ++g) {
                const Index to = g * H + j, end = k0 + 16 < K ? k0 + 16 : K;
                for (Index k = k0; k < end; ++k)
                    (k < D ? out.ih[to * D + k] : out.hh[to * H + k - D]) = partial[k * R + j * G + g];
            }
    for (Index j = first; j < last; ++j)
        for (Index g = 0; g < G; ++g) {
            const T* bias = partial + K * R + j * G + g;
            if (out.bias_ih != nullptr) out.bias_ih[g * H + j] = bias[0];
            if (out.bias_hh != nullptr) out.bias_hh[g * H + j] = bias[cell == Cell::gru ? R : 0];
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
