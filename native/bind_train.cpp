// Trainer: fused training steps for Python.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"
#include "pool.h"

namespace stepahead {
namespace {

Loss loss_of(const std::string& name) {
    if (name == "mse") return Loss::mse;
    if (name == "mae") return Loss::mae;
    if (name == "huber") return Loss::huber;
    if (name == "pinball") return Loss::pinball;
    refuse("loss: expected 'mse', 'mae', 'huber' or 'pinball', found '" + name + "'");
}

class Trainer {
public:
    Trainer(const std::string& cell, Index inputs, Index hidden, Index horizon, Index models, bool bias,
            const std::string& loss, float delta, const std::vector<float>& quantiles, std::tuple<double, double> betas,
            double eps, bool decoupled, double clip, int threads)
        : quantiles_(quantiles) {
        if (inputs < 0 || hidden < 1 || horizon < 1 || models < 0)
            refuse("inputs, hidden, horizon, models: expected at least 0, 1, 1 and 0");
        setup_ = {cell_of(cell),
                  models,
                  inputs,
                  hidden,
                  horizon,
                  bias,
                  loss_of(loss),
                  delta,
                  nullptr,
                  1,
                  std::get<0>(betas),
                  std::get<1>(betas),
                  eps,
                  clip,
                  decoupled,
                  threads};
        if (setup_.loss == Loss::pinball) {
            if (quantiles.empty()) refuse("quantiles: expected at least one for the pinball loss");
            setup_.num_quantiles = static_cast<Index>(quantiles.size());
        }
    }

    Index size() const { return stepahead::num_parameters(setup_); }

    void gradients(const Read& parameters, const Read& x, const Read& targets, const MaybeRead& weights,
                   const Write& out_gradients, const Write& out_losses) const {
        const Index M = setup_.models;
        if (x.ndim() != 4) refuse("x: expected [M, B, T, D], found " + text(shape_of(x)));
        const Index B = static_cast<Index>(x.shape(1)), T = static_cast<Index>(x.shape(2));
        TrainCall call{};
        call.window = T;
        call.batch = B;
        call.num_steps = 1;
        call.parameters = const_cast<float*>(contiguous<float>(parameters, "parameters", {M, size()}));
        call.rows = contiguous<float>(x, "x", {M, B, T, setup_.inputs});
        call.targets = contiguous<float>(targets, "targets", {M, B, setup_.horizon});
        call.weights = contiguous<float>(weights, "weights", {M, B, setup_.horizon});
        call.gradients = contiguous<float>(out_gradients, "out_gradients", {M, size()});
        call.losses = contiguous<float>(out_losses, "out_losses", {M});
        run(call);
    }

    void steps(const Write& parameters, const Write& moments, const Write& taken, const Read& rows, const Read& starts,
               const Read& targets, const Read& order, Index steps, const MaybeRead& weights, const MaybeRead& scales,
               const Read& learning_rate, const Read& weight_decay, const Write& losses) const {
        const Index M = setup_.models;
        if (order.ndim() != 3) refuse("order: expected [S, M, B], found " + text(shape_of(order)));
        const Index S = static_cast<Index>(order.shape(0)), B = static_cast<Index>(order.shape(2));
        TrainCall call = windows(rows, starts, targets, steps, weights, scales);
        call.num_steps = S;
        call.parameters = contiguous<float>(parameters, "parameters", {M, size()});
        call.moments = contiguous<float>(moments, "moments", {2, M, size()});
        call.taken = contiguous<Index>(taken, "taken", {M});
        call.learning_rate = contiguous<float>(learning_rate, "learning_rate", {S, M});
        call.weight_decay = contiguous<float>(weight_decay, "weight_decay", {M});
        call.losses = contiguous<float>(losses, "losses", {S, M});
        put_order(call, contiguous<Index>(order, "order", {S, M, B}), S * M * B, B, starts);
        run(call);
    }

    void losses(const Read& parameters, const Read& rows, const Read& starts, const Read& targets, const Read& order,
                Index steps, const MaybeRead& weights, const MaybeRead& scales, const Write& out_losses,
                const MaybeWrite& out_predictions) const {
        const Index M = setup_.models;
        if (order.ndim() != 2) refuse("order: expected [M, B], found " + text(shape_of(order)));
        const Index B = static_cast<Index>(order.shape(1));
        TrainCall call = windows(rows, starts, targets, steps, weights, scales);
        call.num_steps = 1;
        call.parameters = const_cast<float*>(contiguous<float>(parameters, "parameters", {M, size()}));
        call.losses = contiguous<float>(out_losses, "out_losses", {M});
        call.predictions =
            contiguous<float>(out_predictions, "out_predictions", {M, B, setup_.horizon * setup_.num_quantiles});
        put_order(call, contiguous<Index>(order, "order", {M, B}), M * B, B, starts);
        run(call);
    }

private:
    // The arrays that windows are cut from; every window lies within the rows.
    TrainCall windows(const Read& rows, const Read& starts, const Read& targets, Index steps, const MaybeRead& weights,
                      const MaybeRead& scales) const {
        if (rows.ndim() != 2) refuse("rows: expected [R, D], found " + text(shape_of(rows)));
        if (starts.ndim() != 1) refuse("starts: expected [W], found " + text(shape_of(starts)));
        const Index R = static_cast<Index>(rows.shape(0)), W = static_cast<Index>(starts.shape(0)), D = setup_.inputs;
        TrainCall call{};
        call.window = steps;
        call.rows = contiguous<float>(rows, "rows", {R, D});
        call.starts = contiguous<Index>(starts, "starts", {W});
        call.targets = contiguous<float>(targets, "targets", {W, setup_.horizon});
        call.weights = contiguous<float>(weights, "weights", {W, setup_.horizon});
        call.scales = contiguous<float>(scales, "scales", {W, 2, D});
        if (steps < 0) refuse("steps: expected at least 0");
        for (Index w = 0; w < W; ++w)
            if (call.starts[w] < 0 || call.starts[w] > R - steps)
                refuse("starts: window " + std::to_string(w) + " at row " + std::to_string(call.starts[w]) +
                       " leaves the " + std::to_string(R) + " rows");
        return call;
    }

    static void put_order(TrainCall& call, const Index* order, Index count, Index batch, const Read& starts) {
        const Index W = static_cast<Index>(starts.shape(0));
        for (Index i = 0; i < count; ++i)
            if (order[i] < -1 || order[i] >= W)
                refuse("order: expected windows -1 to " + std::to_string(W - 1) + ", found " +
                       std::to_string(order[i]));
        call.order = order;
        call.batch = batch;
    }

    void run(const TrainCall& call) const {
        TrainSetup setup = setup_;
        setup.quantiles = quantiles_.data();
        nb::gil_scoped_release release;
        const OwnPool own;
        kernel().train(setup, call);
    }

    std::vector<float> quantiles_;
    TrainSetup setup_{};
};

}  // namespace

void bind_train(nb::module_& module) {
    using nb::arg;
    nb::class_<Trainer>(module, "Trainer")
        .def(nb::init<const std::string&, Index, Index, Index, Index, bool, const std::string&, float,
                      const std::vector<float>&, std::tuple<double, double>, double, bool, double, int>(),
             arg("cell"), arg("inputs"), arg("hidden"), arg("horizon"), nb::kw_only(), arg("models") = 1,
             arg("bias") = true, arg("loss") = "mse", arg("delta") = 1.0f, arg("quantiles") = std::vector<float>(),
             arg("betas") = std::make_tuple(0.9, 0.999), arg("eps") = 1e-8, arg("decoupled") = false, arg("clip") = 0.0,
             arg("threads") = 0)
        .def_prop_ro("num_parameters", &Trainer::size)
        .def("gradients", &Trainer::gradients, arg("parameters").noconvert(), arg("x").noconvert(),
             arg("targets").noconvert(), arg("weights").noconvert().none(), arg("out_gradients").noconvert(),
             arg("out_losses").noconvert())
        .def("steps", &Trainer::steps, arg("parameters").noconvert(), arg("moments").noconvert(),
             arg("taken").noconvert(), arg("rows").noconvert(), arg("starts").noconvert(), arg("targets").noconvert(),
             arg("order").noconvert(), arg("steps"), arg("weights").noconvert().none(),
             arg("scales").noconvert().none(), arg("learning_rate").noconvert(), arg("weight_decay").noconvert(),
             arg("losses").noconvert())
        .def("losses", &Trainer::losses, arg("parameters").noconvert(), arg("rows").noconvert(),
             arg("starts").noconvert(), arg("targets").noconvert(), arg("order").noconvert(), arg("steps"),
             arg("weights").noconvert().none(), arg("scales").noconvert().none(), arg("out_losses").noconvert(),
             arg("out_predictions").noconvert().none());
}

}  // namespace stepahead
