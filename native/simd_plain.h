// Vec without any special instructions, for other processors: 4 lanes in an array.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace stepahead {
namespace plain {

template <class T>
struct Vec {
    static constexpr int width = 4;
    T v[4];
    static Vec load(const T* p) { return {{p[0], p[1], p[2], p[3]}}; }
    static Vec splat(T x) { return {{x, x, x, x}}; }
    void store(T* p) const {
        for (int i = 0; i < 4; ++i) p[i] = v[i];
    }
    void stream(T* p) const { store(p); }
    static constexpr bool has_parts = false;
};

template <class T, class Function>
inline Vec<T> each(Function function) {
    return {{function(0), function(1), function(2), function(3)}};
}

template <class T>
inline Vec<T> operator+(Vec<T> a, Vec<T> b) {
    return each<T>([&](int i) { return a.v[i] + b.v[i]; });
}
template <class T>
inline Vec<T> operator-(Vec<T> a, Vec<T> b) {
    return each<T>([&](int i) { return a.v[i] - b.v[i]; });
}
template <class T>
inline Vec<T> operator*(Vec<T> a, Vec<T> b) {
    return each<T>([&](int i) { return a.v[i] * b.v[i]; });
}
template <class T>
inline Vec<T> operator/(Vec<T> a, Vec<T> b) {
    return each<T>([&](int i) { return a.v[i] / b.v[i]; });
}
template <class T>
inline Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
    return a * b + c;
}
template <class T>
inline Vec<T> min(Vec<T> a, Vec<T> b) {
    return each<T>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
template <class T>
inline Vec<T> max(Vec<T> a, Vec<T> b) {
    return each<T>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
// Masks: 1 or 0.
template <class T>
inline Vec<T> less(Vec<T> a, Vec<T> b) {
    return each<T>([&](int i) { return T(a.v[i] < b.v[i]); });
}
template <class T>
inline Vec<T> not_positive(Vec<T> a) {
    return each<T>([&](int i) { return T(a.v[i] <= 0); });
}
template <class T>
inline Vec<T> select(Vec<T> mask, Vec<T> yes, Vec<T> no) {
    return each<T>([&](int i) { return mask.v[i] != 0 ? yes.v[i] : no.v[i]; });
}
// 2^n, where x = n + 1.5 * 2^52.
inline Vec<double> power_of_two(Vec<double> x) {
    return each<double>([&](int i) {
        std::uint64_t bits;
        std::memcpy(&bits, &x.v[i], sizeof bits);
        bits = (bits << 52) + 0x3FF0000000000000ull;
        double power;
        std::memcpy(&power, &bits, sizeof bits);
        return power;
    });
}

// out[i] += the sum of the lanes of the i-th vector.
template <class T>
inline void add_sums(Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> d, T* out) {
    const Vec<T>* all[4] = {&a, &b, &c, &d};
    for (int i = 0; i < 4; ++i) out[i] += (all[i]->v[0] + all[i]->v[1]) + (all[i]->v[2] + all[i]->v[3]);
}

// Turn a square of width x width numbers: rows[i][j] becomes rows[j][i].
template <class T>
inline void transpose(Vec<T> (&r)[4]) {
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < i; ++j) {
            const T keep = r[i].v[j];
            r[i].v[j] = r[j].v[i];
            r[j].v[i] = keep;
        }
}

inline Vec<float> sqrt(Vec<float> a) {
    return each<float>([&](int i) { return std::sqrt(a.v[i]); });
}

// What was streamed is seen by whoever goes on from here.
inline void finish_streams() {}

}  // namespace plain
}  // namespace stepahead
