// scan_forward and scan_backward for Python: checked, and by address.
#include <nanobind/stl/string.h>

#include "arrays.h"

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

void run(const Forward<float>& call) {
    nb::gil_scoped_release release;
    kernel().forward_f32(call);
}
void run(const Forward<double>& call) {
    nb::gil_scoped_release release;
    kernel().forward_f64(call);
}
void run(const Backward<float>& call) {
    nb::gil_scoped_release release;
    kernel().backward_f32(call);
}
void run(const Backward<double>& call) {
    nb::gil_scoped_release release;
    kernel().backward_f64(call);
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

using Address = std::uintptr_t;

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);
}

Sizes sizes_at(int cell, Index models, Index steps, Index rows, Index inputs, Index hidden) {
    if (cell < 0 || cell > 3) refuse("cell: expected 0 to 3");
    if (models < 0 || steps < 0 || rows < 0 || inputs < 0 || hidden < 0) refuse("sizes: expected none below zero");
    return {static_cast<Cell>(cell), models, steps, rows, inputs, hidden};
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

// A layer that reads symbols: by address, but the codes are checked.
template <class T>
Coded<T> coded_of(const Sizes& z, Address table, Index size, Address codes, Index stride_t, Index stride_b) {
    const Index* first = pointer<const Index>(codes);
    for (Index t = 0; t < z.steps; ++t)
        for (Index b = 0; b < z.rows; ++b) {
            const Index code = first[t * stride_t + b * stride_b];
            if (code < 0 || code >= size)
                refuse("codes: expected 0 to " + std::to_string(size - 1) + ", found " + std::to_string(code));
        }
    return {pointer<const T>(table), size, first, stride_t, stride_b};
}

template <class T>
void forward_codes(const Sizes& z, int threads, Address table, Index size, Address codes, Index stride_t,
                   Index stride_b, Address weight_hh, Address bias_hh, Address h0, Address c0, Address outputs,
                   Index out_t, Index out_b, Address h_n, Address c_n, Address saved) {
    Forward<T> f{};
    f.sizes = z;
    f.threads = threads;
    f.weight_hh = pointer<const T>(weight_hh);
    f.bias_hh = pointer<const T>(bias_hh);
    f.h0 = pointer<const T>(h0);
    f.c0 = pointer<const T>(c0);
    f.outputs = pointer<T>(outputs);
    f.outputs_strides = {0, out_t, out_b, 1};
    f.h_n = pointer<T>(h_n);
    f.c_n = pointer<T>(c_n);
    f.saved = pointer<T>(saved);
    f.coded = coded_of<T>(z, table, size, codes, stride_t, stride_b);
    run(f);
}

void scan_codes_forward_at(int cell, bool is_double, Index steps, Index rows, Index hidden, int threads, Address table,
                           Index size, Address codes, Index stride_t, Index stride_b, Address weight_hh,
                           Address bias_hh, Address h0, Address c0, Address outputs, Index out_t, Index out_b,
                           Address h_n, Address c_n, Address saved) {
    const auto call = is_double ? forward_codes<double> : forward_codes<float>;
    call(sizes_at(cell, 1, steps, rows, 0, hidden), threads, table, size, codes, stride_t, stride_b, weight_hh,
         bias_hh, h0, c0, outputs, out_t, out_b, h_n, c_n, saved);
}

template <class T>
void backward_codes(const Sizes& z, int threads, Index size, Address codes, Index stride_t, Index stride_b,
                    Address weight_hh, Address saved, Address grad_outputs, const Strides& strides, Address grad_h_n,
                    Address grad_c_n, Address grad_table, Address grad_weight_hh, Address grad_bias_hh,
                    Address grad_h0, Address grad_c0) {
    Backward<T> f{};
    f.sizes = z;
    f.threads = threads;
    f.weight_hh = pointer<const T>(weight_hh);
    f.saved = pointer<const T>(saved);
    f.grad_outputs = pointer<const T>(grad_outputs);
    f.grad_outputs_strides = strides;
    f.grad_h_n = pointer<const T>(grad_h_n);
    f.grad_c_n = pointer<const T>(grad_c_n);
    f.grad_weight_hh = pointer<T>(grad_weight_hh);
    f.grad_bias_hh = pointer<T>(grad_bias_hh);
    f.grad_h0 = pointer<T>(grad_h0);
    f.grad_c0 = pointer<T>(grad_c0);
    f.coded = coded_of<T>(z, 0, size, codes, stride_t, stride_b);
    f.grad_table = pointer<T>(grad_table);
    run(f);
}

void scan_codes_backward_at(int cell, bool is_double, Index steps, Index rows, Index hidden, int threads, Index size,
                            Address codes, Index stride_t, Index stride_b, Address weight_hh, Address saved,
                            Address grad_outputs, Index out_t, Index out_b, Index out_h, Address grad_h_n,
                            Address grad_c_n, Address grad_table, Address grad_weight_hh, Address grad_bias_hh,
                            Address grad_h0, Address grad_c0) {
    const auto call = is_double ? backward_codes<double> : backward_codes<float>;
    call(sizes_at(cell, 1, steps, rows, 0, hidden), threads, size, codes, stride_t, stride_b, weight_hh, saved,
         grad_outputs, {0, out_t, out_b, out_h}, grad_h_n, grad_c_n, grad_table, grad_weight_hh, grad_bias_hh,
         grad_h0, grad_c0);
}

double softmax_loss_at(Index rows, Index hidden, Index classes, int threads, Address hidden_rows, Address weight,
                       Address bias, Address targets, float scale, Address grad_rows, Address grad_weight,
                       Address grad_bias) {
    if (rows < 0 || hidden < 0 || classes < 1) refuse("sizes: expected none below zero, and a class");
    const Index* asked = pointer<const Index>(targets);
    for (Index i = 0; i < rows; ++i)
        if (asked[i] < -1 || asked[i] >= classes)
            refuse("targets: expected -1 to " + std::to_string(classes - 1) + ", found " + std::to_string(asked[i]));
    const SoftmaxCall call = {rows,
                              hidden,
                              classes,
                              threads,
                              pointer<const float>(hidden_rows),
                              pointer<const float>(weight),
                              pointer<const float>(bias),
                              asked,
                              scale,
                              pointer<float>(grad_rows),
                              pointer<float>(grad_weight),
                              pointer<float>(grad_bias)};
    nb::gil_scoped_release release;
    return kernel().softmax_loss(call);
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
    module.def("softmax_loss_at", &softmax_loss_at);
    module.def("scan_codes_forward_at", &scan_codes_forward_at);
    module.def("scan_codes_backward_at", &scan_codes_backward_at);
}

}  // namespace stepahead
