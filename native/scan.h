// A whole layer in one direction: models and tiles of rows become tasks.
#pragma once

#include "pool.h"
#include "tile.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

// How the rows of one model are cut. By the sizes alone, never by the number of threads: the weights' gradient is
// added up part by part, and must not change with the machine's load.
struct Cut {
    Index vectors;  // per tile: NV
    Index tiles, parts;
};

// Parts of a gradient of so many numbers: enough to share out, within a bound on memory.
inline Index most_parts(Index tiles, Index size) {
    const Index fit = (Index(1) << 23) / (size + 1), most = fit < 4 ? 4 : fit > 32 ? 32 : fit;
    return tiles < most ? tiles : most;
}

// Vectors per tile: wide tiles use the registers best, narrow ones waste fewer lanes and share out more evenly.
template <class T>
inline Index choose_vectors(Index rows) {
    const double cost[] = {1.6, 2.15, 3.0};  // measured, of a tile of 1, 2, 3 vectors
    Index best = 1;
    double least = 0;
    for (Index n = 1; n <= 3; ++n) {
        const Index tiles = (rows + n * width<T> - 1) / (n * width<T>);
        const double total = (tiles + 1) / 2 * cost[n - 1];
        if (n == 1 || total < least) {
            best = n;
            least = total;
        }
    }
    return best;
}

template <class T>
inline Cut cut_rows(const Sizes& z) {
    Cut cut;
    cut.vectors = choose_vectors<T>(z.rows);
    const Index lanes = cut.vectors * width<T>;
    cut.tiles = (z.rows + lanes - 1) / lanes;
    cut.parts = most_parts(cut.tiles, gradient_size<T>(z.cell, z.inputs, z.hidden));
    return cut;
}

// Calls function.template operator()<cell, NV>() for the values at run time.
template <class Function>
inline void with_cell(Cell cell, Index vectors, Function&& function) {
    const auto with_vectors = [&]<Cell C>() {
        switch (vectors) {
            case 1: function.template operator()<C, 1>(); break;
            case 2: function.template operator()<C, 2>(); break;
            default: function.template operator()<C, 3>();
        }
    };
    switch (cell) {
        case Cell::rnn_tanh: with_vectors.template operator()<Cell::rnn_tanh>(); break;
        case Cell::rnn_relu: with_vectors.template operator()<Cell::rnn_relu>(); break;
        case Cell::lstm: with_vectors.template operator()<Cell::lstm>(); break;
        case Cell::gru: with_vectors.template operator()<Cell::gru>(); break;
    }
}

template <class T>
Index saved_size(const Sizes& z) {
    const Cut cut = cut_rows<T>(z);
    Index size = 0;
    with_cell(z.cell, cut.vectors,
              [&]<Cell C, int NV>() { size = Memory<C, NV, T>::size(z.steps, z.inputs, z.hidden); });
    return size * cut.tiles * z.models;
}

// Where what a layer keeps for backward may go past the caches, it does if it is more than this: it would only push out
// of the second one what is wanted sooner, the code and data of the caller among it.
constexpr Index cached_bytes = Index(8) << 20;

template <class M, class T>
inline bool streams(const Sizes& z, const Cut& cut, const T* saved) {
    const Index bytes = M::size(z.steps, z.inputs, z.hidden) * cut.tiles * z.models * Index(sizeof(T));
    const bool aligned = reinterpret_cast<std::uintptr_t>(saved) % (sizeof(T) * width<T>) == 0;
    return past_caches() && bytes > cached_bytes && aligned;
}

template <class T>
inline const T* at(const T* base, Index offset) {
    return base == nullptr ? nullptr : base + offset;
}
template <class T>
inline T* at(T* base, Index offset) {
    return base == nullptr ? nullptr : base + offset;
}

template <class T>
inline Weights<T> weights_of(const Sizes& z, Index m, const T* ih, const T* hh, const T* bias_ih, const T* bias_hh) {
    const Index rows = gates_of(z.cell) * z.hidden;
    return {ih + m * rows * z.inputs, hh + m * rows * z.hidden, at(bias_ih, m * rows), at(bias_hh, m * rows)};
}

// function(m, piece) for every piece of every model.
template <class Function>
inline void in_pieces(const Sizes& z, int threads, Function&& function) {
    const Index pieces = (z.hidden + 31) / 32;
    parallel(z.models * pieces, threads, [&](Index i) { function(i / pieces, Piece{i % pieces, pieces}); });
}

template <class Tile, class T>
inline void give_codes(Tile& tile, const Coded<T>& coded, Index b) {
    for (Index l = 0; l < tile.scan.lanes; ++l) tile.codes[l] = coded.codes + (b + l) * coded.stride_b;
    tile.codes_stride_t = coded.stride_t;
}

template <Cell cell, int NV, class T>
void forward_task(const Forward<T>& f, const Cut& cut, const T* packed, const T* table, Index task) {
    using M = Memory<cell, NV, T>;
    const Sizes& z = f.sizes;
    const Index m = task / cut.tiles, b = task % cut.tiles * M::L, H = z.hidden, row = m * z.rows + b;
    const Packed p = packed_layout(cell, z.inputs, H, false);
    TileForward<T> tile{};
    tile.scan = {z.steps, z.inputs, H, z.rows - b < M::L ? z.rows - b : M::L, f.reverse, at(f.lengths, row)};
    for (Index l = 0; l < tile.scan.lanes; ++l) tile.x[l] = f.x + m * f.x_strides.m + (b + l) * f.x_strides.b;
    tile.x_stride_t = f.x_strides.t;
    tile.x_stride_i = f.x_strides.i;
    tile.weights = packed + m * p.total + p.weights;
    tile.bias = packed + m * p.total + p.bias;
    tile.h0 = at(f.h0, row * H);
    tile.c0 = at(f.c0, row * H);
    tile.outputs = at(f.outputs, m * f.outputs_strides.m + b * f.outputs_strides.b);
    tile.outputs_stride_t = f.outputs_strides.t;
    tile.outputs_stride_b = f.outputs_strides.b;
    tile.h_n = at(f.h_n, row * H);
    tile.c_n = at(f.c_n, row * H);
    tile.keep = f.saved != nullptr;
    tile.streams = tile.keep && streams<M>(z, cut, f.saved);
    const Index start = table == nullptr ? 0 : gradient_rows(cell, H) * M::L;
    const Index memory = tile.keep ? 0 : M::size_without_steps(z.inputs, H);
    T* work = static_cast<T*>(scratch(Slot::task, sizeof(T) * (start + memory)));
    tile.memory = tile.keep ? f.saved + task * M::size(z.steps, z.inputs, H) : work + start;
    tile.start = work;
    tile.table = table;
    if (table != nullptr) give_codes(tile, f.coded, b);
    forward_tile<cell, NV, T>(tile);
}

template <class T>
void forward(const Forward<T>& f) {
    const Sizes& z = f.sizes;
    if (z.models * z.rows * z.hidden == 0) return;
    const Cut cut = cut_rows<T>(z);
    const Packed p = packed_layout(z.cell, z.inputs, z.hidden, false);
    const Index rows = gradient_rows(z.cell, z.hidden);
    T* packed = static_cast<T*>(scratch(Slot::shared, sizeof(T) * (z.models * p.total + f.coded.size * rows)));
    T* table = f.coded.table == nullptr ? nullptr : packed + z.models * p.total;
    in_pieces(z, f.threads, [&](Index m, const Piece& piece) {
        T* to = packed + m * p.total;
        const Weights<T> weights = weights_of(z, m, f.weight_ih, f.weight_hh, f.bias_ih, f.bias_hh);
        pack_forward(z.cell, z.inputs, z.hidden, weights, piece, to + p.weights, to + p.bias);
    });
    if (table != nullptr) pack_table(z.cell, z.hidden, f.coded.table, f.coded.size, packed + p.bias, table);
    with_cell(z.cell, cut.vectors, [&]<Cell C, int NV>() {
        parallel(z.models * cut.tiles, f.threads,
                 [&](Index task) { forward_task<C, NV, T>(f, cut, packed, table, task); });
    });
}

template <Cell cell, int NV, class T>
void backward_rows(const Backward<T>& f, const T* packed, const T* saved, bool streams, T* gradient, Index m, Index b) {
    using M = Memory<cell, NV, T>;
    const Sizes& z = f.sizes;
    const Index H = z.hidden, row = m * z.rows + b, lanes = z.rows - b < M::L ? z.rows - b : M::L;
    const Packed p = packed_layout(cell, z.inputs, H, true);
    TileBackward<T> tile{};
    tile.scan = {z.steps, z.inputs, H, lanes, f.reverse, at(f.lengths, row)};
    tile.back_h = packed + m * p.total + p.back_h;
    tile.back_x = packed + m * p.total + p.back_x;
    tile.memory = const_cast<T*>(saved);
    tile.streams = streams;
    tile.grad_outputs = at(f.grad_outputs, m * f.grad_outputs_strides.m + b * f.grad_outputs_strides.b);
    tile.grad_outputs_stride_t = f.grad_outputs_strides.t;
    tile.grad_outputs_stride_b = f.grad_outputs_strides.b;
    tile.grad_outputs_stride_i = f.grad_outputs_strides.i;
    tile.grad_x = at(f.grad_x, m * f.grad_x_strides.m + b * f.grad_x_strides.b);
    tile.grad_x_stride_t = f.grad_x_strides.t;
    tile.grad_x_stride_b = f.grad_x_strides.b;
    tile.gradient = gradient;
    if (gradient != nullptr && f.grad_table != nullptr) {
        tile.grad_table = gradient + gradient_size<T>(cell, z.inputs, H);
        give_codes(tile, f.coded, b);
    }
    const Index state = H * M::L;
    T* work = static_cast<T*>(
        scratch(Slot::task, sizeof(T) * (2 * state + backward_workspace<cell, NV, T>(z.steps, z.inputs, H))));
    tile.grad_h = work;
    tile.grad_c = work + state;
    tile.workspace = work + 2 * state;
    tile.wants_start = f.grad_h0 != nullptr;
    load_state<NV>(at(f.grad_h_n, row * H), H, lanes, tile.grad_h);
    if (M::has_c) load_state<NV>(at(f.grad_c_n, row * H), H, lanes, tile.grad_c);
    backward_tile<cell, NV, T>(tile);
    if (f.grad_h0 != nullptr) lanes_to_rows<NV>(tile.grad_h, H, lanes, f.grad_h0 + row * H, H);
    if (M::has_c && f.grad_c0 != nullptr) lanes_to_rows<NV>(tile.grad_c, H, lanes, f.grad_c0 + row * H, H);
}

// What one part adds up: the weights' gradient and the table's.
template <class T>
inline Index part_size(const Backward<T>& f) {
    const Index table = f.grad_table == nullptr ? 0 : f.coded.size * gradient_rows(f.sizes.cell, f.sizes.hidden);
    return gradient_size<T>(f.sizes.cell, f.sizes.inputs, f.sizes.hidden) + round_up(table, 16);
}

template <Cell cell, int NV, class T>
void backward_tasks(const Backward<T>& f, const Cut& cut, const T* packed, T* partial) {
    using M = Memory<cell, NV, T>;
    const Sizes& z = f.sizes;
    const Index size = part_size(f), saved = M::size(z.steps, z.inputs, z.hidden);
    const bool past = streams<M>(z, cut, f.saved);
    parallel(z.models * cut.parts, f.threads, [&](Index task) {
        const Index m = task / cut.parts, part = task % cut.parts;
        T* gradient = at(partial, task * size);
        if (gradient != nullptr) std::memset(gradient, 0, sizeof(T) * size);
        for (Index i = part * cut.tiles / cut.parts; i < (part + 1) * cut.tiles / cut.parts; ++i)
            backward_rows<cell, NV, T>(f, packed, f.saved + (m * cut.tiles + i) * saved, past, gradient, m, i * M::L);
    });
}

// No rows: nothing was learned.
template <class T>
void clear_gradients(const Backward<T>& f) {
    const Sizes& z = f.sizes;
    const Index rows = z.models * gates_of(z.cell) * z.hidden;
    if (f.grad_weight_ih != nullptr) std::memset(f.grad_weight_ih, 0, sizeof(T) * rows * z.inputs);
    if (f.grad_weight_hh != nullptr) std::memset(f.grad_weight_hh, 0, sizeof(T) * rows * z.hidden);
    if (f.grad_bias_ih != nullptr) std::memset(f.grad_bias_ih, 0, sizeof(T) * rows);
    if (f.grad_bias_hh != nullptr) std::memset(f.grad_bias_hh, 0, sizeof(T) * rows);
    if (f.grad_table != nullptr) std::memset(f.grad_table, 0, sizeof(T) * f.coded.size * rows);
}

template <class T>
void backward(const Backward<T>& f) {
    const Sizes& z = f.sizes;
    if (z.models * z.rows * z.hidden == 0) return clear_gradients(f);
    const Cut cut = cut_rows<T>(z);
    const Packed p = packed_layout(z.cell, z.inputs, z.hidden, true);
    const Index size = part_size(f), rows = gates_of(z.cell) * z.hidden;
    const bool learns = f.grad_weight_hh != nullptr;  // weight_ih may be empty, and an empty array have no address
    T* packed =
        static_cast<T*>(scratch(Slot::shared, sizeof(T) * z.models * (p.total + (learns ? cut.parts * size : 0))));
    T* partial = learns ? packed + z.models * p.total : nullptr;
    in_pieces(z, f.threads, [&](Index m, const Piece& piece) {
        T* to = packed + m * p.total;
        const Weights<T> w = weights_of<T>(z, m, f.weight_ih, f.weight_hh, nullptr, nullptr);
        pack_backward(z.cell, z.hidden, z.hidden, w.hh, piece, to + p.back_h);
        if (f.grad_x != nullptr) pack_backward(z.cell, z.inputs, z.hidden, w.ih, piece, to + p.back_x);
    });
    with_cell(z.cell, cut.vectors, [&]<Cell C, int NV>() { backward_tasks<C, NV, T>(f, cut, packed, partial); });
    if (!learns) return;
    in_pieces(z, f.threads, [&](Index m, const Piece& piece) {
        const Gradients<T> out = {f.grad_weight_ih + m * rows * z.inputs, f.grad_weight_hh + m * rows * z.hidden,
                                  at(f.grad_bias_ih, m * rows), at(f.grad_bias_hh, m * rows)};
        unpack_gradients(z.cell, z.inputs, z.hidden, piece, partial + m * cut.parts * size, cut.parts, size, out);
    });
    if (f.grad_table == nullptr) return;
    const T* tables = partial + gradient_size<T>(z.cell, z.inputs, z.hidden);
    unpack_table(z.cell, z.hidden, tables, cut.parts, size, f.coded.size, f.grad_table);
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
