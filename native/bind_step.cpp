// Stepper: a network's packed weights, and one step of it. Generator: a stepper with a head, going on by itself.
#include "stepper.h"

namespace stepahead {
namespace {

class Generator {
public:
    Generator(const Stepper& stepper, const Read& rows, const Read& head, const Read& bias)
        : stepper_(stepper), rows_(rows) {
        if (rows.ndim() != 2 || head.ndim() != 2)
            refuse("rows, head: expected [V, D] and [K, H], found " + text(shape_of(rows)) + text(shape_of(head)));
        symbols_ = static_cast<Index>(rows.shape(0));
        classes_ = static_cast<Index>(head.shape(0));
        if (classes_ < 1 || classes_ > symbols_) refuse("head: expected 1 to " + std::to_string(symbols_) + " classes");
        contiguous<float>(rows, "rows", {symbols_, stepper.inputs});
        packed_ = aligned_floats(kernel().packed_head_size(stepper.hidden, classes_));
        kernel().pack_head(stepper.hidden, classes_, contiguous<float>(head, "head", {classes_, stepper.hidden}),
                           contiguous<float>(bias, "bias", {classes_}), packed_.get());
    }

    Index generate(const Write& h, const MaybeWrite& c, Index code, Index end, const MaybeRead& uniforms,
                   double temperature, Index top_k, double top_p, const Write& codes) const {
        if (code < 0 || code >= symbols_) refuse("code: expected 0 to " + std::to_string(symbols_ - 1));
        if (c.has_value() != (stepper_.cell() == Cell::lstm))
            refuse("c: expected an array for the lstm, None for others");
        if (codes.ndim() != 1) refuse("codes: expected [length], found " + text(shape_of(codes)));
        if (uniforms.has_value() && !(temperature > 0 && top_p > 0 && top_k >= 0))
            refuse("temperature, top_p: expected above 0; top_k: 0 or more");
        GenerateCall call{};
        const Shape state = {stepper_.num_layers, 1, stepper_.hidden};
        call.length = static_cast<Index>(codes.shape(0));
        call.step = {stepper_.cell(), 1, stepper_.hidden, stepper_.num_layers, 1, stepper_.layers(), nullptr,
                     contiguous<float>(h, "h", state), contiguous<float>(c, "c", state)};
        call.rows = static_cast<const float*>(rows_.data());
        call.head = packed_.get();
        call.classes = classes_;
        call.code = code;
        call.end = end;
        call.uniforms = contiguous<double>(uniforms, "uniforms", {call.length});
        call.temperature = temperature;
        call.top_k = top_k;
        call.top_p = top_p;
        call.codes = contiguous<Index>(codes, "codes", {call.length});
        nb::gil_scoped_release release;
        return kernel().generate(call);
    }

private:
    const Stepper& stepper_;
    Read rows_;
    Index symbols_ = 0, classes_ = 0;
    AlignedFloats packed_;
};

}  // namespace

void bind_step(nb::module_& module) {
    using nb::arg;
    nb::class_<Stepper>(module, "Stepper")
        .def(nb::init<const std::string&, const std::vector<LayerArrays>&>(), arg("cell"), arg("layers"))
        .def_ro("inputs", &Stepper::inputs)
        .def_ro("hidden", &Stepper::hidden)
        .def_ro("num_layers", &Stepper::num_layers)
        .def("step", &Stepper::step, arg("x").noconvert(), arg("h").noconvert(), arg("c").noconvert().none(),
             arg("threads") = 0);
    nb::class_<Generator>(module, "Generator")
        .def(nb::init<const Stepper&, const Read&, const Read&, const Read&>(), nb::keep_alive<1, 2>(), arg("stepper"),
             arg("rows").noconvert(), arg("head").noconvert(), arg("bias").noconvert())
        .def("generate", &Generator::generate, arg("h").noconvert(), arg("c").noconvert().none(), arg("code"),
             arg("end"), arg("uniforms").noconvert().none(), arg("temperature"), arg("top_k"), arg("top_p"),
             arg("codes").noconvert());
}

}  // namespace stepahead
