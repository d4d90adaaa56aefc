// A network's packed weights, and one step of it.
#pragma once

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <new>

#include "arrays.h"

namespace stepahead {

// Packed weights begin with a cache line: a vector of 64 bytes that lies across two of them is read at half the speed.
struct FreeAligned {
    void operator()(float* block) const { ::operator delete(block, std::align_val_t(64)); }
};
using AlignedFloats = std::unique_ptr<float[], FreeAligned>;

inline AlignedFloats aligned_floats(Index count) {
    const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(count);
    return AlignedFloats(static_cast<float*>(::operator new(bytes, std::align_val_t(64))));
}

using LayerArrays = std::tuple<Read, Read, MaybeRead, MaybeRead>;

class Stepper {
public:
    Index inputs = 0, hidden = 0, num_layers = 0;

    Stepper(const std::string& cell, const std::vector<LayerArrays>& layers) : cell_(cell_of(cell)) {
        if (layers.empty()) refuse("layers: expected at least one");
        const Read& first = std::get<0>(layers[0]);
        if (first.ndim() != 2) refuse("weight_ih: expected [G*H, D], found " + text(shape_of(first)));
        inputs = static_cast<Index>(first.shape(1));
        hidden = static_cast<Index>(first.shape(0)) / gates_of(cell_);
        num_layers = static_cast<Index>(layers.size());
        Index size = 0;
        for (Index i = 0; i < num_layers; ++i)
            size += kernel().packed_step_size(cell_, i == 0 ? inputs : hidden, hidden);
        packed_ = aligned_floats(size + 16);
        float* to = packed_.get();
        for (Index i = 0; i < num_layers; ++i)
            to = add(layers[static_cast<std::size_t>(i)], i == 0 ? inputs : hidden, to);
    }

    void step(const Read& x, const Write& h, const MaybeWrite& c, int threads) const {
        if (x.ndim() != 2) refuse("x: expected [B, " + std::to_string(inputs) + "], found " + text(shape_of(x)));
        const Index rows = static_cast<Index>(x.shape(0));
        if (c.has_value() != (cell_ == Cell::lstm)) refuse("c: expected an array for the lstm, None for others");
        StepCall call{};
        call.cell = cell_;
        call.rows = rows;
        call.hidden = hidden;
        call.num_layers = num_layers;
        call.threads = threads;
        call.layers = layers_.data();
        call.x = contiguous<float>(x, "x", {rows, inputs});
        call.h = contiguous<float>(h, "h", {num_layers, rows, hidden});
        call.c = contiguous<float>(c, "c", {num_layers, rows, hidden});
        nb::gil_scoped_release release;
        kernel().step(call);
    }

    // Steps of one row, by pointers.   x [D] read; h, c [layers, H] updated
    StepCall one_row(const float* x, float* h, float* c) const {
        return {cell_, 1, hidden, num_layers, 1, layers_.data(), x, h, c};
    }

    Cell cell() const { return cell_; }
    const StepLayer* layers() const { return layers_.data(); }

private:
    float* add(const LayerArrays& layer, Index columns, float* to) {
        const Index rows = gates_of(cell_) * hidden;
        kernel().pack_step(cell_, columns, hidden, contiguous<float>(std::get<0>(layer), "weight_ih", {rows, columns}),
                           contiguous<float>(std::get<1>(layer), "weight_hh", {rows, hidden}),
                           contiguous<float>(std::get<2>(layer), "bias_ih", {rows}),
                           contiguous<float>(std::get<3>(layer), "bias_hh", {rows}), to);
        layers_.push_back({columns, to});
        return to + kernel().packed_step_size(cell_, columns, hidden);
    }

    Cell cell_;
    AlignedFloats packed_;
    std::vector<StepLayer> layers_;
};

}  // namespace stepahead
