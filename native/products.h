// The products that a scan spends its time in, with the batch in the lanes.
//
// A tile is NV vectors of rows side by side, L = NV * width lanes. Matrices of a tile are [n, L], contiguous.
#pragma once

#include "kernel.h"
#include "simd.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

// Blocks of R sums that are added up side by side: as many as the registers hold beside NV values and a weight. One
// alone would wait for itself, and each value that is loaded serves all.
template <int R, int NV>
constexpr int blocks_at_once() {
    int blocks = 1;
    while (blocks < 4 && 2 * blocks * R * NV + NV + 1 <= registers) blocks *= 2;
    return blocks;
}

// What is wanted next: numbers that are fetched meanwhile.
template <class T>
struct Ahead {
    const T* data;
    Index size;
    bool once;  // they are read just once: beside the second cache, not into it
};

// sums[u][r] += weights[u, k, r] * values[k] over k, and with each k a line of `ahead` is fetched.
// weights [U, n, R] by stride, values [n, L], ahead [n lines] or null, read
template <Fetch how, int U, int R, int NV, class T>
STEPAHEAD_INLINE void accumulate(Vec<T> (&sums)[U][R][NV], const T* STEPAHEAD_RESTRICT weights, Index stride,
                                 const T* STEPAHEAD_RESTRICT values, Index n, const T* ahead) {
    constexpr int W = width<T>, L = NV * W;
    for (Index k = 0; k < n; ++k, weights += R, values += L) {
        if constexpr (how != Fetch::nothing) fetch_line<how>(ahead + k * line<T>);
        Vec<T> value[NV];
        for (int v = 0; v < NV; ++v) value[v] = Vec<T>::load(values + v * W);
        for (int u = 0; u < U; ++u)
            for (int r = 0; r < R; ++r) {
                const Vec<T> weight = Vec<T>::splat(weights[u * stride + r]);
                for (int v = 0; v < NV; ++v) sums[u][r][v] = fma(weight, value[v], sums[u][r][v]);
            }
    }
}

template <int U, int R, int NV, class T>
STEPAHEAD_INLINE void accumulate(Vec<T> (&sums)[U][R][NV], const T* weights, Index stride, const T* values, Index n) {
    accumulate<Fetch::nothing>(sums, weights, stride, values, n, static_cast<const T*>(nullptr));
}

// Calls block.template operator()<U>(j) for j = 0, U, 2 U, ... below n, and one by one where fewer than U are left.
template <int U, class Block>
STEPAHEAD_INLINE void in_blocks(Index n, Block&& block) {
    Index j = 0;
    for (; j + U <= n; j += U) block.template operator()<U>(j);
    if constexpr (U > 1)
        for (; j < n; ++j) block.template operator()<1>(j);
}

template <int R, int NV, class T>
STEPAHEAD_INLINE void clear(Vec<T> (&sums)[R][NV]) {
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < NV; ++v) sums[r][v] = Vec<T>::splat(T(0));
}

// out[i] = (start[i] or 0) + sum over k of weights[k, i] * values[k], for i < m.
// weights [ceil(m/4), n, 4] read; values [n, L] read; start [m, L] read, may be null or out; out [m, L] written
template <int NV, class T>
inline void multiply(const T* weights, const T* values, const T* start, T* out, Index m, Index n,
                     Ahead<T> ahead = {}) {
    constexpr int W = width<T>, L = NV * W;
    in_blocks<blocks_at_once<4, NV>()>((m + 3) / 4, [&]<int U>(Index block) {
        Vec<T> sums[U][4][NV];
        for (int u = 0; u < U; ++u) clear(sums[u]);
        const T* own = weights + block * 4 * n;
        const Index lines = ahead.size / line<T> < n ? ahead.size / line<T> : n;
        if (ahead.once)
            accumulate<Fetch::once>(sums, own, 4 * n, values, lines, ahead.data);
        else
            accumulate<Fetch::later>(sums, own, 4 * n, values, lines, ahead.data);
        accumulate(sums, own + 4 * lines, 4 * n, values + lines * L, n - lines);
        ahead.data += lines * line<T>;
        ahead.size -= lines * line<T>;
        for (int u = 0; u < U; ++u) {
            const Index i = (block + u) * 4, last = m - i < 4 ? m - i : 4;
            for (Index r = 0; r < last; ++r)
                for (int v = 0; v < NV; ++v) {
                    const Index at = (i + r) * L + v * W;
                    (start == nullptr ? sums[u][r][v] : sums[u][r][v] + Vec<T>::load(start + at)).store(out + at);
                }
        }
    });
}

// out[k, r] += sum over steps and lanes of left[r] * right[k], for 4 rows r and N of k.
// left [steps, 4, L] by left_step, right [steps, N, L] by right_step, read; out [N, 4] by out_stride
template <int N, int NV, class T>
STEPAHEAD_INLINE void outer_block(const T* left, Index left_step, const T* right, Index right_step, Index steps, T* out,
                                  Index out_stride) {
    constexpr int W = width<T>, L = NV * W;
    Vec<T> sums[N][4];
    clear(sums);
    for (Index s = 0; s < steps; ++s, left += left_step, right += right_step)
        for (int v = 0; v < NV; ++v) {
            Vec<T> value[N];
            for (int k = 0; k < N; ++k) value[k] = Vec<T>::load(right + k * L + v * W);
            for (int r = 0; r < 4; ++r) {
                const Vec<T> row = Vec<T>::load(left + r * L + v * W);
                for (int k = 0; k < N; ++k) sums[k][r] = fma(row, value[k], sums[k][r]);
            }
        }
    for (int k = 0; k < N; ++k) add_sums(sums[k][0], sums[k][1], sums[k][2], sums[k][3], out + k * out_stride);
}

// out[k, r] += sum over steps and lanes of left[r] * right[k]: the weight gradient of a block of steps.
// left [steps, rows, L] by left_step, rows a multiple of 4; right [steps, n, L] by right_step; out [n, rows]
template <int NV, class T>
inline void outer(const T* left, Index left_step, Index rows, const T* right, Index right_step, Index n, Index steps,
                  T* out) {
    constexpr int L = NV * width<T>;
    constexpr Index chunk = 24;  // so many of `right` stay in the first cache while `left` streams by
    for (Index k0 = 0; k0 < n; k0 += chunk) {
        const Index end = k0 + chunk < n ? k0 + chunk : n;
        for (Index r = 0; r < rows; r += 4)
            for (Index k = k0; k < end; k += 3) {
                const T *a = left + r * L, *b = right + k * L;
                T* c = out + k * rows + r;
                switch (end - k) {
                    case 1: outer_block<1, NV>(a, left_step, b, right_step, steps, c, rows); break;
                    case 2: outer_block<2, NV>(a, left_step, b, right_step, steps, c, rows); break;
                    default: outer_block<3, NV>(a, left_step, b, right_step, steps, c, rows);
                }
            }
    }
}

// out[r] += sum over steps and lanes of left[r]: the bias gradient.   left as in outer; out [rows]
template <int NV, class T>
inline void outer_ones(const T* left, Index left_step, Index rows, Index steps, T* out) {
    constexpr int W = width<T>, L = NV * W;
    for (Index r = 0; r < rows; r += 4) {
        Vec<T> sums[1][4];
        clear(sums);
        for (Index s = 0; s < steps; ++s)
            for (int i = 0; i < 4; ++i)
                for (int v = 0; v < NV; ++v)
                    sums[0][i] = sums[0][i] + Vec<T>::load(left + s * left_step + (r + i) * L + v * W);
        add_sums(sums[0][0], sums[0][1], sums[0][2], sums[0][3], out + r);
    }
}

// Rows of a tile turned for `outer_turned`: where the lanes of many steps stand one below the other, panels of so many
// rows side by side.
template <class T>
constexpr Index panel_rows = 2 * width<T>;

// to[q, first + lane, i] = from[q * panel_rows + i, lane].
// from [rows, L] read, rows a multiple of width; to [ceil(rows / panel_rows), lanes, panel_rows] written
template <int NV, class T>
inline void turn(const T* from, Index rows, Index first, Index lanes, T* to) {
    constexpr int W = width<T>, L = NV * W;
    for (Index r = 0; r < rows; r += W) {
        T* panel = to + (r / panel_rows<T> * lanes + first) * panel_rows<T> + r % panel_rows<T>;
        for (int l = 0; l < L; l += W) {
            Vec<T> square[W];
            for (int i = 0; i < W; ++i) square[i] = Vec<T>::load(from + (r + i) * L + l);
            transpose(square);
            for (int i = 0; i < W; ++i) square[i].store(panel + (l + i) * panel_rows<T>);
        }
    }
}

// out[k, i] += sum over steps and lanes of left[k] * turned[lane, i], for N of k and so many vectors of i.
// left [steps, N, L] by left_step, turned [steps * L, panel_rows] read; out [N, V * width] by out_stride
template <int N, int V, int NV, class T>
STEPAHEAD_INLINE void outer_panel(const T* left, Index left_step, const T* turned, Index steps, T* out,
                                  Index out_stride) {
    constexpr int W = width<T>, L = NV * W;
    Vec<T> sums[N][V];
    clear(sums);
    for (Index s = 0; s < steps; ++s, left += left_step)
        for (int l = 0; l < L; ++l, turned += panel_rows<T>) {
            Vec<T> row[V];
            for (int v = 0; v < V; ++v) row[v] = Vec<T>::load(turned + v * W);
            for (int k = 0; k < N; ++k) {
                const Vec<T> value = Vec<T>::splat(left[k * L + l]);
                for (int v = 0; v < V; ++v) sums[k][v] = fma(value, row[v], sums[k][v]);
            }
        }
    for (int k = 0; k < N; ++k)
        for (int v = 0; v < V; ++v) {
            T* to = out + k * out_stride + v * W;
            (Vec<T>::load(to) + sums[k][v]).store(to);
        }
}

template <int N, int V, int NV, class T>
inline void outer_panel_of(Index n, const T* left, Index left_step, const T* turned, Index steps, T* out,
                           Index out_stride) {
    if constexpr (N > 1)
        if (n < N) return outer_panel_of<N - 1, V, NV>(n, left, left_step, turned, steps, out, out_stride);
    outer_panel<N, V, NV>(left, left_step, turned, steps, out, out_stride);
}

// out[k, r] += sum over steps and lanes of left[k] * turned[lane, r]: the weight gradient of a block of steps.
// left [steps, n, L] by left_step, turned as `turn` leaves it, read; out [n, rows], rows a multiple of width
template <int NV, class T>
inline void outer_turned(const T* left, Index left_step, Index n, const T* turned, Index rows, Index steps, Index lanes,
                         T* out) {
    constexpr int most = registers >= 32 ? 12 : 6;
    const Index groups = (n + most - 1) / most;
    for (Index r = 0; r < rows; r += panel_rows<T>, turned += lanes * panel_rows<T>)
        for (Index g = 0; g < groups; ++g) {
            const Index k = n * g / groups, count = n * (g + 1) / groups - k;
            const T* values = left + k * NV * width<T>;
            if (rows - r > width<T>)
                outer_panel_of<most, 2, NV>(count, values, left_step, turned, steps, out + k * rows + r, rows);
            else
                outer_panel_of<most, 1, NV>(count, values, left_step, turned, steps, out + k * rows + r, rows);
        }
}

// out[r] += sum over lanes of turned[lane, r]: the bias gradient.   turned and rows as above; out [rows]
template <class T>
inline void sum_turned(const T* turned, Index rows, Index count, Index lanes, T* out) {
    for (Index r = 0; r < rows; r += width<T>) {
        const T* row = turned + r / panel_rows<T> * lanes * panel_rows<T> + r % panel_rows<T>;
        Vec<T> sum[4];
        for (int i = 0; i < 4; ++i) sum[i] = Vec<T>::splat(T(0));
        // Two lanes of doubles and an odd number of steps are no multiple of four.
        for (Index l = 0; l < count; ++l) sum[l % 4] = sum[l % 4] + Vec<T>::load(row + l * panel_rows<T>);
        (Vec<T>::load(out + r) + ((sum[0] + sum[1]) + (sum[2] + sum[3]))).store(out + r);
    }
}

// Calls square(i) for squares of W rows, from i on, that cover n rows, the last over the one before where n is no
// multiple of W; and part(i, count) where there are fewer than one.
template <Index W, class Square, class Part>
STEPAHEAD_INLINE void in_squares(Index n, Square&& square, Part&& part) {
    Index i = 0;
    for (; i + W <= n; i += W) square(i);
    if (i == n) return;
    if (n >= W)
        square(n - W);
    else
        part(i, n - i);
}

// to[i, lane] = from[lane][offset + i * stride], lanes beyond `lanes` untouched.
// from [lanes] pointers, read; to [n, L] written
template <int NV, class T>
inline void rows_to_lanes(const T* const* from, Index offset, Index stride, Index n, Index lanes, T* to) {
    constexpr Index W = width<T>, L = NV * W;
    const auto one_by_one = [&](Index l0, Index end, Index i, Index count) {
        for (; count > 0; --count, ++i)
            for (Index l = l0; l < end; ++l) to[i * L + l] = from[l][offset + i * stride];
    };
    for (Index l0 = 0; l0 < lanes; l0 += W) {
        if (stride != 1 || lanes - l0 < W) {
            one_by_one(l0, lanes - l0 < W ? lanes : l0 + W, 0, n);
            continue;
        }
        const auto square = [&](Index i) {
            Vec<T> rows[W];
            for (Index r = 0; r < W; ++r) rows[r] = Vec<T>::load(from[l0 + r] + offset + i);
            transpose(rows);
            for (Index r = 0; r < W; ++r) rows[r].store(to + (i + r) * L + l0);
        };
        in_squares<W>(n, square, [&](Index i, Index count) {
            if constexpr (Vec<T>::has_parts) {
                Vec<T> rows[W];
                for (Index r = 0; r < W; ++r) rows[r] = Vec<T>::load_part(from[l0 + r] + offset + i, count);
                transpose(rows);
                for (Index r = 0; r < W; ++r)
                    if (r < count) rows[r].store(to + (i + r) * L + l0);
            } else {
                one_by_one(l0, l0 + W, i, count);
            }
        });
    }
}

// to[lane * stride + i] = from[i, lane] for lane < lanes.   from [n, L] read
template <int NV, class T>
inline void lanes_to_rows(const T* from, Index n, Index lanes, T* to, Index stride) {
    constexpr Index W = width<T>, L = NV * W;
    const auto one_by_one = [&](Index l0, Index end, Index i, Index count) {
        for (; count > 0; --count, ++i)
            for (Index l = l0; l < end; ++l) to[l * stride + i] = from[i * L + l];
    };
    for (Index l0 = 0; l0 < lanes; l0 += W) {
        if (lanes - l0 < W) {
            one_by_one(l0, lanes, 0, n);
            continue;
        }
        const auto square = [&](Index i) {
            Vec<T> rows[W];
            for (Index r = 0; r < W; ++r) rows[r] = Vec<T>::load(from + (i + r) * L + l0);
            transpose(rows);
            for (Index r = 0; r < W; ++r) rows[r].store(to + (l0 + r) * stride + i);
        };
        in_squares<W>(n, square, [&](Index i, Index count) {
            if constexpr (Vec<T>::has_parts) {
                Vec<T> rows[W];
                for (Index r = 0; r < W; ++r)
                    rows[r] = r < count ? Vec<T>::load(from + (i + r) * L + l0) : Vec<T>::splat(T(0));
                transpose(rows);
                for (Index r = 0; r < W; ++r) rows[r].store_part(to + (l0 + r) * stride + i, count);
            } else {
                one_by_one(l0, l0 + W, i, count);
            }
        });
    }
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
