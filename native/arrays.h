// Arrays from Python, checked at the door: NumPy arrays or CPU tensors become pointers, or a ValueError says what was
// expected.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>
#include <string>
#include <vector>

#include "kernel.h"

namespace stepahead {

namespace nb = nanobind;

using Read = nb::ndarray<nb::ro, nb::device::cpu>;
using Write = nb::ndarray<nb::device::cpu>;
using MaybeRead = std::optional<Read>;
using MaybeWrite = std::optional<Write>;
using Shape = std::vector<Index>;

inline std::string text(const Shape& shape) {
    std::string all = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) all += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return all + "]";
}

template <class Array>
inline Shape shape_of(const Array& array) {
    Shape shape;
    for (std::size_t i = 0; i < array.ndim(); ++i) shape.push_back(static_cast<Index>(array.shape(i)));
    return shape;
}

[[noreturn]] inline void refuse(const std::string& message) { throw nb::value_error(message.c_str()); }

template <class T>
constexpr const char* dtype_name = "float32";
template <>
inline constexpr const char* dtype_name<double> = "float64";
template <>
inline constexpr const char* dtype_name<Index> = "int64";

template <class T, class Array>
inline void check(const Array& array, const char* name, const Shape& expected) {
    if (array.dtype() != nb::dtype<T>()) refuse(std::string(name) + ": expected dtype " + dtype_name<T>);
    const Shape found = shape_of(array);
    if (found != expected) refuse(std::string(name) + ": expected shape " + text(expected) + ", found " + text(found));
}

// A contiguous array of this shape, as a pointer.
template <class T, class Array>
inline auto contiguous(const Array& array, const char* name, const Shape& expected) {
    check<T>(array, name, expected);
    Index step = 1;
    for (std::size_t i = array.ndim(); i-- > 0; step *= expected[i])
        if (array.size() > 0 && expected[i] > 1 && array.stride(i) != step)
            refuse(std::string(name) + ": expected a contiguous array");
    return static_cast<std::conditional_t<std::is_same_v<Array, Read>, const T*, T*>>(array.data());
}

template <class T, class Array>
inline auto contiguous(const std::optional<Array>& array, const char* name, const Shape& expected) {
    return array.has_value() ? contiguous<T>(*array, name, expected) : nullptr;
}

// Strides of [M, T, B, i] or [T, B, i].
template <class Array>
inline Strides strides_of(const Array& array) {
    const std::size_t first = array.ndim() - 3;
    return {first == 1 ? array.stride(0) : 0, array.stride(first), array.stride(first + 1), array.stride(first + 2)};
}

inline Cell cell_of(const std::string& name) {
    if (name == "rnn_tanh") return Cell::rnn_tanh;
    if (name == "rnn_relu") return Cell::rnn_relu;
    if (name == "lstm") return Cell::lstm;
    if (name == "gru") return Cell::gru;
    refuse("cell: expected 'rnn_tanh', 'rnn_relu', 'lstm' or 'gru', found '" + name + "'");
}

void bind_codes(nb::module_& module);
void bind_push(nb::module_& module);
void bind_scan(nb::module_& module);
void bind_step(nb::module_& module);
void bind_train(nb::module_& module);

}  // namespace stepahead
