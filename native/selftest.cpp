// The kernel against loops a child could check, without Python: for sanitizers, valgrind and other processors.
//
// Forward: naive loops in double. Backward: central differences of those loops. Training: a step of gradient descent by
// `train` lowers the loss, and a model alone gets the same bits as one among others.
#include "selftest.h"

namespace {

using namespace stepahead;

template <class T>
void check_scan(const Case& a, double tolerance) {
    const Index S = a.z.steps, B = a.z.rows, D = a.z.inputs, H = a.z.hidden, rows = gates_of(a.z.cell) * H;
    const bool lstm = a.z.cell == Cell::lstm;
    const auto x = as<T>(a.x), ih = as<T>(a.ih), hh = as<T>(a.hh), bi = as<T>(a.bias_ih), bh = as<T>(a.bias_hh);
    const auto h0 = as<T>(a.h0), c0 = as<T>(a.c0);
    const Index size = sizeof(T) == 4 ? kernel().saved_size_f32(a.z) : kernel().saved_size_f64(a.z);
    std::vector<T> out((S + 2) * B * H), saved(size);
    call(Forward<T>{a.z,
                    a.reverse,
                    2,
                    x.data(),
                    {0, B * D, D, 1},
                    ih.data(),
                    hh.data(),
                    bi.data(),
                    bh.data(),
                    h0.data(),
                    lstm ? c0.data() : nullptr,
                    a.lengths.data(),
                    out.data(),
                    {0, B * H, H, 1},
                    out.data() + S * B * H,
                    lstm ? out.data() + (S + 1) * B * H : nullptr,
                    saved.data()});
    const Numbers expected = naive_forward(a);
    for (Index i = 0; i < (lstm ? S + 2 : S + 1) * B * H; ++i)
        expect_close(out[i], expected[i], tolerance, "forward", a);

    const Numbers slope = random_numbers((S + 2) * B * H);
    const auto g = as<T>(slope);
    std::vector<T> gx(x.size()), gih(ih.size()), ghh(hh.size()), gbi(rows), gbh(rows), gh0(h0.size()), gc0(c0.size());
    call(Backward<T>{a.z,
                     a.reverse,
                     2,
                     ih.data(),
                     hh.data(),
                     a.lengths.data(),
                     saved.data(),
                     g.data(),
                     {0, B * H, H, 1},
                     g.data() + S * B * H,
                     lstm ? g.data() + (S + 1) * B * H : nullptr,
                     gx.data(),
                     {0, B * D, D, 1},
                     gih.data(),
                     ghh.data(),
                     gbi.data(),
                     gbh.data(),
                     gh0.data(),
                     lstm ? gc0.data() : nullptr});
    const auto loss = [&](const Case& at) {
        const Numbers y = naive_forward(at);
        double total = 0;
        for (Index i = 0; i < (lstm ? S + 2 : S + 1) * B * H; ++i) total += y[i] * slope[i];
        return total;
    };
    const auto check = [&](Numbers Case::* member, const std::vector<T>& gradient, const char* what) {
        const Index n = static_cast<Index>(gradient.size());
        for (Index k = 0; k < 6 && n > 0; ++k) {
            const Index i = k * 7919 % n;
            Case up = a, down = a;
            (up.*member)[i] += 1e-7;
            (down.*member)[i] -= 1e-7;
            // So small a step, to stay on one side of the kinks of max(., 0); the quotient is then right to about 1e-7.
            expect_close(gradient[i], (loss(up) - loss(down)) / 2e-7, tolerance < 1e-8 ? 1e-6 : tolerance * 20, what,
                         a);
        }
    };
    check(&Case::x, gx, "grad x");
    check(&Case::ih, gih, "grad weight_ih");
    check(&Case::hh, ghh, "grad weight_hh");
    check(&Case::bias_ih, gbi, "grad bias_ih");
    check(&Case::bias_hh, gbh, "grad bias_hh");
    check(&Case::h0, gh0, "grad h0");
    if (lstm) check(&Case::c0, gc0, "grad c0");
}

// outputs, then the gradient of x where every output has the gradient 1; what is kept in between begins so many numbers
// behind a cache line.
Numbers there_and_back(const Case& a, Index rows, Index behind) {
    const Index T = a.z.steps, D = a.z.inputs, H = a.z.hidden, stride = a.z.rows;
    const Sizes z = {a.z.cell, 1, T, rows, D, H};
    Numbers out(static_cast<std::size_t>(T * rows * H)), ones(out.size(), 1.0);
    Numbers gx(static_cast<std::size_t>(T * rows * D)), gih(a.ih.size()), ghh(a.hh.size());
    Numbers saved(static_cast<std::size_t>(kernel().saved_size_f64(z) + 16));
    double* kept = saved.data();
    while (reinterpret_cast<std::uintptr_t>(kept) % 64 != 0) ++kept;
    kept += behind;
    Forward<double> f{};
    f.sizes = z;
    f.x = a.x.data();
    f.x_strides = {0, stride * D, D, 1};
    f.weight_ih = a.ih.data();
    f.weight_hh = a.hh.data();
    f.outputs = out.data();
    f.outputs_strides = {0, rows * H, H, 1};
    f.saved = kept;
    call(f);
    Backward<double> back{};
    back.sizes = z;
    back.weight_ih = a.ih.data();
    back.weight_hh = a.hh.data();
    back.saved = kept;
    back.grad_outputs = ones.data();
    back.grad_outputs_strides = f.outputs_strides;
    back.grad_x = gx.data();
    back.grad_x_strides = {0, rows * D, D, 1};
    back.grad_weight_ih = gih.data();
    back.grad_weight_hh = ghh.data();
    call(back);
    out.insert(out.end(), gx.begin(), gx.end());
    return out;
}

// So much is kept that it goes past the caches, where it may: the first rows get what they get among few.
void check_streams(Cell cell, bool past) {
    past_caches() = past;
    const Index T = 20, B = 700, D = 3, H = 16, few = 19;
    const Case a = make_case(cell, T, B, D, H, false);
    const Numbers expected = there_and_back(a, few, 0), streamed = there_and_back(a, B, 0);
    if (there_and_back(a, B, 1) != streamed && ++failures < 20) std::printf("FAIL streams: not as beside a line\n");
    for (Index t = 0; t < T; ++t)
        for (Index b = 0; b < few; ++b) {
            const auto same = [&](Index from, Index other, Index n, const char* what) {
                for (Index i = 0; i < n; ++i)
                    expect_close(streamed[from + (t * B + b) * n + i], expected[other + (t * few + b) * n + i], 1e-13,
                                 what, a);
            };
            same(0, 0, H, "streamed forward");
            same(T * B * H, T * few * H, D, "streamed backward");
        }
}

void check_step(const Case& a) {
    if (a.z.steps == 0) return;
    const Index B = a.z.rows, D = a.z.inputs, H = a.z.hidden;
    const auto ih = as<float>(a.ih), hh = as<float>(a.hh), bi = as<float>(a.bias_ih), bh = as<float>(a.bias_hh);
    std::vector<float> packed(kernel().packed_step_size(a.z.cell, D, H)), x = as<float>(a.x), h = as<float>(a.h0);
    std::vector<float> c = as<float>(a.c0);
    kernel().pack_step(a.z.cell, D, H, ih.data(), hh.data(), bi.data(), bh.data(), packed.data());
    const StepLayer layer = {D, packed.data()};
    kernel().step({a.z.cell, B, H, 1, 2, &layer, x.data(), h.data(), a.z.cell == Cell::lstm ? c.data() : nullptr});
    for (Index b = 0; b < B; ++b) {
        Numbers now(a.h0.begin() + b * H, a.h0.begin() + (b + 1) * H),
            cell(a.c0.begin() + b * H, a.c0.begin() + (b + 1) * H);
        naive_step(a, a.x.data() + b * D, now.data(), cell.data());
        for (Index j = 0; j < H; ++j) expect_close(h[b * H + j], now[j], 2e-6, "step", a);
    }
}

// Two models in one call, one of them alone in another.
void check_train(Cell cell, Loss loss) {
    const Index D = 3, H = 6, T = 5, B = 21, S = 30, R = 60, W = 40, horizon = 2;
    const float quantiles[] = {0.1f, 0.5f, 0.9f};
    TrainSetup setup{cell, 2,     D,    H,   horizon, true, loss, 1.0f, quantiles, loss == Loss::pinball ? 3 : 1,
                     0.9,  0.999, 1e-8, 1.0, true,    0};
    const Index P = num_parameters(setup);
    std::vector<float> parameters = as<float>(random_numbers(2 * P)), first(parameters.begin(), parameters.begin() + P);
    std::vector<float> moments(4 * P, 0.0f), alone_moments(2 * P, 0.0f), rows = as<float>(random_numbers(R * D));
    std::vector<float> targets = as<float>(random_numbers(W * horizon)), rates(2 * S, 0.02f), decay(2, 0.0f);
    std::vector<float> losses(2 * S), alone_losses(S);
    std::vector<Index> starts, order, alone_order, taken(2, 0);
    for (Index w = 0; w < W; ++w) starts.push_back(w);
    for (Index s = 0; s < S; ++s)
        for (Index m = 0; m < 2; ++m)
            for (Index b = 0; b < B; ++b) {
                order.push_back(b > 15 && m == 1 ? -1 : (b * 3 + m) % W);
                if (m == 0) alone_order.push_back(order.back());
            }
    TrainCall call{T,
                   B,
                   S,
                   parameters.data(),
                   moments.data(),
                   taken.data(),
                   rows.data(),
                   starts.data(),
                   targets.data(),
                   nullptr,
                   nullptr,
                   order.data(),
                   rates.data(),
                   decay.data(),
                   losses.data(),
                   nullptr,
                   nullptr};
    kernel().train(setup, call);
    setup.models = 1;
    std::vector<Index> alone_taken(1, 0);
    call.parameters = first.data();
    call.moments = alone_moments.data();
    call.taken = alone_taken.data();
    call.order = alone_order.data();
    call.losses = alone_losses.data();
    kernel().train(setup, call);
    if (std::memcmp(first.data(), parameters.data(), sizeof(float) * P) != 0) {
        ++failures;
        std::printf("FAIL train: cell %d: a model alone gets other bits than beside another\n", static_cast<int>(cell));
    }
    if (!(losses[2 * (S - 1)] < losses[0])) {
        ++failures;
        std::printf("FAIL train: cell %d loss %d: %g after %g\n", static_cast<int>(cell), static_cast<int>(loss),
                    losses[2 * (S - 1)], losses[0]);
    }
}

}  // namespace

int main() {
    const Index shapes[][4] = {{1, 1, 1, 1},   {7, 25, 5, 10}, {3, 40, 0, 7}, {5, 9, 3, 16},
                               {4, 13, 9, 17}, {0, 3, 2, 2},   {2, 0, 2, 3}};
    for (const Cell cell : {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru}) {
        for (const auto& s : shapes)
            for (const bool reverse : {false, true}) {
                const Case a = make_case(cell, s[0], s[1], s[2], s[3], reverse);
                check_scan<double>(a, 1e-12);
                check_scan<float>(a, 3e-6);
                check_step(a);
            }
        for (const bool past : {false, true}) check_streams(cell, past);
        check_symbols(cell);
        for (const Loss loss : {Loss::mse, Loss::mae, Loss::huber, Loss::pinball}) check_train(cell, loss);
    }
    check_softmax();
    std::printf("%s: %d failures\n", kernel().name, failures);
    return failures == 0 ? 0 : 1;
}
