"""The native kernel: recurrent scans and a fused training step.  Arrays in, arrays out, no torch inside.

One letter an axis: M models, T steps, B rows, D inputs, H hidden, G gates (rnn 1, gru 3, lstm 4), O outputs.
Cells are "rnn_tanh", "rnn_relu", "lstm" and "gru"; weights are laid out as torch's (gate order i, f, g, o and r, z, n;
the GRU's reset gate is applied after the product). Results depend neither on `threads` nor on M.

Two doors lead to one scan. `scan_forward` and `scan_backward` take arrays (NumPy, or CPU tensors) and check every
shape; `scan_forward_at` and `scan_backward_at` take addresses and strides, check nothing but the sizes, and cost
about a microsecond.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float32 or float64, one kind in a call; a CPU torch.Tensor is taken too

simd: str
"""The instructions chosen at import: "avx512", "avx2", "sse2", "neon" or "plain"."""

def get_threads() -> int:
    """Threads that `threads=0` means: the processors of this process, or what `set_threads` said."""

def set_threads(threads: int) -> None:
    """Use so many threads where a call says `threads=0`; 0 returns to the processors of this process."""

def use_own_pool(on: bool) -> bool:
    """Whether this thread's calls take the kernel's own threads where torch has brought OpenMP's; returns what was so.
    Trainer always does.
    """

def saved_size(cell: str, models: int, steps: int, rows: int, inputs: int, hidden: int, *, double: bool) -> int:
    """Elements (not bytes) that `saved` must hold for a scan of this size: opaque, contiguous, one flat array."""

def scan_forward(
    cell: str,
    x: Array,  # [T, B, D] or [M, T, B, D], any strides (a transposed batch-first view is read where it lies)
    weight_ih: Array,  # [G*H, D] or [M, G*H, D], contiguous, as all below
    weight_hh: Array,  # [G*H, H] or [M, G*H, H]
    bias_ih: Array | None,  # [G*H] or [M, G*H]
    bias_hh: Array | None,  # [G*H] or [M, G*H]
    h0: Array | None,  # [B, H] or [M, B, H]; None means zeros
    c0: Array | None,  # as h0; lstm only
    lengths: NDArray[np.int64] | None,  # [B] or [M, B], 0..T; None means T
    reverse: bool,  # from the last valid step to the first
    outputs: Array | None,  # [T, B, H] or [M, T, B, H], any strides, written; zero beyond a row's length
    h_n: Array | None,  # [B, H] or [M, B, H], written
    c_n: Array | None,  # as h_n; lstm only
    saved: Array | None,  # [saved_size(...)], written: what backward needs; None for inference
    threads: int = 0,
) -> None:
    """Run one layer in one direction over all steps.

    Raises:
        ValueError: an argument has another shape or dtype than the others imply; names it and what was expected.
    """

def scan_backward(
    cell: str,
    steps: int,  # T
    weight_ih: Array,  # as in scan_forward
    weight_hh: Array,
    lengths: NDArray[np.int64] | None,
    reverse: bool,
    saved: Array,  # from scan_forward; read only, so a second backward is possible
    grad_outputs: Array | None,  # [T, B, H] or [M, T, B, H], any strides
    grad_h_n: Array | None,  # [B, H] or [M, B, H]
    grad_c_n: Array | None,
    grad_x: Array | None,  # [T, B, D] or [M, T, B, D], any strides, written; None where it is not wanted
    grad_weight_ih: Array | None,  # [G*H, D]..., written; both weights or neither
    grad_weight_hh: Array | None,
    grad_bias_ih: Array | None,  # [G*H]..., written; only with grad_weight_ih
    grad_bias_hh: Array | None,
    grad_h0: Array | None,  # [B, H]..., written
    grad_c0: Array | None,
    rows: int = -1,  # B, where none of the grad_* arrays above tells it
    threads: int = 0,
) -> None:
    """Gradients of `scan_forward`; each array written is overwritten, not added to.

    Raises:
        ValueError: as scan_forward.
    """

def scan_forward_at(
    cell: int,  # 0 rnn_tanh, 1 rnn_relu, 2 lstm, 3 gru
    double: bool,
    models: int,
    steps: int,
    rows: int,
    inputs: int,
    hidden: int,
    reverse: bool,
    threads: int,
    x: int,  # address; 0 where an argument is None, as for all below
    x_stride_m: int,  # strides in elements; the stride of features is given too, since views may have any
    x_stride_t: int,
    x_stride_b: int,
    x_stride_d: int,
    weight_ih: int,
    weight_hh: int,
    bias_ih: int,
    bias_hh: int,
    h0: int,
    c0: int,
    lengths: int,  # int64
    outputs: int,
    outputs_stride_m: int,
    outputs_stride_t: int,
    outputs_stride_b: int,  # the stride of hidden units is 1
    h_n: int,
    c_n: int,
    saved: int,
) -> None:
    """`scan_forward` by address: the caller vouches for shapes and lifetimes. `double` says float64."""

def scan_backward_at(
    cell: int,
    double: bool,
    models: int,
    steps: int,
    rows: int,
    inputs: int,
    hidden: int,
    reverse: bool,
    threads: int,
    weight_ih: int,
    weight_hh: int,
    lengths: int,
    saved: int,
    grad_outputs: int,
    grad_outputs_stride_m: int,
    grad_outputs_stride_t: int,
    grad_outputs_stride_b: int,
    grad_outputs_stride_h: int,  # expanded gradients have stride 0: any strides are right
    grad_h_n: int,
    grad_c_n: int,
    grad_x: int,
    grad_x_stride_m: int,
    grad_x_stride_t: int,
    grad_x_stride_b: int,  # the stride of features is 1
    grad_weight_ih: int,
    grad_weight_hh: int,
    grad_bias_ih: int,
    grad_bias_hh: int,
    grad_h0: int,
    grad_c0: int,
) -> None:
    """`scan_backward` by address."""

def scan_codes_forward_at(
    cell: int,
    double: bool,
    steps: int,
    rows: int,
    hidden: int,
    threads: int,
    table: int,  # [V, G*H]: weight_ih and bias_ih applied to each symbol
    size: int,  # V
    codes: int,  # [T, B] int64 by the strides, each below V: checked
    codes_stride_t: int,
    codes_stride_b: int,
    weight_hh: int,
    bias_hh: int,
    h0: int,
    c0: int,
    outputs: int,
    outputs_stride_t: int,
    outputs_stride_b: int,
    h_n: int,
    c_n: int,
    saved: int,  # saved_size with inputs 0
) -> None:
    """`scan_forward_at` for one model that reads symbols in place of x.

    Raises:
        ValueError: a code is not in the table.
    """

def scan_codes_backward_at(
    cell: int,
    double: bool,
    steps: int,
    rows: int,
    hidden: int,
    threads: int,
    size: int,
    codes: int,
    codes_stride_t: int,
    codes_stride_b: int,
    weight_hh: int,
    saved: int,
    grad_outputs: int,
    grad_outputs_stride_t: int,
    grad_outputs_stride_b: int,
    grad_outputs_stride_h: int,
    grad_h_n: int,
    grad_c_n: int,
    grad_table: int,
    grad_weight_hh: int,
    grad_bias_hh: int,
    grad_h0: int,
    grad_c0: int,
) -> None:
    """Gradients of `scan_codes_forward_at`."""

def softmax_loss_at(
    rows: int,
    hidden: int,
    classes: int,
    threads: int,
    hidden_rows: int,  # [N, H] float32, as all but targets
    weight: int,  # [K, H]
    bias: int,  # [K]
    targets: int,  # [N] int64, below K, or -1 for none: checked
    scale: float,  # of the gradients
    grad_rows: int,  # all three or none
    grad_weight: int,
    grad_bias: int,
) -> float:
    """Cross-entropy of a linear layer, summed and unscaled, with its gradients.

    Raises:
        ValueError: a target that is no class.
    """

class Stepper:
    """The weights of one network of one or more layers, forward in time, packed once: for streaming.

    Args:
        cell: as above.
        layers: per layer (weight_ih [G*H, D], weight_hh [G*H, H], bias_ih, bias_hh), float32.
    """

    inputs: int
    hidden: int
    num_layers: int

    def __init__(self, cell: str, layers: Sequence[tuple[Array, Array, Array | None, Array | None]]) -> None: ...
    def step(self, x: Array, h: Array, c: Array | None, threads: int = 0) -> None:
        """Advance one step: x [B, D]; h and c [num_layers, B, H], contiguous, updated in place; h[-1] is the output."""

class Generator:
    """A stepper with a head that goes on by itself.

    Args:
        stepper: kept alive by this.
        rows: [V, D] float32, what the cell reads for each symbol.
        head: [K, H] float32, K at most V. bias: [K].
    """

    def __init__(self, stepper: Stepper, rows: Array, head: Array, bias: Array) -> None: ...
    def generate(
        self,
        h: Array,  # [num_layers, 1, H], updated
        c: Array | None,
        code: int,  # read first
        end: int,  # the class that stops, or -1
        uniforms: NDArray[np.float64] | None,  # [length] in [0, 1), one for each choice; None: always the likeliest
        temperature: float,
        top_k: int,  # 0: all
        top_p: float,  # 1: all
        codes: NDArray[np.int64],  # [length], written
    ) -> int:
        """Choose and read up to `length` symbols; how many came before the end. The last one is not read yet."""

class Trainer:
    """Fused training of M networks: one-layer cell, linear head on the last step, loss, backward, Adam.

    Parameters, gradient and moments are flat float32 arrays of the caller, updated in place. A model's parameters lie
    one after the other: weight_ih [G*H, D], weight_hh [G*H, H], bias_ih [G*H], bias_hh [G*H] (both only with `bias`),
    head weight [O, H], head bias [O]; O = horizon for mse, mae and huber, horizon*Q (quantile fastest) for pinball.

    The loss of a batch is sum(weight * loss) / max(sum(weight), 1) over rows and horizon, as nn.heads.weighted_mean;
    pinball is the mean over its quantiles. All arrays are C-contiguous. W windows, R rows, S steps, P parameters.

    Args:
        cell: as above.
        inputs, hidden, horizon: D, H and the targets' columns.
        models: M.
        bias: whether the cell has biases; the head always has one.
        loss: "mse", "mae", "huber" (torch's huber_loss with `delta`) or "pinball" (with `quantiles`).
        betas, eps, decoupled: Adam's constants; decoupled=True is AdamW.
        clip: largest norm of one model's gradient (as torch.nn.utils.clip_grad_norm_), 0 for none.
        threads: 0 for all.
    """

    num_parameters: int
    """Parameters of one model, P."""

    def __init__(
        self,
        cell: str,
        inputs: int,
        hidden: int,
        horizon: int,
        *,
        models: int = 1,
        bias: bool = True,
        loss: str = "mse",
        delta: float = 1.0,
        quantiles: Sequence[float] = (),
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decoupled: bool = False,
        clip: float = 0.0,
        threads: int = 0,
    ) -> None: ...
    def gradients(
        self,
        parameters: NDArray[np.float32],  # [M, P]
        x: NDArray[np.float32],  # [M, B, T, D]
        targets: NDArray[np.float32],  # [M, B, horizon]
        weights: NDArray[np.float32] | None,  # [M, B, horizon]; None means ones
        out_gradients: NDArray[np.float32],  # [M, P], written
        out_losses: NDArray[np.float32],  # [M], written
    ) -> None:
        """Loss and gradient, no update: for tests and for other optimizers."""

    def steps(
        self,
        parameters: NDArray[np.float32],  # [M, P], updated
        moments: NDArray[np.float32],  # [2, M, P], updated: Adam's first and second moment
        taken: NDArray[np.int64],  # [M], updated: steps taken before, for the bias correction
        rows: NDArray[np.float32],  # [R, D]; all windows are cut from these
        starts: NDArray[np.int64],  # [W], the row where window w starts; a window is rows[s : s + T]
        targets: NDArray[np.float32],  # [W, horizon]
        # [S, M, B], the windows of each batch; a shorter one ends with -1, an empty one is passed by
        order: NDArray[np.int64],
        steps: int,  # T, rows of a window
        weights: NDArray[np.float32] | None,  # [W, horizon]; None means ones
        scales: NDArray[np.float32] | None,  # [W, 2, D]: x becomes (x - scales[w, 0]) * scales[w, 1]; None: as it is
        learning_rate: NDArray[np.float32],  # [S, M]; 0 passes a model by
        weight_decay: NDArray[np.float32],  # [M]
        losses: NDArray[np.float32],  # [S, M], written: loss before the step; 0 where passed by
    ) -> None:
        """Take S optimizer steps without returning to Python; the batch is gathered inside.

        A model that is passed by keeps its parameters, moments and count. Nothing that a model gets depends on the
        models beside it, on the padding of a short batch, or on how a run is split into calls: not in the last bit.
        """

    def losses(
        self,
        parameters: NDArray[np.float32],  # [M, P]
        rows: NDArray[np.float32],
        starts: NDArray[np.int64],
        targets: NDArray[np.float32],
        order: NDArray[np.int64],  # [M, B], ends with -1 as above
        steps: int,
        weights: NDArray[np.float32] | None,
        scales: NDArray[np.float32] | None,
        out_losses: NDArray[np.float32],  # [M], written
        out_predictions: NDArray[np.float32] | None,  # [M, B, O], written
    ) -> None:
        """Loss of each model over some windows, and what it predicts: for early stopping."""

class Course:
    """What all lanes of one model have in common: how rows are scaled, how far intervals reach, how both learn.

    Rows W of a window, inputs P, horizon H, levels L, held-out errors K; see native/push.h.
    """

    def __init__(
        self,
        members: list[Stepper],  # the networks; each reads P inputs
        window: int,
        horizon: int,
        difference: bool,
        clip: float,  # infinite: none
        center: Sequence[float],  # P
        spread: Sequence[float],  # P
        reach: Sequence[float],  # H*L
        floor: float,
        learns: bool,
        gamma: float,
        gain: float,
        trust: float,
        farthest: float,  # a width stays within it
        shares: Sequence[float],  # L
        ratios: Sequence[float],  # K ascending
        lean: Sequence[float],  # K + 1; empty with `grown` and `ratios`: no alarm
        grown: Sequence[float],  # K + 1
        allowance: float,
        most: float,
        recent: int,
    ) -> None: ...
    def take(self, lane: Lane, row: tuple[Any, ...], to: int) -> None:
        """A Row to a lane; the members' last hidden units, [M, D] float32, are then written at the address `to`."""

class Lane:
    """One live series, from its last W rows."""

    def __init__(self, course: Course, times: NDArray[np.int64], past: NDArray[np.float64]) -> None: ...
    def learn(self, said: Sequence[float], judged: bool) -> None:
        """What the head says of the present window, H scaled numbers. judged: the last row was just taken in."""

    def bounds(self) -> tuple[list[float], list[list[float]], list[list[float]]]:
        """The present forecast: mean H, lo and hi H rows of L."""

    def window(self) -> bytes: ...  # [T, P] float32, what the network reads
    def times(self) -> bytes: ...  # [W] int64
    def past(self) -> bytes: ...  # [W, P] float64
    def copy(self) -> Lane: ...
    def state(self) -> tuple[bytes, bytes, bytes, bytes, int]:
        """Forecasts that wait for their truth, newest first; widths; sums; record; how many truths were seen."""

    def restore(self, waiting: bytes, widths: bytes, sums: bytes, record: bytes, seen: int) -> None: ...
    def record(self) -> list[int]:
        """Forecasts judged of late, and how many truths lay inside each level's interval."""

    def sums(self) -> list[float]:
        """The cumulative sums of the alarm: up, down, grown."""

def take_many(lanes: list[Lane], rows: list[Any], x: NDArray[np.float32]) -> None:
    """A Row to each lane of one course; x [N, T, P] becomes what the network reads of each then."""

def learn_many(
    lanes: list[Lane], rows: list[Any], x: NDArray[np.float32], said: NDArray[np.float64], tell: bool
) -> list[Any] | None:
    """What follows, from the head's words [N, H]; the forecasts as `Lane.bounds` if they are to be told."""
