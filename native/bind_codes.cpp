// A layer that reads symbols, and the loss under a softmax over them, for Python: by address, but codes and targets are
// checked.
#include "addresses.h"

namespace stepahead {
namespace {

// The codes are checked, for the kernel reads the table at them.
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

}  // namespace

void bind_codes(nb::module_& module) {
    module.def("softmax_loss_at", &softmax_loss_at);
    module.def("scan_codes_forward_at", &scan_codes_forward_at);
    module.def("scan_codes_backward_at", &scan_codes_backward_at);
}

}  // namespace stepahead
