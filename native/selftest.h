// What the self-test's parts share: random cases, loops a child could check, and the count of failures.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel.h"
#include "pool.h"

namespace stepahead {

using Numbers = std::vector<double>;

inline double random_number() {
    static std::uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<double>(state >> 11) / 9007199254740992.0 - 0.5;
}

inline Numbers random_numbers(Index n) {
    Numbers numbers(static_cast<std::size_t>(n));
    for (double& x : numbers) x = random_number();
    return numbers;
}

inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }

struct Case {
    Sizes z;
    bool reverse;
    Numbers x, ih, hh, bias_ih, bias_hh, h0, c0;
    std::vector<Index> lengths;
};

inline Case make_case(Cell cell, Index T, Index B, Index D, Index H, bool reverse) {
    const Index rows = gates_of(cell) * H;
    Case c{{cell, 1, T, B, D, H},     reverse,
           random_numbers(T * B * D), random_numbers(rows * D),
           random_numbers(rows * H),  random_numbers(rows),
           random_numbers(rows),      random_numbers(B * H),
           random_numbers(B * H),     {}};
    for (Index b = 0; b < B; ++b) c.lengths.push_back(b % 3 == 0 ? T : (b * 7) % (T + 1));
    return c;
}

// One row of gates' sums: weight [rows, n] times value [n] plus bias.
inline double product(const Numbers& weight, const double* value, Index n, Index row, const Numbers& bias) {
    double sum = bias[static_cast<std::size_t>(row)];
    for (Index k = 0; k < n; ++k) sum += weight[static_cast<std::size_t>(row * n + k)] * value[k];
    return sum;
}

// One step of one row: h and c [H] updated.
inline void naive_step(const Case& a, const double* x, double* h, double* c) {
    const Index H = a.z.hidden;
    const Numbers before(h, h + H);
    for (Index j = 0; j < H; ++j) {
        const auto by_x = [&](Index g) { return product(a.ih, x, a.z.inputs, g * H + j, a.bias_ih); };
        const auto by_h = [&](Index g) { return product(a.hh, before.data(), H, g * H + j, a.bias_hh); };
        const auto sum = [&](Index g) { return by_x(g) + by_h(g); };
        switch (a.z.cell) {
            case Cell::rnn_tanh: h[j] = std::tanh(sum(0)); break;
            case Cell::rnn_relu: h[j] = sum(0) > 0 ? sum(0) : 0; break;
            case Cell::lstm:
                c[j] = logistic(sum(1)) * c[j] + logistic(sum(0)) * std::tanh(sum(2));
                h[j] = logistic(sum(3)) * std::tanh(c[j]);
                break;
            case Cell::gru: {
                const double z = logistic(sum(1)), n = std::tanh(by_x(2) + logistic(sum(0)) * by_h(2));
                h[j] = (1 - z) * n + z * before[static_cast<std::size_t>(j)];
            }
        }
    }
}

// outputs [T, B, H], then h_n and c_n [B, H].
inline Numbers naive_forward(const Case& a) {
    const Index T = a.z.steps, B = a.z.rows, D = a.z.inputs, H = a.z.hidden;
    Numbers out(static_cast<std::size_t>((T + 2) * B * H), 0.0);
    for (Index b = 0; b < B; ++b) {
        Numbers h(a.h0.begin() + b * H, a.h0.begin() + (b + 1) * H),
            c(a.c0.begin() + b * H, a.c0.begin() + (b + 1) * H);
        for (Index s = 0; s < a.lengths[static_cast<std::size_t>(b)]; ++s) {
            const Index t = a.reverse ? a.lengths[static_cast<std::size_t>(b)] - 1 - s : s;
            naive_step(a, a.x.data() + (t * B + b) * D, h.data(), c.data());
            for (Index j = 0; j < H; ++j)
                out[static_cast<std::size_t>((t * B + b) * H + j)] = h[static_cast<std::size_t>(j)];
        }
        for (Index j = 0; j < H; ++j) {
            out[static_cast<std::size_t>((T * B + b) * H + j)] = h[static_cast<std::size_t>(j)];
            out[static_cast<std::size_t>(((T + 1) * B + b) * H + j)] = c[static_cast<std::size_t>(j)];
        }
    }
    return out;
}

inline int failures = 0;

inline void expect_close(double found, double expected, double tolerance, const char* what, const Case& a) {
    if (std::fabs(found - expected) <= tolerance * (1 + std::fabs(expected))) return;
    if (++failures < 20)
        std::printf("FAIL %s: cell %d T %ld B %ld D %ld H %ld: %.15g, expected %.15g\n", what,
                    static_cast<int>(a.z.cell), static_cast<long>(a.z.steps), static_cast<long>(a.z.rows),
                    static_cast<long>(a.z.inputs), static_cast<long>(a.z.hidden), found, expected);
}

inline void call(const Forward<float>& f) { kernel().forward_f32(f); }
inline void call(const Forward<double>& f) { kernel().forward_f64(f); }
inline void call(const Backward<float>& f) { kernel().backward_f32(f); }
inline void call(const Backward<double>& f) { kernel().backward_f64(f); }

template <class T>
std::vector<T> as(const Numbers& numbers) {
    return std::vector<T>(numbers.begin(), numbers.end());
}

void check_symbols(Cell cell);  // selftest_symbols.cpp
void check_softmax();

}  // namespace stepahead
