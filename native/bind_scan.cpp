// scan_forward and scan_backward for Python: checked, and by address.
#include <nanobind/stl/string.h>

#include "addresses.h"

namespace stepahead {
namespace {

// Shapes of the arrays of one call; all but the last axes of each are [M] or nothing.
struct Door {
    Sizes z;
    bool has_models;

    Shape with_models(Shape shape) const {
        if (has_models) shape.insert(shape.begin(), z.models);
        return shape;
    }
    Shape state() const { return with_models({z.rows, z.hidden}); }
    Shape weight(Index columns) const { return with_models({gates_of(z.cell) * z.hidden, columns}); }
    Shape bias() const { return with_models({gates_of(z.cell) * z.hidden}); }
    Shape over_time(Index columns) const { return with_models({z.steps, z.rows, columns}); }
    Shape lengths() const { return with_models({z.rows}); }
};

Door door_of(Cell cell, bool has_models, Index models, Index steps, Index rows, const Read& ih, const Read& hh) {
    const std::size_t first = has_models ? 1 : 0;
    if (ih.ndim() != first + 2 || hh.ndim() != first + 2)
        refuse(has_models ? "weight_ih, weight_hh: expected [M, G*H, D] and [M, G*H, H]"
                          : "weight_ih, weight_hh: expected [G*H, D] and [G*H, H]");
    const Index inputs = static_cast<Index>(ih.shape(first + 1)), hidden = static_cast<Index>(hh.shape(first + 1));
    return {{cell, models, steps, rows, inputs, hidden}, has_models};
}

const Index* checked_lengths(const Door& door, const MaybeRead& lengths) {
    const Index* data = contiguous<Index>(lengths, "lengths", door.lengths());
    for (Index i = 0; data != nullptr && i < door.z.models * door.z.rows; ++i)
        if (data[i] < 0 || data[i] > door.z.steps)
            refuse("lengths: expected 0 to " + std::to_string(door.z.steps) + ", found " + std::to_string(data[i]));
    return data;
}

template <class T>
Index size_of_saved(const Sizes& z) {
    return std::is_same_v<T, float> ? kernel().saved_size_f32(z) : kernel().saved_size_f64(z);
}

template <class T>
T* written_over_time(const MaybeWrite& array, const char* name, const Shape& shape, Strides& strides) {
    if (!array.has_value()) return nullptr;
    check<T>(*array, name, shape);
    strides = strides_of(*array);
    if (array->size() > 0 && shape.back() > 1 && strides.i != 1)
        refuse(std::string(name) + ": expected its last axis contiguous");
    return static_cast<T*>(array->data());
}

template <class T>
void forward(Cell cell, const Read& x, const Read& weight_ih, const Read& weight_hh, const MaybeRead& bias_ih,
             const MaybeRead& bias_hh, const MaybeRead& h0, const MaybeRead& c0, const MaybeRead& lengths, bool reverse,
             const MaybeWrite& outputs, const MaybeWrite& h_n, const MaybeWrite& c_n, const MaybeWrite& saved,
             int threads) {
    const std::size_t n = x.ndim();
    const Index models = n == 4 ? static_cast<Index>(x.shape(0)) : 1;
    const Door door = door_of(cell, n == 4, models, static_cast<Index>(x.shape(n - 3)),
                              static_cast<Index>(x.shape(n - 2)), weight_ih, weight_hh);
    Forward<T> f{};
    f.sizes = door.z;
    f.reverse = reverse;
    f.threads = threads;
    check<T>(x, "x", door.over_time(door.z.inputs));
    f.x = static_cast<const T*>(x.data());
    f.x_strides = strides_of(x);
    f.weight_ih = contiguous<T>(weight_ih, "weight_ih", door.weight(door.z.inputs));
    f.weight_hh = contiguous<T>(weight_hh, "weight_hh", door.weight(door.z.hidden));
    f.bias_ih = contiguous<T>(bias_ih, "bias_ih", door.bias());
    f.bias_hh = contiguous<T>(bias_hh, "bias_hh", door.bias());
    f.h0 = contiguous<T>(h0, "h0", door.state());
    f.c0 = contiguous<T>(c0, "c0", door.state());
    f.lengths = checked_lengths(door, lengths);
    f.outputs = written_over_time<T>(outputs, "outputs", door.over_time(door.z.hidden), f.outputs_strides);
    f.h_n = contiguous<T>(h_n, "h_n", door.state());
    f.c_n = contiguous<T>(c_n, "c_n", door.state());
    f.saved = contiguous<T>(saved, "saved", {size_of_saved<T>(door.z)});
    run(f);
}

void scan_forward(const std::string& cell, const Read& x, const Read& weight_ih, const Read& weight_hh,
                  const MaybeRead& bias_ih, const MaybeRead& bias_hh, const MaybeRead& h0, const MaybeRead& c0,
                  const MaybeRead& lengths, bool reverse, const MaybeWrite& outputs, const MaybeWrite& h_n,
                  const MaybeWrite& c_n, const MaybeWrite& saved, int threads) {
    if (x.ndim() != 3 && x.ndim() != 4) refuse("x: expected [T, B, D] or [M, T, B, D], found " + text(shape_of(x)));
    const auto call = x.dtype() == nb::dtype<double>() ? forward<double> : forward<float>;
    call(cell_of(cell), x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0, lengths, reverse, outputs, h_n, c_n, saved,
         threads);
}

struct BackwardArrays {
    const Read &weight_ih, &weight_hh;
    const MaybeRead& lengths;
    const Read& saved;
    const MaybeRead &grad_outputs, &grad_h_n, &grad_c_n;
    const MaybeWrite &grad_x, &grad_weight_ih, &grad_weight_hh, &grad_bias_ih, &grad_bias_hh, &grad_h0, &grad_c0;
};

template <class T>
void backward(const Door& door, const BackwardArrays& a, bool reverse, int threads) {
    const Sizes& z = door.z;
    Backward<T> f{};
    f.sizes = z;
    f.reverse = reverse;
    f.threads = threads;
    f.weight_ih = contiguous<T>(a.weight_ih, "weight_ih", door.weight(z.inputs));
    f.weight_hh = contiguous<T>(a.weight_hh, "weight_hh", door.weight(z.hidden));
    f.lengths = checked_lengths(door, a.lengths);
    f.saved = contiguous<T>(a.saved, "saved", {size_of_saved<T>(z)});
    if (a.grad_outputs.has_value()) {
        check<T>(*a.grad_outputs, "grad_outputs", door.over_time(z.hidden));
        f.grad_outputs = static_cast<const T*>(a.grad_outputs->data());
        f.grad_outputs_strides = strides_of(*a.grad_outputs);
    }
    f.grad_h_n = contiguous<T>(a.grad_h_n, "grad_h_n", door.state());
    f.grad_c_n = contiguous<T>(a.grad_c_n, "grad_c_n", door.state());
    f.grad_x = written_over_time<T>(a.grad_x, "grad_x", door.over_time(z.inputs), f.grad_x_strides);
    f.grad_weight_ih = contiguous<T>(a.grad_weight_ih, "grad_weight_ih", door.weight(z.inputs));
    f.grad_weight_hh = contiguous<T>(a.grad_weight_hh, "grad_weight_hh", door.weight(z.hidden));
    f.grad_bias_ih = contiguous<T>(a.grad_bias_ih, "grad_bias_ih", door.bias());
    f.grad_bias_hh = contiguous<T>(a.grad_bias_hh, "grad_bias_hh", door.bias());
    if (a.grad_weight_ih.has_value() != a.grad_weight_hh.has_value())
        refuse("grad_weight_ih, grad_weight_hh: expected both or neither");
    f.grad_h0 = contiguous<T>(a.grad_h0, "grad_h0", door.state());
    f.grad_c0 = contiguous<T>(a.grad_c0, "grad_c0", door.state());
    run(f);
}

// B, from whichever array shows it; rows where none does.
Index rows_of(const BackwardArrays& a, Index rows) {
    if (a.grad_outputs.has_value() && a.grad_outputs->ndim() >= 2)
        return a.grad_outputs->shape(a.grad_outputs->ndim() - 2);
    if (a.grad_h_n.has_value() && a.grad_h_n->ndim() >= 2) return a.grad_h_n->shape(a.grad_h_n->ndim() - 2);
    if (a.grad_c_n.has_value() && a.grad_c_n->ndim() >= 2) return a.grad_c_n->shape(a.grad_c_n->ndim() - 2);
    if (rows < 0) refuse("rows: expected the number of rows, as no gradient of an output shows it");
    return rows;
}

void scan_backward(const std::string& cell, Index steps, const Read& weight_ih, const Read& weight_hh,
                   const MaybeRead& lengths, bool reverse, const Read& saved, const MaybeRead& grad_outputs,
                   const MaybeRead& grad_h_n, const MaybeRead& grad_c_n, const MaybeWrite& grad_x,
                   const MaybeWrite& grad_weight_ih, const MaybeWrite& grad_weight_hh, const MaybeWrite& grad_bias_ih,
                   const MaybeWrite& grad_bias_hh, const MaybeWrite& grad_h0, const MaybeWrite& grad_c0, Index rows,
                   int threads) {
    const BackwardArrays a{weight_ih, weight_hh,      lengths,        saved,        grad_outputs, grad_h_n, grad_c_n,
                           grad_x,    grad_weight_ih, grad_weight_hh, grad_bias_ih, grad_bias_hh, grad_h0,  grad_c0};
    const bool has_models = weight_ih.ndim() == 3;
    const Door door = door_of(cell_of(cell), has_models, has_models ? static_cast<Index>(weight_ih.shape(0)) : 1, steps,
                              rows_of(a, rows), weight_ih, weight_hh);
    (weight_ih.dtype() == nb::dtype<double>() ? backward<double> : backward<float>)(door, a, reverse, threads);
}

template <class T>
void forward_at(const Sizes& sizes, bool reverse, int threads, Address x, const Strides& x_strides, Address weight_ih,
                Address weight_hh, Address bias_ih, Address bias_hh, Address h0, Address c0, Address lengths,
                Address outputs, const Strides& outputs_strides, Address h_n, Address c_n, Address saved) {
    run(Forward<T>{sizes, reverse, threads, pointer<const T>(x), x_strides, pointer<const T>(weight_ih),
                   pointer<const T>(weight_hh), pointer<const T>(bias_ih), pointer<const T>(bias_hh),
                   pointer<const T>(h0), pointer<const T>(c0), pointer<const Index>(lengths), pointer<T>(outputs),
                   outputs_strides, pointer<T>(h_n), pointer<T>(c_n), pointer<T>(saved)});
}

void scan_forward_at(int cell, bool is_double, Index models, Index steps, Index rows, Index inputs, Index hidden,
                     bool reverse, int threads, Address x, Index x_m, Index x_t, Index x_b, Index x_d,
                     Address weight_ih, Address weight_hh, Address bias_ih, Address bias_hh, Address h0, Address c0,
                     Address lengths, Address outputs, Index out_m, Index out_t, Index out_b, Address h_n, Address c_n,
                     Address saved) {
    const Sizes sizes = sizes_at(cell, models, steps, rows, inputs, hidden);
    const auto call = is_double ? forward_at<double> : forward_at<float>;
    call(sizes, reverse, threads, x, {x_m, x_t, x_b, x_d}, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0, lengths,
         outputs, {out_m, out_t, out_b, 1}, h_n, c_n, saved);
}

template <class T>
void backward_at(const Sizes& sizes, bool reverse, int threads, Address weight_ih, Address weight_hh, Address lengths,
                 Address saved, Address grad_outputs, const Strides& grad_outputs_strides, Address grad_h_n,
                 Address grad_c_n, Address grad_x, const Strides& grad_x_strides, Address grad_weight_ih,
                 Address grad_weight_hh, Address grad_bias_ih, Address grad_bias_hh, Address grad_h0, Address grad_c0) {
    run(Backward<T>{sizes, reverse, threads, pointer<const T>(weight_ih), pointer<const T>(weight_hh),
                    pointer<const Index>(lengths), pointer<const T>(saved), pointer<const T>(grad_outputs),
                    grad_outputs_strides, pointer<const T>(grad_h_n), pointer<const T>(grad_c_n), pointer<T>(grad_x),
                    grad_x_strides, pointer<T>(grad_weight_ih), pointer<T>(grad_weight_hh), pointer<T>(grad_bias_ih),
                    pointer<T>(grad_bias_hh), pointer<T>(grad_h0), pointer<T>(grad_c0)});
}

void scan_backward_at(int cell, bool is_double, Index models, Index steps, Index rows, Index inputs, Index hidden,
                      bool reverse, int threads, Address weight_ih, Address weight_hh, Address lengths, Address saved,
                      Address grad_outputs, Index out_m, Index out_t, Index out_b, Index out_h, Address grad_h_n,
                      Address grad_c_n, Address grad_x, Index x_m, Index x_t, Index x_b, Address grad_weight_ih,
                      Address grad_weight_hh, Address grad_bias_ih, Address grad_bias_hh, Address grad_h0,
                      Address grad_c0) {
    const Sizes sizes = sizes_at(cell, models, steps, rows, inputs, hidden);
    const auto call = is_double ? backward_at<double> : backward_at<float>;
    call(sizes, reverse, threads, weight_ih, weight_hh, lengths, saved, grad_outputs, {out_m, out_t, out_b, out_h},
         grad_h_n, grad_c_n, grad_x, {x_m, x_t, x_b, 1}, grad_weight_ih, grad_weight_hh, grad_bias_ih, grad_bias_hh,
         grad_h0, grad_c0);
}

Index bound_saved_size(const std::string& cell, Index models, Index steps, Index rows, Index inputs, Index hidden,
                       bool is_double) {
    const Sizes sizes = sizes_at(static_cast<int>(cell_of(cell)), models, steps, rows, inputs, hidden);
    return is_double ? size_of_saved<double>(sizes) : size_of_saved<float>(sizes);
}

}  // namespace

void bind_scan(nb::module_& module) {
    using nb::arg;
    module.def("saved_size", &bound_saved_size, arg("cell"), arg("models"), arg("steps"), arg("rows"), arg("inputs"),
               arg("hidden"), nb::kw_only(), arg("double"));
    module.def("scan_forward", &scan_forward, arg("cell"), arg("x").noconvert(), arg("weight_ih").noconvert(),
               arg("weight_hh").noconvert(), arg("bias_ih").noconvert().none(), arg("bias_hh").noconvert().none(),
               arg("h0").noconvert().none(), arg("c0").noconvert().none(), arg("lengths").noconvert().none(),
               arg("reverse"), arg("outputs").noconvert().none(), arg("h_n").noconvert().none(),
               arg("c_n").noconvert().none(), arg("saved").noconvert().none(), arg("threads") = 0);
    module.def("scan_backward", &scan_backward, arg("cell"), arg("steps"), arg("weight_ih").noconvert(),
               arg("weight_hh").noconvert(), arg("lengths").noconvert().none(), arg("reverse"),
               arg("saved").noconvert(), arg("grad_outputs").noconvert().none(), arg("grad_h_n").noconvert().none(),
               arg("grad_c_n").noconvert().none(), arg("grad_x").noconvert().none(),
               arg("grad_weight_ih").noconvert().none(), arg("grad_weight_hh").noconvert().none(),
               arg("grad_bias_ih").noconvert().none(), arg("grad_bias_hh").noconvert().none(),
               arg("grad_h0").noconvert().none(), arg("grad_c0").noconvert().none(), arg("rows") = -1,
               arg("threads") = 0);
    module.def("scan_forward_at", &scan_forward_at);
    module.def("scan_backward_at", &scan_backward_at);
}

}  // namespace stepahead
