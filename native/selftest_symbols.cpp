// The self-test of what reads and says symbols: codes in place of x, going on from one, cross-entropy.
#include "selftest.h"

namespace stepahead {
namespace {

// Codes in place of x: as x one-hot, whose weight_ih and bias_ih are the table. V symbols.
void check_codes(Cell cell, Index T, Index B, Index V, Index H) {
    Case a = make_case(cell, T, B, V, H, false);
    a.lengths.assign(static_cast<std::size_t>(B), T);
    const Index rows = gates_of(cell) * H;
    std::vector<Index> codes;
    a.x.assign(static_cast<std::size_t>(T * B * V), 0.0);
    for (Index i = 0; i < T * B; ++i) {
        codes.push_back(i * 7 % V);
        a.x[static_cast<std::size_t>(i * V + codes.back())] = 1;
    }
    Numbers table;
    for (Index v = 0; v < V; ++v)
        for (Index r = 0; r < rows; ++r) table.push_back(a.ih[r * V + v] + a.bias_ih[r]);
    const Sizes z = {cell, 1, T, B, 0, H};
    const Coded<double> coded = {table.data(), V, codes.data(), B, 1};
    Numbers out(static_cast<std::size_t>(T * B * H)), saved(static_cast<std::size_t>(kernel().saved_size_f64(z)));
    Forward<double> f{};
    f.sizes = z;
    f.threads = 2;
    f.weight_hh = a.hh.data();
    f.bias_hh = a.bias_hh.data();
    f.h0 = a.h0.data();
    f.c0 = cell == Cell::lstm ? a.c0.data() : nullptr;
    f.outputs = out.data();
    f.outputs_strides = {0, B * H, H, 1};
    f.saved = saved.data();
    f.coded = coded;
    call(f);
    const Numbers expected = naive_forward(a), slope = random_numbers(T * B * H);
    for (Index i = 0; i < T * B * H; ++i) expect_close(out[i], expected[i], 1e-12, "codes", a);
    Numbers grad_table(table.size()), grad_hh(a.hh.size()), grad_bias(static_cast<std::size_t>(rows));
    Backward<double> back{};
    back.sizes = z;
    back.threads = 2;
    back.weight_hh = a.hh.data();
    back.saved = saved.data();
    back.grad_outputs = slope.data();
    back.grad_outputs_strides = {0, B * H, H, 1};
    back.grad_weight_hh = grad_hh.data();
    back.grad_bias_hh = grad_bias.data();
    back.coded = coded;
    back.grad_table = grad_table.data();
    call(back);
    const auto loss = [&](const Case& at) {
        const Numbers y = naive_forward(at);
        double total = 0;
        for (Index i = 0; i < T * B * H; ++i) total += y[i] * slope[i];
        return total;
    };
    for (Index k = 0; k < 6; ++k) {
        const Index v = k % V, r = k * 7919 % rows;
        Case up = a, down = a;
        up.ih[r * V + v] += 1e-7;
        down.ih[r * V + v] -= 1e-7;
        expect_close(grad_table[v * rows + r], (loss(up) - loss(down)) / 2e-7, 1e-6, "grad table", a);
    }
}

void check_softmax_of(Index N, Index H, Index K) {
    const Case none = make_case(Cell::gru, 0, N, K, H, false);
    const auto hidden = as<float>(random_numbers(N * H)), weight = as<float>(random_numbers(K * H));
    const auto bias = as<float>(random_numbers(K));
    std::vector<Index> targets;
    for (Index i = 0; i < N; ++i) targets.push_back(i % 5 == 4 ? -1 : i * 3 % K);
    std::vector<float> grad_rows(N * H), grad_weight(K * H), grad_bias(K);
    const double found = kernel().softmax_loss({N, H, K, 2, hidden.data(), weight.data(), bias.data(), targets.data(),
                                                0.5f, grad_rows.data(), grad_weight.data(), grad_bias.data()});
    double expected = 0;
    Numbers bias_slope(static_cast<std::size_t>(K), 0.0);
    for (Index i = 0; i < N; ++i) {
        if (targets[i] < 0) continue;
        Numbers odds;
        double sum = 0;
        for (Index k = 0; k < K; ++k) {
            double logit = bias[k];
            for (Index j = 0; j < H; ++j) logit += static_cast<double>(weight[k * H + j]) * hidden[i * H + j];
            odds.push_back(std::exp(logit));
            sum += odds.back();
        }
        expected += std::log(sum / odds[targets[i]]);
        for (Index k = 0; k < K; ++k) bias_slope[k] += 0.5 * (odds[k] / sum - (k == targets[i] ? 1 : 0));
    }
    expect_close(found, expected, 3e-6, "softmax", none);
    for (Index k = 0; k < K; ++k) expect_close(grad_bias[k], bias_slope[k], 3e-6 * N, "softmax grad bias", none);
}

// Going on: each choice is the likeliest after a step of the kernel's own.
void check_generate(Cell cell, Index V, Index H) {
    const Case a = make_case(cell, 1, 1, V, H, false);
    const auto ih = as<float>(a.ih), hh = as<float>(a.hh), head = as<float>(random_numbers(V * H));
    std::vector<float> packed(kernel().packed_step_size(cell, V, H)), packed_head(kernel().packed_head_size(H, V));
    std::vector<float> unit(V * V, 0.0f), bias(V, 0.0f), h(H, 0.0f), c(H, 0.0f), own_h(H, 0.0f), own_c(H, 0.0f);
    for (Index v = 0; v < V; ++v) unit[v * V + v] = 1;
    kernel().pack_step(cell, V, H, ih.data(), hh.data(), nullptr, nullptr, packed.data());
    kernel().pack_head(H, V, head.data(), bias.data(), packed_head.data());
    const StepLayer layer = {V, packed.data()};
    const bool lstm = cell == Cell::lstm;
    Numbers uniforms(20, 0.999);
    std::vector<Index> codes(20), drawn(20);
    GenerateCall g{{cell, 1, H, 1, 1, &layer, nullptr, h.data(), lstm ? c.data() : nullptr},
                   unit.data(), packed_head.data(), V, 0, 20, -1, nullptr, 1, 1, 0, codes.data()};
    kernel().generate(g);
    for (Index n = 0, code = 0; n < 20; ++n) {
        kernel().step({cell, 1, H, 1, 1, &layer, unit.data() + code * V, own_h.data(), lstm ? own_c.data() : nullptr});
        const auto logit = [&](Index k) {
            double sum = 0;
            for (Index j = 0; j < H; ++j) sum += static_cast<double>(head[k * H + j]) * own_h[j];
            return sum;
        };
        code = codes[n];
        for (Index k = 0; k < V; ++k) expect_close(std::fmax(logit(k) - logit(code), 0), 0, 1e-6, "generate", a);
    }
    g.uniforms = uniforms.data();
    g.top_k = 1;
    g.codes = drawn.data();
    std::memset(h.data(), 0, sizeof(float) * H);
    std::memset(c.data(), 0, sizeof(float) * H);
    kernel().generate(g);
    if (drawn != codes && ++failures < 20) std::printf("FAIL generate: top_k 1 is not the likeliest\n");
}

}  // namespace

void check_symbols(Cell cell) {
    const Index shapes[][4] = {{1, 1, 2, 1}, {7, 25, 6, 10}, {5, 9, 4, 16}, {4, 13, 10, 17}};
    for (const auto& s : shapes) check_codes(cell, s[0], s[1], s[2], s[3]);
    for (const Index H : {1, 16, 21}) check_generate(cell, H + 2, H);
}

void check_softmax() {
    for (const Index n : {1, 7, 500}) check_softmax_of(n, n % 40 + 1, n % 90 + 2);
}

}  // namespace stepahead
