// The scan of one tile: up to L rows of one model, through all steps, forward and backward.
//
// Slot s is the s-th step taken; the time it stands for is s, or T-1-s in reverse. What backward needs lies in one
// block of memory per tile: xh [T+1, K, L] (inputs of step s, then the state before it), kept [T, H, keeps, L]; and the
// lstm's c, in two slots. Rows beyond their length hold their state: their output is zero, their gradient passes by.
#pragma once

#include <cstring>

#include "cells.h"
#include "packing.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

constexpr int max_lanes = 3 * width<float>;
constexpr Index gathered_lanes = 192;  // of steps one after the other, for the weights' gradient

struct Scan {
    Index steps, inputs, hidden, lanes;  // T, D, H, rows in this tile
    bool reverse;
    const Index* lengths;  // [lanes] or null
    Index time(Index s) const { return reverse ? steps - 1 - s : s; }
};

template <Cell cell, int NV, class T>
struct Memory {
    using S = Step<cell, NV, T>;
    static constexpr Index L = NV * width<T>;
    static constexpr bool has_c = cell == Cell::lstm;

    static Index size(Index steps, Index D, Index H) {
        return ((steps + 1) * (D + H) + (has_c ? 2 * H : 0) + steps * H * S::keeps) * L;
    }
    static Index size_without_steps(Index D, Index H) { return (2 * (D + H) + 2 * H) * L; }

    Memory(T* memory, Index steps, Index D, Index H)
        : xh(memory), c(xh + (steps + 1) * (D + H) * L), kept(c + (has_c ? 2 * H * L : 0)) {}

    T *xh, *c, *kept;
};

// Which lanes are within their length, at one time. Those that stand for no row never are: what grew in them without end
// would turn the weights' gradient into 0 * inf.
template <int NV, class T>
struct Active {
    using V = Vec<T>;
    V mask[NV];
    bool all;

    Active(const Scan& scan, Index time, bool learns) : all(!learns || scan.lanes == NV * V::width) {
        if (all && scan.lengths == nullptr) return;
        T length[NV * V::width];
        for (Index l = 0; l < NV * V::width; ++l) {
            const Index steps = l >= scan.lanes ? 0 : scan.lengths == nullptr ? scan.steps : scan.lengths[l];
            all = all && time < steps;
            length[l] = static_cast<T>(steps);
        }
        for (int v = 0; v < NV; ++v) mask[v] = less(V::splat(static_cast<T>(time)), V::load(length + v * V::width));
    }

    // to[i] = active ? to[i] : otherwise[i] (null: zero), for n rows of lanes
    void keep(T* to, const T* otherwise, Index n) const {
        for (Index i = 0; i < n; ++i)
            for (int v = 0; v < NV; ++v) {
                const Index at = (i * NV + v) * V::width;
                const V other = otherwise == nullptr ? V::splat(T(0)) : V::load(otherwise + at);
                select(mask[v], V::load(to + at), other).store(to + at);
            }
    }
};

template <class T>
struct TileForward {
    Scan scan;
    const T* x[max_lanes];  // the first step of each row
    Index x_stride_t, x_stride_i;
    const T *shift, *factor;  // [D, L] or null: x becomes (x - shift) * factor
    const T *weights, *bias;  // packed
    const T *h0, *c0;         // [lanes, H] or null
    T* outputs;               // of the first row, or null
    Index outputs_stride_t, outputs_stride_b;
    T *h_n, *c_n;  // [lanes, H] or null
    T* memory;     // Memory::size, or size_without_steps
    bool keep;     // for backward
    bool streams;  // what is kept goes past the caches: memory is then as a vector is aligned
    const T* table;                // [V, gradient_rows], packed, or null
    const Index* codes[max_lanes];  // the first step of each row
    Index codes_stride_t;
    T* start;  // [gradient_rows, L], workspace of the table
};

template <int NV, class T>
inline void load_rows(const T* rows, Index stride, Index n, Index lanes, T* to) {
    const T* from[max_lanes];
    for (Index l = 0; l < lanes; ++l) from[l] = rows + l * stride;
    rows_to_lanes<NV>(from, 0, 1, n, lanes, to);
}

// [lanes, H] into [H, L]; zeros for null and for lanes that stand for no row.
template <int NV, class T>
inline void load_state(const T* rows, Index H, Index lanes, T* to) {
    if (rows == nullptr || lanes < NV * width<T>) std::memset(to, 0, sizeof(T) * H * NV * width<T>);
    if (rows != nullptr) load_rows<NV>(rows, H, H, lanes, to);
}

template <Cell cell, int NV, class T>
void pack_x(const TileForward<T>& a, Index time, const Active<NV, T>& active, T* to) {
    using V = Vec<T>;
    const Index D = a.scan.inputs, L = NV * V::width;
    if (a.scan.lanes < L) std::memset(to, 0, sizeof(T) * D * L);
    rows_to_lanes<NV>(a.x, time * a.x_stride_t, a.x_stride_i, D, a.scan.lanes, to);
    if (a.shift != nullptr)
        for (Index at = 0; at < D * L; at += V::width)
            ((V::load(to + at) - V::load(a.shift + at)) * V::load(a.factor + at)).store(to + at);
    // What stands beyond a row's end may be anything, NaN too.
    if (!active.all) active.keep(to, nullptr, D);
}

// The table's rows of one step's symbols, side by side.
template <Cell cell, int NV, class T>
void pack_codes(const TileForward<T>& a, Index time) {
    const Index R = gradient_rows(cell, a.scan.hidden);
    const T* from[max_lanes];
    for (Index l = 0; l < a.scan.lanes; ++l) from[l] = a.table + a.codes[l][time * a.codes_stride_t] * R;
    rows_to_lanes<NV>(from, 0, 1, R, a.scan.lanes, a.start);
}

template <int NV, class T>
void write_outputs(const TileForward<T>& a, Index time, const Active<NV, T>& active, const T* h) {
    T* to = a.outputs + time * a.outputs_stride_t;
    lanes_to_rows<NV>(h, a.scan.hidden, a.scan.lanes, to, a.outputs_stride_b);
    if (active.all || a.scan.lengths == nullptr) return;
    for (Index l = 0; l < a.scan.lanes; ++l)
        if (time >= a.scan.lengths[l]) std::memset(to + l * a.outputs_stride_b, 0, sizeof(T) * a.scan.hidden);
}

template <Cell cell, int NV, class T>
void forward_tile(const TileForward<T>& a) {
    using M = Memory<cell, NV, T>;
    constexpr Index L = M::L;
    const Index steps = a.scan.steps, D = a.scan.inputs, H = a.scan.hidden, K = D + H;
    // Without backward two slots take turns; c stays in its place unless rows must get theirs back.
    const M memory(a.memory, a.keep ? steps : 1, D, H);
    load_state<NV>(a.h0, H, a.scan.lanes, memory.xh + D * L);
    if (M::has_c) load_state<NV>(a.c0, H, a.scan.lanes, memory.c);
    if (a.table != nullptr) std::memset(a.start, 0, sizeof(T) * gradient_rows(cell, H) * L);
    const auto slot = [&](Index s) { return memory.xh + (a.keep ? s : s % 2) * K * L; };
    T* c = memory.c;
    for (Index s = 0; s < steps; ++s) {
        const Index time = a.scan.time(s);
        const Active<NV, T> active(a.scan, time, a.keep);
        T *xh = slot(s), *h = slot(s + 1) + D * L, *c_before = c;
        if (M::has_c && !active.all) c = memory.c + (c == memory.c ? H * L : 0);
        if (a.table != nullptr) pack_codes<cell, NV>(a, time);
        pack_x<cell, NV>(a, time, active, xh);
        T* kept = a.keep ? memory.kept + s * H * M::S::keeps * L : nullptr;
        const T* start = a.table == nullptr ? nullptr : a.start;
        M::S::forward({D, H, a.weights, a.bias, start, xh, h, c_before, c, kept, a.streams});
        if (!active.all) {
            active.keep(h, xh + D * L, H);
            if (M::has_c) active.keep(c, c_before, H);
        }
        if (a.outputs != nullptr) write_outputs<NV>(a, time, active, h);
    }
    if (a.streams) finish_streams();
    if (a.h_n != nullptr) lanes_to_rows<NV>(slot(steps) + D * L, H, a.scan.lanes, a.h_n, H);
    if (M::has_c && a.c_n != nullptr) lanes_to_rows<NV>(c, H, a.scan.lanes, a.c_n, H);
}

template <class T>
struct TileBackward {
    Scan scan;
    const T *back_h, *back_x;  // packed; back_x null where the gradient of x is not wanted
    T* memory;                 // from forward_tile, read
    bool streams;              // it comes past the caches
    const T* grad_outputs;     // of the first row, or null
    Index grad_outputs_stride_t, grad_outputs_stride_b, grad_outputs_stride_i;
    T* grad_x;  // of the first row, or null
    Index grad_x_stride_t, grad_x_stride_b;
    T* gradient;         // [gradient_size], added to; null where not wanted
    T *grad_h, *grad_c;  // [H, L]: after the last step in, before the first step out
    bool wants_start;    // whether grad_h is wanted out
    T* workspace;        // backward_workspace
    T* grad_table;       // [V, gradient_rows], added to, or null
    const Index* codes[max_lanes];
    Index codes_stride_t;
};

// Steps whose gradients are gathered before they meet the inputs: enough to pay for fetching the sums so far, few
// enough for a panel of them to stay in the first cache.
inline Index block_steps(Index lanes, Index steps) {
    const Index block = (gathered_lanes + lanes - 1) / lanes;
    return block < steps ? block : steps;
}

template <Cell cell, int NV, class T>
inline Index backward_workspace(Index steps, Index D, Index H) {
    const Index L = NV * width<T>, rows = padded_rows<T>(cell, H);
    const Index gradients = rows * L + round_up(rows, panel_rows<T>) * block_steps(L, steps) * L;
    return gradients * (cell == Cell::gru ? 2 : 1) + (3 * H + (D > H ? D : H) + block_steps(L, steps) * H) * L;
}

template <Cell cell, int NV, class T>
struct BackwardTile {
    using M = Memory<cell, NV, T>;
    using S = typename M::S;
    static constexpr Index L = M::L;

    const TileBackward<T>& a;
    const Index D = a.scan.inputs, H = a.scan.hidden, K = D + H, rows = padded_rows<T>(cell, H);
    const Index block = block_steps(L, a.scan.steps), lanes = block * L;
    const Index turned = round_up(rows, panel_rows<T>) * lanes;
    const M memory{a.memory, a.scan.steps, D, H};
    T* const by_x = a.workspace;                                          // [rows, L]
    T* const by_h = cell == Cell::gru ? by_x + rows * L : by_x;           // [rows, L]
    T* const turned_x = by_h + rows * L;                                  // [panels, lanes, panel_rows]
    T* const turned_h = cell == Cell::gru ? turned_x + turned : turned_x;  // [panels, lanes, panel_rows]
    T* const carry = turned_h + turned;                                   // [H, L]
    T* const h_copy = carry + H * L;                                      // [H, L]
    T* const c_copy = h_copy + H * L;                                     // [H, L]
    T* const rows_copy = c_copy + H * L;                                  // [max(D, H), L]
    T* const turned_outputs = rows_copy + (D > H ? D : H) * L;            // [block, H, L]
    const bool adjoin = a.grad_outputs != nullptr && a.grad_outputs_stride_i == 1 && a.grad_outputs_stride_t == H;
    Index first_time = 0;  // of the block

    void run() {
        std::memset(by_x, 0, sizeof(T) * (turned_x - by_x));
        std::memset(rows_copy, 0, sizeof(T) * (D > H ? D : H) * L);
        for (Index last = a.scan.steps - 1; last >= 0; last -= block) {
            const Index count = last + 1 < block ? last + 1 : block;
            if (adjoin) turn_block(last, count);
            for (Index i = 0; i < count; ++i) {
                step(last - i);
                if (a.gradient == nullptr) continue;
                turn<NV>(by_x, rows, i * L, lanes, turned_x);
                if (cell == Cell::gru) turn<NV>(by_h, rows, i * L, lanes, turned_h);
            }
            if (a.gradient != nullptr) gather(last, count);
        }
    }

    void step(Index s) {
        T *x = by_x, *h = by_h;
        const Index time = a.scan.time(s);
        const Active<NV, T> active(a.scan, time, true);
        if (a.grad_outputs != nullptr) add_outputs(time, active);
        if (!active.all) {
            std::memcpy(h_copy, a.grad_h, sizeof(T) * H * L);
            if (M::has_c) std::memcpy(c_copy, a.grad_c, sizeof(T) * H * L);
            if (cell != Cell::gru) std::memset(carry, 0, sizeof(T) * H * L);
        }
        const T *kept = memory.kept + s * H * S::keeps * L, *before = memory.xh + s * K * L + D * L;
        S::backward({H, a.grad_h, a.grad_c, kept, before, before + K * L, x, h, carry});
        if (!active.all) {
            active.keep(x, nullptr, S::gates * H);
            if (h != x) active.keep(h, nullptr, S::gates * H);
            active.keep(carry, h_copy, H);
            if (M::has_c) active.keep(a.grad_c, c_copy, H);
        }
        const T* start = cell == Cell::gru || !active.all ? carry : nullptr;
        const Index next = s > 0 ? H * S::keeps * L : 0;  // what the step before kept is wanted next
        const Ahead<T> ahead{kept - next, next, a.streams};
        if (s > 0 || a.wants_start) multiply<NV>(a.back_h, h, start, a.grad_h, H, S::gates * H, ahead);
        if (a.grad_x != nullptr) {
            multiply<NV, T>(a.back_x, x, nullptr, rows_copy, D, S::gates * H);
            lanes_to_rows<NV>(rows_copy, D, a.scan.lanes, a.grad_x + time * a.grad_x_stride_t, a.grad_x_stride_b);
        }
    }

    void add_outputs(Index time, const Active<NV, T>& active) {
        using V = Vec<T>;
        T* rows = adjoin ? turned_outputs + (time - first_time) * H * L : rows_copy;
        if (!adjoin) turn_outputs(time * a.grad_outputs_stride_t, H, rows);
        if (!active.all) active.keep(rows, nullptr, H);
        for (Index at = 0; at < H * L; at += V::width)
            (V::load(a.grad_h + at) + V::load(rows + at)).store(a.grad_h + at);
    }

    // The outputs' gradients of a block of steps, where those of a row adjoin: it is read line after line.
    void turn_block(Index last, Index count) {
        const Index one = a.scan.time(last), other = a.scan.time(last - count + 1);
        first_time = one < other ? one : other;
        turn_outputs(first_time * H, count * H, turned_outputs);
    }

    // to [n, L] written: zero where a lane stands for no row.
    void turn_outputs(Index offset, Index n, T* to) {
        const T* from[max_lanes];
        for (Index l = 0; l < a.scan.lanes; ++l) from[l] = a.grad_outputs + l * a.grad_outputs_stride_b;
        if (a.scan.lanes < L) std::memset(to, 0, sizeof(T) * n * L);
        rows_to_lanes<NV>(from, offset, a.grad_outputs_stride_i, n, a.scan.lanes, to);
    }

    // The weights' gradient from steps last, last - 1, ...
    void gather(Index last, Index count) {
        const T* xh = memory.xh + last * K * L;
        const Index biases = K * rows;
        if (cell == Cell::gru) {
            outer_turned<NV>(xh, -K * L, D, turned_x, rows, count, lanes, a.gradient);
            outer_turned<NV>(xh + D * L, -K * L, H, turned_h, rows, count, lanes, a.gradient + D * rows);
            sum_turned(turned_h, rows, count * L, lanes, a.gradient + biases + rows);
        } else {
            outer_turned<NV>(xh, -K * L, K, turned_x, rows, count, lanes, a.gradient);
        }
        sum_turned(turned_x, rows, count * L, lanes, a.gradient + biases);
        if (a.grad_table != nullptr)
            for (Index i = 0; i < count; ++i) add_to_table(a.scan.time(last - i), i * L);
    }

    // Each row's gradient goes to its symbol's.
    void add_to_table(Index time, Index first) {
        using V = Vec<T>;
        const Index R = gradient_rows(cell, H);
        for (Index l = 0; l < a.scan.lanes; ++l) {
            T* to = a.grad_table + a.codes[l][time * a.codes_stride_t] * R;
            for (Index r = 0; r < R; r += panel_rows<T>) {
                const T* from = turned_x + (r / panel_rows<T> * lanes + first + l) * panel_rows<T>;
                const Index n = R - r < panel_rows<T> ? R - r : panel_rows<T>;
                Index i = 0;
                for (; i + V::width <= n; i += V::width) (V::load(to + r + i) + V::load(from + i)).store(to + r + i);
                for (; i < n; ++i) to[r + i] += from[i];
            }
        }
    }
};

template <Cell cell, int NV, class T>
void backward_tile(const TileBackward<T>& a) {
    BackwardTile<cell, NV, T>{a}.run();
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
