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
};

template <class T>
struct StepBackward {
    Index hidden;
    const T* grad_h;        // [H, L] read
    T* grad_c;              // [H, L] read and written, lstm
    const T* kept;          // [H, keeps, L] read
    const T *h_before, *h;  // [H, L] read
    const T* c_before;      // [H, L] read, lstm
    T *by_x, *by_h;         // [H, G, L] written; by_h only by the gru
    T* carry;               // [H, L] written by the gru
};

template <Cell cell, int NV, class T>
struct Step;

// Where the sum of a row (j * G + g) begins.
template <int NV, class T>
STEPAHEAD_INLINE Vec<T> begin(const StepForward<T>& s, Index row, int v, T bias) {
    return s.start == nullptr ? Vec<T>::splat(bias) : Vec<T>::load(s.start + (row * NV + v) * width<T>);
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
        for (Index j = 0; j < s.hidden; j += 4) {
            V sums[4][NV];
            for (int r = 0; r < 4; ++r)
                for (int v = 0; v < NV; ++v) sums[r][v] = begin<NV>(s, j + r, v, s.bias[j + r]);
            accumulate(sums, s.weights + j * K, s.xh, K);
            const Index last = s.hidden - j < 4 ? s.hidden - j : 4;
            for (Index r = 0; r < last; ++r)
                for (int v = 0; v < NV; ++v) plain_unit<cell>(sums[r][v]).store(s.h + (j + r) * L + v * W);
        }
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
// and tanh(c).
template <int NV, class T>
struct Step<Cell::lstm, NV, T> {
    static constexpr int keeps = 5, rows = 4, gates = 4;
    using V = Vec<T>;
    static constexpr int W = V::width, L = NV * W;

    static void forward(const StepForward<T>& s) {
        const Index K = s.inputs + s.hidden;
        for (Index j = 0; j < s.hidden; ++j) {
            V sums[4][NV];
            for (int r = 0; r < 4; ++r)
                for (int v = 0; v < NV; ++v) sums[r][v] = begin<NV>(s, 4 * j + r, v, s.bias[4 * j + r]);
            accumulate(sums, s.weights + j * K * 4, s.xh, K);
            for (int v = 0; v < NV; ++v) {
                const Index at = j * L + v * W;
                const LstmUnit<T> u(sums[0][v], sums[1][v], sums[2][v], sums[3][v], V::load(s.c_before + at));
                u.c.store(s.c + at);
                u.h.store(s.h + at);
                if (s.kept != nullptr) {
                    T* kept = s.kept + j * keeps * L + v * W;
                    u.i.store(kept);
                    u.f.store(kept + L);
                    u.g.store(kept + 2 * L);
                    u.o.store(kept + 3 * L);
                    u.squashed.store(kept + 4 * L);
                }
            }
        }
    }

    static void backward(const StepBackward<T>& s) {
        const V one = V::splat(T(1));
        for (Index j = 0; j < s.hidden; ++j)
            for (int v = 0; v < NV; ++v) {
                const Index at = j * L + v * W;
                const T* kept = s.kept + j * keeps * L + v * W;
                const V i = V::load(kept), f = V::load(kept + L), g = V::load(kept + 2 * L);
                const V o = V::load(kept + 3 * L), squashed = V::load(kept + 4 * L);
                const V grad_h = V::load(s.grad_h + at);
                const V grad_c = fma(grad_h * o, one - squashed * squashed, V::load(s.grad_c + at));
                T* out = s.by_x + j * gates * L + v * W;
                (grad_c * g * (i - i * i)).store(out);
                (grad_c * V::load(s.c_before + at) * (f - f * f)).store(out + L);
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
        for (Index j = 0; j < s.hidden; ++j) {
            const T *weights = s.weights + j * K * 3, *bias = s.bias + j * 4;
            V sums[3][NV], by_x[NV];
            for (int r = 0; r < 3; ++r)
                for (int v = 0; v < NV; ++v) sums[r][v] = begin<NV>(s, 3 * j + r, v, bias[r]);
            accumulate(sums, weights, s.xh, s.inputs);
            for (int v = 0; v < NV; ++v) {
                by_x[v] = sums[2][v];
                sums[2][v] = V::splat(bias[3]);
            }
            accumulate(sums, weights + s.inputs * 3, h_before, s.hidden);
            for (int v = 0; v < NV; ++v) {
                const Index at = j * L + v * W;
                const GruUnit<T> u(sums[0][v], sums[1][v], by_x[v], sums[2][v], V::load(h_before + at));
                u.h.store(s.h + at);
                if (s.kept != nullptr) {
                    T* kept = s.kept + j * keeps * L + v * W;
                    u.r.store(kept);
                    u.z.store(kept + L);
                    u.n.store(kept + 2 * L);
                    sums[2][v].store(kept + 3 * L);
                }
            }
        }
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
