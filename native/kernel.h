// What the kernel offers, free of any instruction set.  Sizes and pointers in, arrays written.
//
// One letter an axis: M models, T steps, B rows, D inputs, H hidden, G gates, K = D + H. Each instruction set compiles
// the same sources into one Kernel, a table of functions; `kernel()` picks the best for this processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stepahead {

using Index = std::int64_t;

enum class Cell : int { rnn_tanh = 0, rnn_relu = 1, lstm = 2, gru = 3 };

constexpr Index gates_of(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

struct Sizes {
    Cell cell;
    Index models, steps, rows, inputs, hidden;  // M, T, B, D, H
};

// Where element [m, t, b, i] of an array lies: data[m * m_ + t * t_ + b * b_ + i * i_].
struct Strides {
    Index m, t, b, i;
};

// Symbols in place of x, for one model with D = 0: what each of V symbols adds to the gates' sums is a row of a table.
template <class T>
struct Coded {
    const T* table;      // [V, G*H], read; null: there is an x
    Index size;          // V
    const Index* codes;  // [T, B] by the strides, read, each below V
    Index stride_t, stride_b;
};

// All owned by the caller; a null pointer is an argument left out.
template <class T>
struct Forward {
    Sizes sizes;
    bool reverse;
    int threads;
    const T* x;  // [M, T, B, D] by x_strides, read
    Strides x_strides;
    const T *weight_ih, *weight_hh;  // [M, G*H, D], [M, G*H, H], read
    const T *bias_ih, *bias_hh;      // [M, G*H], read
    const T *h0, *c0;                // [M, B, H], read
    const Index* lengths;            // [M, B], read
    T* outputs;                      // [M, T, B, H] by outputs_strides (i is 1), written
    Strides outputs_strides;
    T *h_n, *c_n;  // [M, B, H], written
    T* saved;      // [saved_size], written
    Coded<T> coded = {};
};

template <class T>
struct Backward {
    Sizes sizes;
    bool reverse;
    int threads;
    const T *weight_ih, *weight_hh;  // as in Forward
    const Index* lengths;
    const T* saved;         // from Forward, read
    const T* grad_outputs;  // [M, T, B, H] by grad_outputs_strides, read
    Strides grad_outputs_strides;
    const T *grad_h_n, *grad_c_n;  // [M, B, H], read
    T* grad_x;                     // [M, T, B, D] by grad_x_strides (i is 1), written
    Strides grad_x_strides;
    T *grad_weight_ih, *grad_weight_hh;  // as the weights, written; both or neither
    T *grad_bias_ih, *grad_bias_hh;      // [M, G*H], written
    T *grad_h0, *grad_c0;                // [M, B, H], written
    Coded<T> coded = {};
    T* grad_table = nullptr;  // [V, G*H], written
};

// One layer's weights, packed for `step`: float32, owned by the caller.
struct StepLayer {
    Index inputs;
    const float* packed;  // [packed_step_size]
};

struct StepCall {
    Cell cell;
    Index rows, hidden, num_layers;
    int threads;
    const StepLayer* layers;
    const float* x;  // [B, D]
    float *h, *c;    // [layers, B, H], updated; c for the LSTM
    const float* input_sums = nullptr;  // of a single row: what x adds to the first layer, where that is known
};

enum class Loss : int { mse = 0, mae = 1, huber = 2, pinball = 3 };

// One row goes on by itself: each symbol that is chosen is read next.
struct GenerateCall {
    StepCall step;  // rows is 1; x is set for each step
    const float* rows;  // [V, D], what the cell reads for each symbol
    const float* head;  // [packed_head_size]
    Index classes;      // at most V
    Index code, length, end;  // read first; how many to choose; the class that stops (-1: none)
    const double* uniforms;   // [length] in [0, 1), or null: always the likeliest
    double temperature, top_p;  // top_p 1: all
    Index top_k;                // 0: all
    Index* codes;               // [length], written
};

// Cross-entropy of a linear layer over classes, with its gradients.
struct SoftmaxCall {
    Index num_rows, hidden, classes;  // N, H, K
    int threads;
    const float *rows, *weight, *bias;  // [N, H], [K, H], [K], read
    const Index* targets;               // [N], each below K, or -1: not asked for
    float scale;                        // of the gradients
    float *grad_rows, *grad_weight, *grad_bias;  // as rows, weight, bias, written; all or none
};

struct TrainSetup {
    Cell cell;
    Index models, inputs, hidden, horizon;
    bool bias;
    Loss loss;
    float delta;
    const float* quantiles;  // [Q], for pinball
    Index num_quantiles;     // Q; 1 for the other losses
    double beta1, beta2, eps, clip;
    bool decoupled;
    int threads;
};

// S steps of training, or (moments null) one evaluation.
struct TrainCall {
    Index window, batch, num_steps;  // T, B, S
    float* parameters;               // [M, P], updated
    float* moments;                  // [2, M, P], updated; null to take no step
    Index* taken;                    // [M], updated
    const float* rows;               // [R, D]
    const Index* starts;             // [W], first row of each window; null: window w starts at row w * T
    const float* targets;            // [W, horizon]
    const float* weights;            // [W, horizon], or null
    const float* scales;             // [W, 2, D]: x becomes (x - scales[0]) * scales[1]; or null
    const Index* order;          // [S, M, B], the window of each row, -1 for none; null: row b of model m is m * B + b
    const float* learning_rate;  // [S, M]
    const float* weight_decay;   // [M]
    float* losses;               // [S, M], written
    float* gradients;            // [M, P], written when not null and moments is null
    float* predictions;          // [M, B, O], written when not null
};

struct Kernel {
    const char* name;
    Index (*saved_size_f32)(const Sizes&);
    Index (*saved_size_f64)(const Sizes&);
    void (*forward_f32)(const Forward<float>&);
    void (*forward_f64)(const Forward<double>&);
    void (*backward_f32)(const Backward<float>&);
    void (*backward_f64)(const Backward<double>&);
    Index (*packed_step_size)(Cell, Index inputs, Index hidden);
    void (*pack_step)(Cell, Index inputs, Index hidden, const float* weight_ih, const float* weight_hh,
                      const float* bias_ih, const float* bias_hh, float* packed);
    void (*step)(const StepCall&);
    Index (*packed_head_size)(Index hidden, Index classes);
    void (*pack_head)(Index hidden, Index classes, const float* head, const float* bias, float* packed);
    Index (*generate)(const GenerateCall&);  // how many were chosen before the end
    double (*softmax_loss)(const SoftmaxCall&);  // the sum over rows, unscaled
    void (*train)(const TrainSetup&, const TrainCall&);
};

// The best table for this processor; STEPAHEAD_SIMD in the environment (a table's name, which Python checks) chooses
// another.
const Kernel& kernel();

// Whether what a layer keeps for backward goes past the caches where it is much: true on AMD's processors, where a step
// is 12 % shorter for it. On Intel's reading it back takes longer than what it saves. The self-test asks for both.
bool& past_caches();

// Parameters of one model of a TrainSetup.
inline Index num_parameters(const TrainSetup& s) {
    const Index rows = gates_of(s.cell) * s.hidden, outputs = s.horizon * s.num_quantiles;
    return rows * (s.inputs + s.hidden + (s.bias ? 2 : 0)) + outputs * (s.hidden + 1);
}

}  // namespace stepahead
