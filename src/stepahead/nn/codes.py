"""A recurrent layer that reads symbols, and the loss of a softmax head, each in one call of the kernel.

weight_ih @ embedding[k] + bias_ih depends on the symbol k alone. The table holds it for every symbol, torch computes it
once a step, and the kernel looks rows up where it would multiply: a third less work at 64 inputs and 128 units.
Legend: B rows, T steps, N rows of a head, V symbols, K classes, G gates, H hidden.
"""

from typing import Any

import torch
from torch import Tensor

from stepahead.cell_names import CODES
from stepahead.nn.lent import lend
from stepahead.nn.recurrent import GRU, LSTM, RNN
from stepahead.nn.served import kernel_is_faster
from stepahead.nn.stack import _native, _row_step, _sizes

Maybe = Tensor | None

LARGEST = 1024  # symbols: each thread adds up a gradient as large as the table
MOST_CLASSES = 512  # beyond, torch's blocked products read the weights more seldom


def serves(cell: Any, codes: Tensor, symbols: int) -> bool:
    """Whether the kernel can read codes [B, T] of so many symbols for this layer, and does it faster."""
    if not hasattr(_native, "scan_codes_forward_at") or type(cell) not in (RNN, LSTM, GRU):
        return False
    if cell.num_layers > 1 or cell.bidirectional or cell.proj_size or not cell.bias:
        return False
    if not codes.is_cpu or cell.weight_hh_l0.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    rows, steps = codes.shape
    if symbols > min(LARGEST, rows * steps):
        return False
    return kernel_is_faster(cell.mode.lower(), steps, rows, cell.hidden_size, learns=torch.is_grad_enabled())


def read_codes(cell: Any, codes: Tensor, table: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Run one layer over symbols.

    Args:
        cell: a layer that `serves`.
        codes: [B, T] int64, each below V.
        table: [V, G*H], weight_ih and bias_ih applied to each symbol.
        state: h, or (h, c), each [1, B, H]; None for zeros.

    Returns:
        Outputs [B, T, H], and the state as the layer returns it.
    """
    h0, c0 = state if isinstance(state, tuple) else (state, None)
    results = Coded.apply(cell.mode.lower(), codes, table, h0, c0, cell.weight_hh_l0, cell.bias_hh_l0)
    return (results[0], results[1]) if len(results) == 2 else (results[0], (results[1], results[2]))


class Coded(torch.autograd.Function):
    """apply(cell, codes, table, h0, c0, weight_hh, bias_hh) -> (outputs, h_n) or, for the LSTM, (outputs, h_n, c_n)."""

    @staticmethod
    def forward(
        ctx: Any, cell: str, codes: Tensor, table: Tensor, h0: Maybe, c0: Maybe, weight_hh: Tensor, bias_hh: Tensor
    ) -> tuple[Tensor, ...]:
        (rows, steps), hidden, dtype, code = codes.shape, weight_hh.shape[1], table.dtype, CODES[cell]
        table, double = table.contiguous(), dtype is torch.float64
        h0, c0 = (None if part is None else part.contiguous() for part in (h0, c0))
        outputs, h_n = torch.empty(rows, steps, hidden, dtype=dtype), torch.empty(1, rows, hidden, dtype=dtype)
        c_n = torch.empty_like(h_n) if cell == "lstm" else None
        size, threads = _sizes(cell, steps, rows, 0, hidden, double)
        saved = lend(size, dtype)
        _native.scan_codes_forward_at(
            code, double, steps, rows, hidden, threads or torch.get_num_threads(), table.data_ptr(), len(table),
            codes.data_ptr(), codes.stride(1), codes.stride(0), weight_hh.data_ptr(), bias_hh.data_ptr(),
            0 if h0 is None else h0.data_ptr(), 0 if c0 is None else c0.data_ptr(), outputs.data_ptr(), hidden,
            steps * hidden, h_n.data_ptr(), 0 if c_n is None else c_n.data_ptr(), saved.data_ptr(),
        )  # fmt: skip
        ctx.cell, ctx.bias_hh = cell, bias_hh
        ctx.save_for_backward(codes, table, h0, c0, weight_hh, saved)
        ctx.set_materialize_grads(False)
        return (outputs, h_n) if c_n is None else (outputs, h_n, c_n)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_outputs: Maybe, grad_h: Maybe, grad_c: Maybe = None) -> tuple[Maybe, ...]:
        codes, table, h0, c0, weight_hh, saved = ctx.saved_tensors
        (rows, steps), hidden, double = codes.shape, weight_hh.shape[1], table.dtype is torch.float64
        stride_b, stride_t, stride_h = _row_step(grad_outputs, True)
        grad_h, grad_c = (None if part is None else part.contiguous() for part in (grad_h, grad_c))
        grad_h0 = torch.empty_like(h0) if ctx.needs_input_grad[3] else None
        grad_c0 = torch.empty_like(c0) if ctx.needs_input_grad[4] else None
        grads = [torch.empty_like(part) for part in (table, weight_hh, ctx.bias_hh)]
        _native.scan_codes_backward_at(
            CODES[ctx.cell], double, steps, rows, hidden,
            _sizes(ctx.cell, steps, rows, 0, hidden, double)[1] or torch.get_num_threads(), len(table),
            codes.data_ptr(), codes.stride(1), codes.stride(0), weight_hh.data_ptr(), saved.data_ptr(),
            0 if grad_outputs is None else grad_outputs.data_ptr(), stride_t, stride_b, stride_h,
            0 if grad_h is None else grad_h.data_ptr(), 0 if grad_c is None else grad_c.data_ptr(),
            *[grad.data_ptr() for grad in grads],
            0 if grad_h0 is None else grad_h0.data_ptr(), 0 if grad_c0 is None else grad_c0.data_ptr(),
        )  # fmt: skip
        return None, None, grads[0], grad_h0, grad_c0, grads[1], grads[2]


def softmax_serves(hidden: Tensor, weight: Tensor) -> bool:
    """Whether the kernel can take the loss of hidden [N, H] under a head [K, H]."""
    if not hasattr(_native, "softmax_loss_at") or torch.compiler.is_compiling():
        return False
    return hidden.is_cpu and hidden.dtype is weight.dtype is torch.float32 and len(weight) <= MOST_CLASSES


def softmax_loss(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, scale: float) -> Tensor:
    """Cross-entropy in nats times scale, summed over the targets that are not -1.

    Args:
        hidden: [N, H]. weight, bias: of the head, [K, H] and [K]. targets: [N] int64, each below K.
    """
    loss: Tensor = SoftmaxLoss.apply(hidden, weight, bias, targets, scale)
    return loss


class SoftmaxLoss(torch.autograd.Function):
    """apply(hidden, weight, bias, targets, scale) -> loss; the gradients are computed with it, in one pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, scale: float) -> Tensor:
        hidden, weight, targets = hidden.contiguous(), weight.contiguous(), targets.contiguous()
        wanted = any(ctx.needs_input_grad)
        ctx.grads = tuple(torch.empty_like(part) for part in (hidden, weight, bias)) if wanted else ()
        total = _native.softmax_loss_at(
            *hidden.shape, len(weight), torch.get_num_threads(), hidden.data_ptr(), weight.data_ptr(), bias.data_ptr(),
            targets.data_ptr(), scale, *([grad.data_ptr() for grad in ctx.grads] or [0, 0, 0]),
        )  # fmt: skip
        return torch.tensor(total * scale, dtype=torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Maybe, ...]:
        factor = float(grad)
        return *(part if factor == 1 else part * factor for part in ctx.grads), None, None
