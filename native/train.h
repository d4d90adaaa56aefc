// Training steps of M models, fused: gather, forward, head, loss, backward, Adam.
//
// A batch is cut into tiles and tiles into parts, by its size alone. Each part adds up a gradient of its own; the
// parts are then added in order. Many models are shared out whole to the threads and run all their steps alone; few
// are shared out by parts, step by step. Both do the same sums in the same order.
#pragma once

#include "adam.h"
#include "head.h"
#include "scan.h"

namespace stepahead {
namespace STEPAHEAD_ISA {

// The batch of one model in one step.
struct Batch {
    const Index* windows;  // [size] or null: size * m + 0, 1, ...
    Index first, size;
    Cut cut;
    float scale;  // 1 / (sum of weights * quantiles)
};

// Where things lie: in a model's flat parameters, and in its working memory (packed weights, gradient, parts).
struct TrainLayout {
    Index D, H, O, P, ih, hh, bias_ih, bias_hh, head, head_bias;
    Packed packed;
    HeadLayout head_layout;
    Index recurrent, part;  // sizes of a part's recurrent gradient and of the whole part; its last number is the loss

    explicit TrainLayout(const TrainSetup& s) : D(s.inputs), H(s.hidden), O(s.horizon * s.num_quantiles) {
        const Index rows = gates_of(s.cell) * H, bias = s.bias ? rows : 0;
        ih = 0;
        hh = ih + rows * D;
        bias_ih = hh + rows * H;
        bias_hh = bias_ih + bias;
        head = bias_hh + bias;
        head_bias = head + O * H;
        P = head_bias + O;
        packed = packed_layout(s.cell, D, H, true);
        head_layout = {O, H};
        recurrent = gradient_size<float>(s.cell, D, H);
        part = round_up(recurrent + head_layout.gradient_size() + 1, 16);
    }
    Index model_size(Index parts) const { return packed.total + round_up(P, 16) + parts * part; }
    float* gradient(float* memory) const { return memory + packed.total; }
    float* parts(float* memory) const { return gradient(memory) + round_up(P, 16); }
};

struct Training {
    const TrainSetup& s;
    const TrainCall& c;
    const TrainLayout z;

    float* parameters(Index m) const { return c.parameters + m * z.P; }
    bool learns() const { return c.moments != nullptr || c.gradients != nullptr; }

    Batch batch_of(Index step, Index m) const {
        Batch batch{};
        const Index* windows = c.order == nullptr ? nullptr : c.order + (step * s.models + m) * c.batch;
        batch.windows = windows;
        batch.first = m * c.batch;
        batch.size = c.batch;
        if (windows != nullptr)
            for (batch.size = 0; batch.size < c.batch && windows[batch.size] >= 0;) ++batch.size;
        if (c.moments != nullptr && c.learning_rate[step * s.models + m] == 0) batch.size = 0;
        batch.cut = cut_rows<float>({s.cell, 1, c.window, batch.size, z.D, z.H});
        double total = 0;
        for (Index b = 0; b < batch.size; ++b)
            for (Index h = 0; h < s.horizon; ++h) total += weight_of(window_of(batch, b), h);
        batch.scale = static_cast<float>(1 / ((total > 1 ? total : 1) * s.num_quantiles));
        return batch;
    }

    static Index window_of(const Batch& batch, Index b) {
        return batch.windows == nullptr ? batch.first + b : batch.windows[b];
    }
    float weight_of(Index window, Index h) const {
        return c.weights == nullptr ? 1.0f : c.weights[window * s.horizon + h];
    }

    void pack(Index m, float* memory) const {
        const float* p = parameters(m);
        const Weights<float> w = {p + z.ih, p + z.hh, s.bias ? p + z.bias_ih : nullptr,
                                  s.bias ? p + z.bias_hh : nullptr};
        pack_model(s.cell, z.D, z.H, w, learns(), false, memory);
    }

    void run_part(Index m, const Batch& batch, Index part, float* memory) const {
        float* out = z.parts(memory) + part * z.part;
        std::memset(out, 0, sizeof(float) * z.part);
        const Index begin = part * batch.cut.tiles / batch.cut.parts,
                    end = (part + 1) * batch.cut.tiles / batch.cut.parts;
        with_cell(s.cell, batch.cut.vectors, [&]<Cell C, int NV>() {
            for (Index tile = begin; tile < end; ++tile) run_tile<C, NV>(m, batch, tile, memory, out);
        });
    }

    template <Cell C, int NV>
    struct TileMemory {
        static constexpr Index L = NV * width<float>;
        Index kept, work, y, state, scale;
        explicit TileMemory(const TrainLayout& z, Index steps)
            : kept(Memory<C, NV, float>::size(steps, z.D, z.H) + 4 * L),
              work(backward_workspace<C, NV, float>(steps, z.D, z.H)),
              y(z.head_layout.padded_outputs() * L),
              state(z.H * L),
              scale(z.D * L) {}
        Index total() const { return kept + work + y + 2 * state + 2 * scale; }
    };

    template <Cell C, int NV>
    void run_tile(Index m, const Batch& batch, Index tile, const float* packed, float* out) const {
        constexpr Index L = NV * width<float>;
        const TileMemory<C, NV> size(z, c.window);
        float* kept = static_cast<float*>(scratch(Slot::task, sizeof(float) * size.total()));
        float *work = kept + size.kept, *y = work + size.work, *state = y + size.y, *scale = state + 2 * size.state;
        const Index b = tile * L, lanes = batch.size - b < L ? batch.size - b : L;
        const float *target[L], *weight[L];
        for (Index l = 0; l < lanes; ++l) {
            const Index window = window_of(batch, b + l);
            target[l] = c.targets + window * s.horizon;
            weight[l] = at(c.weights, window * s.horizon);
        }
        const TileForward<float> f = forward_of<NV>(batch, b, lanes, packed, scale, kept);
        forward_tile<C, NV, float>(f);
        float* h = kept + (c.window * (z.D + z.H) + z.D) * L;
        // The head reads four units at a time: no garbage beyond the last.
        if (!Memory<C, NV, float>::has_c && Memory<C, NV, float>::S::keeps == 0)
            std::memset(h + z.H * L, 0, sizeof(float) * 4 * L);
        const float* p = parameters(m);
        head_forward<NV>(z.head_layout, p + z.head, p + z.head_bias, h, y);
        if (c.predictions != nullptr) lanes_to_rows<NV>(y, z.O, lanes, c.predictions + (m * c.batch + b) * z.O, z.O);
        out[z.part - 1] += tile_loss<NV>(s, target, c.weights == nullptr ? nullptr : weight, lanes, batch.scale, y);
        if (!learns()) return;
        std::memset(y + z.O * L, 0, sizeof(float) * (size.y - z.O * L));
        head_backward<NV>(z.head_layout, p + z.head, h, y, state, out + z.recurrent);
        std::memset(state + size.state, 0, sizeof(float) * size.state);
        TileBackward<float> back{};
        back.scan = f.scan;
        back.back_h = packed + z.packed.back_h;
        back.memory = kept;
        back.gradient = out;
        back.grad_h = state;
        back.grad_c = state + size.state;
        back.workspace = work;
        backward_tile<C, NV, float>(back);
    }

    template <int NV>
    TileForward<float> forward_of(const Batch& batch, Index b, Index lanes, const float* packed, float* scale,
                                  float* kept) const {
        constexpr Index L = NV * width<float>;
        TileForward<float> f{};
        f.scan = {c.window, z.D, z.H, lanes, false, nullptr};
        const float* scales[L];
        for (Index l = 0; l < lanes; ++l) {
            const Index window = window_of(batch, b + l);
            f.x[l] = c.rows + (c.starts == nullptr ? window * c.window : c.starts[window]) * z.D;
            scales[l] = at(c.scales, window * 2 * z.D);
        }
        f.x_stride_t = z.D;
        f.x_stride_i = 1;
        if (c.scales != nullptr) {
            std::memset(scale, 0, sizeof(float) * 2 * z.D * L);
            rows_to_lanes<NV>(scales, 0, 1, 2 * z.D, lanes, scale);
            f.shift = scale;
            f.factor = scale + z.D * L;
        }
        f.weights = packed + z.packed.weights;
        f.bias = packed + z.packed.bias;
        f.memory = kept;
        f.keep = true;
        return f;
    }

    // Adds up the parts; the loss, and a step or the gradient.
    void finish(Index step, Index m, const Batch& batch, float* memory) const {
        float *parts = z.parts(memory), *gradient = c.gradients != nullptr ? c.gradients + m * z.P : z.gradient(memory);
        double loss = 0;
        for (Index p = 0; p < batch.cut.parts; ++p) loss += parts[p * z.part + z.part - 1];
        c.losses[step * s.models + m] = static_cast<float>(loss * batch.scale);
        if (!learns() || batch.size == 0) return;
        const Gradients<float> out = {gradient + z.ih, gradient + z.hh, s.bias ? gradient + z.bias_ih : nullptr,
                                      s.bias ? gradient + z.bias_hh : nullptr};
        unpack_gradients(s.cell, z.D, z.H, whole, parts, batch.cut.parts, z.part, out);
        head_gradient(batch, parts, gradient);
        if (c.moments == nullptr) return;
        AdamStep adam{};
        adam.count = ++c.taken[m];
        adam.learning_rate = c.learning_rate[step * s.models + m];
        adam.weight_decay = c.weight_decay[m];
        float* moments = c.moments + m * z.P;
        take_step(s, adam, z.P, parameters(m), gradient, moments, moments + s.models * z.P);
        pack(m, memory);
    }

    void head_gradient(const Batch& batch, const float* parts, float* gradient) const {
        const Index wide = z.head_layout.padded_hidden();
        const auto sum = [&](Index offset) {
            float total = 0;
            for (Index p = 0; p < batch.cut.parts; ++p) total += parts[p * z.part + z.recurrent + offset];
            return total;
        };
        for (Index o = 0; o < z.O; ++o) {
            for (Index j = 0; j < z.H; ++j) gradient[z.head + o * z.H + j] = sum(o * wide + j);
            gradient[z.head_bias + o] = sum(z.O * wide + o);
        }
    }

    // A shorter batch may be cut into narrower tiles, and so into more parts.
    Index parts_at_most() const { return most_parts((c.batch + width<float> - 1) / width<float>, z.recurrent); }

    void run_model(Index m) const {
        float* memory = static_cast<float*>(scratch(Slot::reduce, sizeof(float) * z.model_size(parts_at_most())));
        pack(m, memory);
        for (Index step = 0; step < c.num_steps; ++step) {
            const Batch batch = batch_of(step, m);
            for (Index p = 0; p < batch.cut.parts; ++p) run_part(m, batch, p, memory);
            finish(step, m, batch, memory);
        }
    }

    void run_parts() const {
        const Index size = z.model_size(parts_at_most()), models = s.models;
        float* memory =
            static_cast<float*>(scratch(Slot::shared, sizeof(float) * size * models + sizeof(Batch) * models));
        Batch* batches = reinterpret_cast<Batch*>(memory + size * models);
        parallel(models, s.threads, [&](Index m) { pack(m, memory + m * size); });
        for (Index step = 0; step < c.num_steps; ++step) {
            Index most = 0;
            for (Index m = 0; m < models; ++m) {
                batches[m] = batch_of(step, m);
                most = batches[m].cut.parts > most ? batches[m].cut.parts : most;
            }
            parallel(models * most, s.threads, [&](Index task) {
                const Index m = task / most, part = task % most;
                if (part < batches[m].cut.parts) run_part(m, batches[m], part, memory + m * size);
            });
            parallel(models, s.threads, [&](Index m) { finish(step, m, batches[m], memory + m * size); });
        }
    }
};

inline void train(const TrainSetup& s, const TrainCall& c) {
    if (s.models == 0) return;
    const Training training{s, c, TrainLayout(s)};
    const int threads = s.threads > 0 ? s.threads : default_threads();
    if (s.models >= threads)
        parallel(s.models, threads, [&](Index m) { training.run_model(m); });
    else
        training.run_parts();
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
