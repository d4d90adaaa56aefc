// The kernel against loops a child could check, without Python: for sanitizers, valgrind and other processors.
//
// Forward: naive loops in double. Backward: central differences of those loops. Training: a step of gradient descent by
// `train` lowers the loss, and a model alone gets the same bits as one among others.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel.h"
#include "pool.h"

namespace {

using namespace stepahead;
using Numbers = std::vector<double>;

double random_number() {
    static std::uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<double>(state >> 11) / 9007199254740992.0 - 0.5;
}

Numbers random_numbers(Index n) {
    Numbers numbers(static_cast<std::size_t>(n));
    for (double& x : numbers) x = random_number();
    return numbers;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

struct Case {
    Sizes z;
    bool reverse;
    Numbers x, ih, hh, bias_ih, bias_hh, h0, c0;
    std::vector<Index> lengths;
};

Case make_case(Cell cell, Index T, Index B, Index D, Index H, bool reverse) {
    const Index rows = gates_of(cell) * H;
    Case c{{cell, 1, T, B, D, H},     reverse,
           random_numbers(T * B * D), random_numbers(rows * D),
           random_numbers(rows * H),  random_numbers(rows),
           random_numbers(rows),      random_numbers(B * H),
           random_numbers(B * H),     {}};
    for (Index b = 0; b < B; ++b) c.lengths.push_back(b % 3 == 0 ? T : (b * 7) % (T + 1));
    return c;
}

// One row of gates' sums: weight [rows, n] times value [n] plus bias.
double product(const Numbers& weight, const double* value, Index n, Index row, const Numbers& bias) {
    double sum = bias[static_cast<std::size_t>(row)];
    for (Index k = 0; k < n; ++k) sum += weight[static_cast<std::size_t>(row * n + k)] * value[k];
    return sum;
}

// One step of one row: h and c [H] updated.
void naive_step(const Case& a, const double* x, double* h, double* c) {
    const Index H = a.z.hidden;
    const Numbers before(h, h + H);
    for (Index j = 0; j < H; ++j) {
        const auto by_x = [&](Index g) { return product(a.ih, x, a.z.inputs, g * H + j, a.bias_ih); };
        const auto by_h = [&](Index g) { return product(a.hh, before.data(), H, g * H + j, a.bias_hh); };
        const auto sum = [&](Index g) { return by_x(g) + by_h(g); };
        switch (a.z.cell) {
            case Cell::rnn_tanh: h[j] = std::tanh(sum(0)); break;
            case Cell::rnn_relu: h[j] = sum(0) > 0 ? sum(0) : 0; break;
            case Cell::lstm:
                c[j] = logistic(sum(1)) * c[j] + logistic(sum(0)) * std::tanh(sum(2));
                h[j] = logistic(sum(3)) * std::tanh(c[j]);
                break;
            case Cell::gru: {
                const double z = logistic(sum(1)), n = std::tanh(by_x(2) + logistic(sum(0)) * by_h(2));
                h[j] = (1 - z) * n + z * before[static_cast<std::size_t>(j)];
            }
        }
    }
}

// outputs [T, B, H], then h_n and c_n [B, H].
Numbers naive_forward(const Case& a) {
    const Index T = a.z.steps, B = a.z.rows, D = a.z.inputs, H = a.z.hidden;
    Numbers out(static_cast<std::size_t>((T + 2) * B * H), 0.0);
    for (Index b = 0; b < B; ++b) {
        Numbers h(a.h0.begin() + b * H, a.h0.begin() + (b + 1) * H),
            c(a.c0.begin() + b * H, a.c0.begin() + (b + 1) * H);
        for (Index s = 0; s < a.lengths[static_cast<std::size_t>(b)]; ++s) {
            const Index t = a.reverse ? a.lengths[static_cast<std::size_t>(b)] - 1 - s : s;
            naive_step(a, a.x.data() + (t * B + b) * D, h.data(), c.data());
            for (Index j = 0; j < H; ++j)
                out[static_cast<std::size_t>((t * B + b) * H + j)] = h[static_cast<std::size_t>(j)];
        }
        for (Index j = 0; j < H; ++j) {
            out[static_cast<std::size_t>((T * B + b) * H + j)] = h[static_cast<std::size_t>(j)];
            out[static_cast<std::size_t>(((T + 1) * B + b) * H + j)] = c[static_cast<std::size_t>(j)];
        }
    }
    return out;
}

int failures = 0;

void expect_close(double found, double expected, double tolerance, const char* what, const Case& a) {
    if (std::fabs(found - expected) <= tolerance * (1 + std::fabs(expected))) return;
    if (++failures < 20)
        std::printf("FAIL %s: cell %d T %ld B %ld D %ld H %ld: %.15g, expected %.15g\n", what,
                    static_cast<int>(a.z.cell), static_cast<long>(a.z.steps), static_cast<long>(a.z.rows),
                    static_cast<long>(a.z.inputs), static_cast<long>(a.z.hidden), found, expected);
}

void call(const Forward<float>& f) { kernel().forward_f32(f); }
void call(const Forward<double>& f) { kernel().forward_f64(f); }
void call(const Backward<float>& f) { kernel().backward_f32(f); }
void call(const Backward<double>& f) { kernel().backward_f64(f); }

template <class T>
std::vector<T> as(const Numbers& numbers) {
    return std::vector<T>(numbers.begin(), numbers.end());
}

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

// So much is kept that it goes past the caches: the first rows get what they get among few.
void check_streams(Cell cell) {
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

void check_softmax(Index N, Index H, Index K) {
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
        for (const auto& s : {shapes[0], shapes[1], shapes[3], shapes[4]})
            check_codes(cell, s[0], s[1], s[2] + 1, s[3]);
        check_streams(cell);
        for (const Index H : {1, 16, 21}) check_generate(cell, H + 2, H);
        for (const Loss loss : {Loss::mse, Loss::mae, Loss::huber, Loss::pinball}) check_train(cell, loss);
    }
    for (const Index n : {1, 7, 500}) check_softmax(n, n % 40 + 1, n % 90 + 2);
    std::printf("%s: %d failures\n", kernel().name, failures);
    return failures == 0 ? 0 : 1;
}
