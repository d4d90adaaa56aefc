// What callers that checked their arrays hand over as addresses: pointers, sizes, and the scan's calls.
#pragma once

#include "arrays.h"

namespace stepahead {

using Address = std::uintptr_t;

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);
}

inline Sizes sizes_at(int cell, Index models, Index steps, Index rows, Index inputs, Index hidden) {
    if (cell < 0 || cell > 3) refuse("cell: expected 0 to 3");
    if (models < 0 || steps < 0 || rows < 0 || inputs < 0 || hidden < 0) refuse("sizes: expected none below zero");
    return {static_cast<Cell>(cell), models, steps, rows, inputs, hidden};
}

inline void run(const Forward<float>& call) {
    nb::gil_scoped_release release;
    kernel().forward_f32(call);
}
inline void run(const Forward<double>& call) {
    nb::gil_scoped_release release;
    kernel().forward_f64(call);
}
inline void run(const Backward<float>& call) {
    nb::gil_scoped_release release;
    kernel().backward_f32(call);
}
inline void run(const Backward<double>& call) {
    nb::gil_scoped_release release;
    kernel().backward_f64(call);
}

}  // namespace stepahead
