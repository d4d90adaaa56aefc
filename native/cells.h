// The cells: one step forward, one step backward, for a tile of rows in the lanes.
//
// A Step<cell> knows how many numbers a unit keeps for backward, and computes
//   forward:  inputs [K, L] = (x, h) and c [H, L] -> h, c [H, L] and what is kept [H, keeps, L]
//   backward: grad_h, grad_c [H, L] and what was kept -> gradients of the sums before the activations, by_x and by_h
//             [H, G, L] (one array except for the GRU), grad_c before the step, and the part of grad_h that does not
//             pass through weight_hh ("carry").
// Packed weights: forward per unit [K, R], the rows of the logistic gates halved (see logistic_of_double).
#pragma once

#include "functions.h"
#include "products.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

template <class T>
struct StepForward {
    Index inputs, hidden;     // D, H
    const T *weights, *bias;  // packed, read
    const T* start;           // [G*H, L] read: where the sums begin in place of the bias; or null
    const T* xh;              // [K, L] read
    T* h;                     // [H, L] written
    const T* c_before;        // [H, L] read, lstm
    T* c;                     // [H, L] written, may be c_before
    T* kept;                  // [H, keeps, L] written; null for inference
    bool streams;             // kept goes past the caches
};

template <class T>
struct StepBackward {
    Index hidden;
    const T* grad_h;        // [H, L] read
    T* grad_c;              // [H, L] read and written, lstm
    const T* kept;          // [H, keeps, L] read
    const T *h_before, *h;  // [H, L] read
    T *by_x, *by_h;         // [H, G, L] written; by_h only by the gru
    T* carry;               // [H, L] written by the gru
};

template <Cell cell, int NV, class T>
struct Step;

// Where the sums of R rows from `row` (j * G + g) on begin.
template <int R, int NV, class T>
STEPAHEAD_INLINE void begin(const StepForward<T>& s, Index row, const T* bias, Vec<T> (&sums)[R][NV]) {
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < NV; ++v)
            sums[r][v] = s.start == nullptr ? Vec<T>::splat(bias[r])
                                            : Vec<T>::load(s.start + ((row + r) * NV + v) * width<T>);
}

// A unit's numbers for backward, L apart.
template <Index L, class T, class... Numbers>
STEPAHEAD_INLINE void keep(bool streams, T* to, Numbers... numbers) {
    if (streams)
        ((numbers.stream(to), to += L), ...);
    else
        ((numbers.store(to), to += L), ...);
}

// The units themselves, from their gates' sums.
template <Cell cell, class T>
STEPAHEAD_INLINE Vec<T> plain_unit(Vec<T> sum) {
    return cell == Cell::rnn_tanh ? tanh(sum) : max(Vec<T>::splat(T(0)), sum);
}

template <class T>
struct LstmUnit {
    Vec<T> i, f, g, o, c, squashed, h;
    STEPAHEAD_INLINE LstmUnit(Vec<T> sum_i, Vec<T> sum_f, Vec<T> sum_g, Vec<T> sum_o, Vec<T> c_before)
        : i(logistic_of_double(sum_i)),
          f(logistic_of_double(sum_f)),
          g(tanh(sum_g)),
          o(logistic_of_double(sum_o)),
          c(fma(f, c_before, i * g)),
          squashed(tanh(c)),
          h(o * squashed) {}
};

template <class T>
struct GruUnit {
    Vec<T> r, z, n, h;
    STEPAHEAD_INLINE GruUnit(Vec<T> sum_r, Vec<T> sum_z, Vec<T> n_by_x, Vec<T> n_by_h, Vec<T> h_before)
        : r(logistic_of_double(sum_r)),
          z(logistic_of_double(sum_z)),
          n(tanh(fma(r, n_by_h, n_by_x))),
          h(fma(z, h_before - n, n)) {}
};

// Elman 1990, h' = tanh(W x + U h + b), and the same with max(., 0), Le et al. 2015. Four units at a time.
template <Cell cell, int NV, class T>
struct PlainStep {
    static constexpr int keeps = 0, rows = 4, gates = 1;
    using V = Vec<T>;
    static constexpr int W = V::width, L = NV * W;

    static void forward(const StepForward<T>& s) {
        const Index K = s.inputs + s.hidden;
        in_blocks<blocks_at_once<4, NV>()>((s.hidden + 3) / 4, [&]<int U>(Index block) {
            V sums[U][4][NV];
            for (int u = 0; u < U; ++u) begin(s, (block + u) * 4, s.bias + (block + u) * 4, sums[u]);
            accumulate(sums, s.weights + block * 4 * K, 4 * K, s.xh, K);
            for (int u = 0; u < U; ++u) {
                const Index j = (block + u) * 4, last = s.hidden - j < 4 ? s.hidden - j : 4;
                for (Index r = 0; r < last; ++r)
                    for (int v = 0; v < NV; ++v) plain_unit<cell>(sums[u][r][v]).store(s.h + (j + r) * L + v * W);
            }
        });
    }

    static void backward(const StepBackward<T>& s) {
        for (Index at = 0; at < s.hidden * L; at += W) {
            const V h = V::load(s.h + at), grad = V::load(s.grad_h + at), zero = V::splat(T(0));
            const V out = cell == Cell::rnn_tanh ? fma(zero - grad * h, h, grad) : select(not_positive(h), zero, grad);
            out.store(s.by_x + at);
        }
    }
};

template <int NV, class T>
struct Step<Cell::rnn_tanh, NV, T> : PlainStep<Cell::rnn_tanh, NV, T> {};
template <int NV, class T>
struct Step<Cell::rnn_relu, NV, T> : PlainStep<Cell::rnn_relu, NV, T> {};

// LSTM, Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates i, f, g, o. Keeps i, f, g, o
// and c before the step: tanh(c) is h / o, which costs backward less than fetching it.
template <int NV, class T>
struct Step<Cell::lstm, NV, T> {
    static constexpr int keeps = 5, rows = 4, gates = 4;
    using V = Vec<T>;
    static constexpr int W = V::width, L = NV * W;

    static void forward(const StepForward<T>& s) {
        const Index K = s.inputs + s.hidden;
        in_blocks<blocks_at_once<4, NV>()>(s.hidden, [&]<int U>(Index j) {
            V sums[U][4][NV];
            for (int u = 0; u < U; ++u) begin(s, 4 * (j + u), s.bias + 4 * (j + u), sums[u]);
            if (s.kept != nullptr && !s.streams) fetch(s.kept + j * keeps * L, U * keeps * L);
            accumulate(sums, s.weights + j * K * 4, K * 4, s.xh, K);
            for (int u = 0; u < U; ++u)
                for (int v = 0; v < NV; ++v) finish(s, j + u, v, sums[u]);
        });
    }

    static STEPAHEAD_INLINE void finish(const StepForward<T>& s, Index j, int v, const V (&sums)[4][NV]) {
        const Index at = j * L + v * W;
        const V c_before = V::load(s.c_before + at);
        const LstmUnit<T> u(sums[0][v], sums[1][v], sums[2][v], sums[3][v], c_before);
        u.c.store(s.c + at);
        u.h.store(s.h + at);
        if (s.kept == nullptr) return;
        keep<L>(s.streams, s.kept + j * keeps * L + v * W, u.i, u.f, u.g, u.o, c_before);
    }

    static void backward(const StepBackward<T>& s) {
        // Where o is 0, h is: what passes through tanh(c) is nothing, not 0 / 0.
        const V one = V::splat(T(1)), tiny = V::splat(T(1e-30));
        for (Index j = 0; j < s.hidden; ++j)
            for (int v = 0; v < NV; ++v) {
                const Index at = j * L + v * W;
                const T* kept = s.kept + j * keeps * L + v * W;
                const V i = V::load(kept), f = V::load(kept + L), g = V::load(kept + 2 * L);
                const V o = V::load(kept + 3 * L), c_before = V::load(kept + 4 * L);
                const V squashed = V::load(s.h + at) / max(tiny, o);
                const V grad_h = V::load(s.grad_h + at);
                const V grad_c = fma(grad_h * o, one - squashed * squashed, V::load(s.grad_c + at));
                T* out = s.by_x + j * gates * L + v * W;
                (grad_c * g * (i - i * i)).store(out);
                (grad_c * c_before * (f - f * f)).store(out + L);
                (grad_c * i * (one - g * g)).store(out + 2 * L);
                (grad_h * squashed * (o - o * o)).store(out + 3 * L);
                (grad_c * f).store(s.grad_c + at);
            }
    }
};

// GRU, Cho et al. 2014, reset applied after the product, as torch.nn; gates r, z, n. Keeps r, z, n and the recurrent
// part of n's sum. Its weights lie per unit as [D, 3] and [H, 3].
template <int NV, class T>
struct Step<Cell::gru, NV, T> {
    static constexpr int keeps = 4, rows = 3, gates = 3;
    using V = Vec<T>;
    static constexpr int W = V::width, L = NV * W;

    static void forward(const StepForward<T>& s) {
        const Index K = s.inputs + s.hidden;
        const T* h_before = s.xh + s.inputs * L;
        in_blocks<blocks_at_once<3, NV>()>(s.hidden, [&]<int U>(Index j) {
            const T *weights = s.weights + j * K * 3, *bias = s.bias + j * 4;
            V sums[U][3][NV], by_x[U][NV];
            for (int u = 0; u < U; ++u) begin(s, 3 * (j + u), bias + 4 * u, sums[u]);
            if (s.kept != nullptr && !s.streams) fetch(s.kept + j * keeps * L, U * keeps * L);
            accumulate(sums, weights, K * 3, s.xh, s.inputs);
            for (int u = 0; u < U; ++u)
                for (int v = 0; v < NV; ++v) {
                    by_x[u][v] = sums[u][2][v];
                    sums[u][2][v] = V::splat(bias[4 * u + 3]);
                }
            accumulate(sums, weights + s.inputs * 3, K * 3, h_before, s.hidden);
            for (int u = 0; u < U; ++u)
                for (int v = 0; v < NV; ++v) finish(s, j + u, v, sums[u], by_x[u][v]);
        });
    }

    static STEPAHEAD_INLINE void finish(const StepForward<T>& s, Index j, int v, const V (&sums)[3][NV], V by_x) {
        const Index at = j * L + v * W;
        const GruUnit<T> u(sums[0][v], sums[1][v], by_x, sums[2][v], V::load(s.xh + s.inputs * L + at));
        u.h.store(s.h + at);
        if (s.kept == nullptr) return;
        keep<L>(s.streams, s.kept + j * keeps * L + v * W, u.r, u.z, u.n, sums[2][v]);
    }

    static void backward(const StepBackward<T>& s) {
        const V one = V::splat(T(1));
        for (Index j = 0; j < s.hidden; ++j)
            for (int v = 0; v < NV; ++v) {
                const Index at = j * L + v * W;
                const T* kept = s.kept + j * keeps * L + v * W;
                const V r = V::load(kept), z = V::load(kept + L), n = V::load(kept + 2 * L);
                const V recurrent = V::load(kept + 3 * L), grad_h = V::load(s.grad_h + at);
                const V by_n = grad_h * (one - z) * (one - n * n);
                const V by_r = by_n * recurrent * (r - r * r);
                const V by_z = grad_h * (V::load(s.h_before + at) - n) * (z - z * z);
                T *x = s.by_x + j * gates * L + v * W, *h = s.by_h + j * gates * L + v * W;
                by_r.store(x);
                by_r.store(h);
                by_z.store(x + L);
                by_z.store(h + L);
                by_n.store(x + 2 * L);
                (by_n * r).store(h + 2 * L);
                (grad_h * z).store(s.carry + at);
            }
    }
};

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
