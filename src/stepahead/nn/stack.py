"""All layers and directions in one autograd node: the shortest way from a layer's eager call to the kernel.

(x, state, weights) -> outputs, state.  Nothing is checked here: recurrent.py lets only what fits come so far.
T steps, B rows, D inputs, H hidden, L layers times directions (layer 0 forward, layer 0 reverse, layer 1 ...).
x is [T, B, D] or, batch first, [B, T, D]; h0 and c0 are [L, B, H] or None for zeros; weights are torch's flat weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from stepahead.cell_names import CODES, KERNEL_GATES
from stepahead.kernel import native as _native
from stepahead.nn.lent import lend, release
from stepahead.nn.stack_traced import (
    backward_of_many,
    differentiable_backward,
    differentiates,
    is_batched,
    laid_out,
    refuse_changed,
)

LSTM = CODES["lstm"]
THREAD_WORTHY = 500_000  # multiplications: some 20 us of one core; waking another costs about as much

Maybe = Tensor | None


@dataclass(frozen=True)
class Plan:
    """What a module fixes.  cell: a key of CODES. dropout: between layers, 0 when not training."""

    cell: str
    hidden: int
    layers: int
    directions: int
    bias: bool
    batch_first: bool
    dropout: float

    @property
    def code(self) -> int:
        """The kernel's number of the cell."""
        return CODES[self.cell]

    @property
    def per_pass(self) -> int:
        """Weights of one layer in one direction."""
        return 4 if self.bias else 2


class Stack(torch.autograd.Function):
    """apply(plan, lengths, x, h0, c0, *weights) -> (outputs, h_n) or, for the LSTM, (outputs, h_n, c_n)."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, lengths: Maybe, x: Tensor, h0: Maybe, c0: Maybe, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        saved: list[Tensor] = []
        masks: list[Tensor] = []
        results = forward(plan, lengths, x, h0, c0, weights, saved, masks)
        ctx.plan = plan
        ctx.save_for_backward(lengths, x, h0, c0, *weights, *saved, *masks)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Maybe) -> tuple[Maybe, ...]:
        lengths, *rest = ctx.saved_tensors
        plan, wanted = ctx.plan, ctx.needs_input_grad[2:]
        first, last = len(wanted), len(wanted) + plan.layers * plan.directions
        inputs, saved, masks = rest[:first], rest[first:last], rest[last:]
        grads = laid_out(grads)
        if differentiates():
            return None, None, *differentiable_backward(plan, lengths, inputs, masks, grads, wanted)
        way = backward_of_many if is_batched(grads) else backward
        return None, None, *way(plan, lengths, inputs, saved, masks, grads, wanted)


class Single(torch.autograd.Function):
    """Stack for one layer in one direction, the usual case: no loops, and so a fifth of a small step less.

    apply(plan, lengths, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh) -> as Stack; biases may be None.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        lengths: Maybe,
        x: Tensor,
        h0: Maybe,
        c0: Maybe,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Maybe = None,
        bias_hh: Maybe = None,
    ) -> tuple[Tensor, ...]:
        hidden, dtype, code = plan.hidden, x.dtype, plan.code
        if plan.batch_first:
            rows, steps, inputs = x.shape
            stride_b, stride_t, stride_d = x.stride()
            outputs, out_b, out_t = torch.empty(rows, steps, hidden, dtype=dtype, device="cpu"), steps * hidden, hidden
        else:
            steps, rows, inputs = x.shape
            stride_t, stride_b, stride_d = x.stride()
            outputs, out_b, out_t = torch.empty(steps, rows, hidden, dtype=dtype, device="cpu"), hidden, rows * hidden
        double, h_n = dtype is torch.float64, torch.empty(1, rows, hidden, dtype=dtype, device="cpu")
        c_n = torch.empty_like(h_n) if code == LSTM else None
        size, threads = _sizes(plan.cell, steps, rows, inputs, hidden, double)
        saved = lend(size, dtype)
        _native.scan_forward_at(
            code, double, 1, steps, rows, inputs, hidden, False, threads or torch.get_num_threads(),
            x.data_ptr(), 0, stride_t, stride_b, stride_d, weight_ih.data_ptr(), weight_hh.data_ptr(),
            0 if bias_ih is None else bias_ih.data_ptr(), 0 if bias_hh is None else bias_hh.data_ptr(),
            0 if h0 is None else h0.data_ptr(), 0 if c0 is None else c0.data_ptr(),
            0 if lengths is None else lengths.data_ptr(),
            outputs.data_ptr(), 0, out_t, out_b, h_n.data_ptr(), 0 if c_n is None else c_n.data_ptr(), saved.data_ptr(),
        )  # fmt: skip
        ctx.plan, ctx.lengths, ctx.biases = plan, lengths, (bias_ih, bias_hh)
        ctx.versions = None if bias_ih is None or bias_hh is None else (bias_ih._version, bias_hh._version)
        ctx.save_for_backward(x, h0, c0, weight_ih, weight_hh, saved)
        ctx.set_materialize_grads(False)
        return (outputs, h_n) if c_n is None else (outputs, h_n, c_n)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Maybe, grad_h: Maybe, grad_c: Maybe = None) -> tuple[Maybe, ...]:
        x, h0, c0, weight_ih, weight_hh, saved = ctx.saved_tensors
        plan, lengths, wanted = ctx.plan, ctx.lengths, ctx.needs_input_grad[2:]
        grad_outputs, grad_h, grad_c = laid_out((grad_outputs, grad_h, grad_c))
        given = (grad_outputs, grad_h, grad_c)[: 3 if plan.code == LSTM else 2]
        if differentiates() or is_batched(given):
            inputs = [x, h0, c0, weight_ih, weight_hh, *ctx.biases][: len(wanted)]
            if differentiates():
                refuse_changed(ctx.biases, ctx.versions)
                return None, None, *differentiable_backward(plan, lengths, inputs, (), given, wanted)
            return None, None, *backward_of_many(plan, lengths, inputs, [saved], (), given, wanted)
        rows, steps = x.shape[:2] if plan.batch_first else (x.shape[1], x.shape[0])
        stride_b, stride_t, stride_d = _row_step(grad_outputs, plan.batch_first)
        features, biases, double = x.shape[2], ctx.biases, x.dtype is torch.float64
        _, threads = _sizes(plan.cell, steps, rows, features, plan.hidden, double)
        grad_x = torch.empty(x.shape, dtype=x.dtype, device="cpu") if wanted[0] else None
        x_b, x_t = (steps * features, features) if plan.batch_first else (features, rows * features)
        grad_h0 = torch.empty_like(h0) if wanted[1] else None
        grad_c0 = torch.empty_like(c0) if wanted[2] else None
        grads: list[Maybe] = [None] * 4
        if True in wanted[3:]:  # the kernel gives all of them or none
            grads = [None if w is None else torch.empty_like(w) for w in (weight_ih, weight_hh, *biases)]
        grad_h = grad_h if grad_h is None else grad_h.contiguous()
        grad_c = grad_c if grad_c is None else grad_c.contiguous()
        _native.scan_backward_at(
            plan.code, double, 1, steps, rows, features, plan.hidden, False, threads or torch.get_num_threads(),
            weight_ih.data_ptr(), weight_hh.data_ptr(), 0 if lengths is None else lengths.data_ptr(), saved.data_ptr(),
            0 if grad_outputs is None else grad_outputs.data_ptr(), 0, stride_t, stride_b, stride_d,
            0 if grad_h is None else grad_h.data_ptr(), 0 if grad_c is None else grad_c.data_ptr(),
            0 if grad_x is None else grad_x.data_ptr(), 0, x_t, x_b,
            *[0 if grad is None else grad.data_ptr() for grad in grads],
            0 if grad_h0 is None else grad_h0.data_ptr(), 0 if grad_c0 is None else grad_c0.data_ptr(),
        )  # fmt: skip
        return (None, None, grad_x, grad_h0, grad_c0, *grads)[: 2 + len(wanted)]


# Function.apply less its care for torch.func, which never comes here (recurrent.py sends it to the operators): 3 us.
apply_single = super(torch.autograd.Function, Single).apply


def forward(
    plan: Plan,
    lengths: Maybe,
    x: Tensor,
    h0: Maybe,
    c0: Maybe,
    weights: Sequence[Tensor],
    saved: list[Tensor] | None = None,
    masks: list[Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """Run the stack; with `saved` and `masks`, append to them what backward needs."""
    if saved is None:
        release()  # nobody trains just now
    code, hidden, directions, per_pass = plan.code, plan.hidden, plan.directions, plan.per_pass
    rows, steps = x.shape[:2] if plan.batch_first else (x.shape[1], x.shape[0])
    double, size, threads = x.dtype is torch.float64, x.element_size(), torch.get_num_threads()
    width, state = directions * hidden, rows * hidden * size
    h_n = x.new_empty((plan.layers * directions, rows, hidden))
    c_n = torch.empty_like(h_n) if code == LSTM else None
    h0_at, c0_at, h_n_at, c_n_at, lengths_at = map(_address, (h0, c0, h_n, c_n, lengths))
    # Inner layers are time-major, as torch's are: the same seed then draws the same dropout.
    stride_b, stride_t, stride_d = _row_step(x, plan.batch_first)
    for layer in range(plan.layers):
        ends = layer == plan.layers - 1
        batch_first = ends and plan.batch_first
        outputs = x.new_empty((rows, steps, width) if batch_first else (steps, rows, width))
        out_b, out_t = (steps * width, width) if batch_first else (width, rows * width)
        for direction in range(directions):
            k = layer * directions + direction
            kept_at = 0
            if saved is not None:
                saved.append(lend(_sizes(plan.cell, steps, rows, x.shape[2], hidden, double)[0], x.dtype))
                kept_at = saved[-1].data_ptr()
            addresses = [weight.data_ptr() for weight in weights[k * per_pass : (k + 1) * per_pass]]
            if per_pass == 2:
                addresses += [0, 0]
            _native.scan_forward_at(
                code, double, 1, steps, rows, x.shape[2], hidden, direction == 1, threads,
                x.data_ptr(), 0, stride_t, stride_b, stride_d, *addresses,
                h0_at and h0_at + k * state, c0_at and c0_at + k * state, lengths_at,
                outputs.data_ptr() + direction * hidden * size, 0, out_t, out_b,
                h_n_at + k * state, c_n_at and c_n_at + k * state, kept_at,
            )  # fmt: skip
        if plan.dropout and not ends:
            mask = torch.dropout(torch.ones_like(outputs), plan.dropout, True)
            outputs.mul_(mask)
            if masks is not None:
                masks.append(mask)
        x, stride_b, stride_t, stride_d = outputs, out_b, out_t, 1
    return (x, h_n) if c_n is None else (x, h_n, c_n)


def backward(
    plan: Plan,
    lengths: Maybe,
    inputs: Sequence[Any],
    saved: Sequence[Tensor],
    masks: Sequence[Tensor],
    grads: Sequence[Maybe],
    wanted: Sequence[bool],
) -> list[Maybe]:
    """Gradients of x, h0, c0 and the weights, None where not wanted."""
    x, h0, c0, *weights = inputs
    grad_outputs, grad_h, grad_c = (*grads, None)[:3]
    code, hidden, directions, per_pass = plan.code, plan.hidden, plan.directions, plan.per_pass
    rows, steps = x.shape[:2] if plan.batch_first else (x.shape[1], x.shape[0])
    double, size, threads = x.dtype is torch.float64, x.element_size(), torch.get_num_threads()
    state = rows * hidden * size
    grad_h = grad_h if grad_h is None else grad_h.contiguous()
    grad_c = grad_c if grad_c is None else grad_c.contiguous()
    grad_h0 = torch.empty_like(h0, memory_format=torch.contiguous_format) if wanted[1] else None
    grad_c0 = torch.empty_like(c0, memory_format=torch.contiguous_format) if wanted[2] else None
    grad_weights = [torch.empty_like(w) if want else None for w, want in zip(weights, wanted[3:], strict=True)]
    grad_h_at, grad_c_at, grad_h0_at, grad_c0_at, lengths_at = map(
        _address, (grad_h, grad_c, grad_h0, grad_c0, lengths)
    )
    batch_first = plan.batch_first
    for layer in reversed(range(plan.layers)):
        stride_b, stride_t, stride_d = _row_step(grad_outputs, batch_first)
        batch_first = plan.batch_first and layer == 0
        width = x.shape[2] if layer == 0 else directions * hidden
        total: Maybe = None
        for direction in range(directions):
            k = layer * directions + direction
            grad_x = None
            if layer or wanted[0]:
                grad_x = x.new_empty((rows, steps, width) if batch_first else (steps, rows, width))
            own = grad_weights[k * per_pass : (k + 1) * per_pass]
            if any(grad is not None for grad in own):  # the kernel gives both products' gradients or neither
                own = [
                    torch.empty_like(weights[k * per_pass + n]) if grad is None else grad for n, grad in enumerate(own)
                ]
            addresses = [_address(grad) for grad in own]
            if per_pass == 2:
                addresses += [0, 0]
            _native.scan_backward_at(
                code, double, 1, steps, rows, width, hidden, direction == 1, threads,
                weights[k * per_pass].data_ptr(), weights[k * per_pass + 1].data_ptr(), lengths_at,
                saved[k].data_ptr(),
                0 if grad_outputs is None else grad_outputs.data_ptr() + direction * hidden * size * stride_d,
                0, stride_t, stride_b, stride_d,
                grad_h_at and grad_h_at + k * state, grad_c_at and grad_c_at + k * state,
                _address(grad_x), 0, *((width, steps * width) if batch_first else (rows * width, width)),
                *addresses,
                grad_h0_at and grad_h0_at + k * state, grad_c0_at and grad_c0_at + k * state,
            )  # fmt: skip
            total = grad_x if total is None or grad_x is None else total.add_(grad_x)
        if masks and layer:
            assert total is not None
            total.mul_(masks[layer - 1])
        grad_outputs = total
    return [grad_outputs, grad_h0, grad_c0, *grad_weights]


def _row_step(sequence: Maybe, batch_first: bool) -> tuple[int, int, int]:
    """Strides of rows, steps and features, in elements."""
    if sequence is None:
        return 0, 0, 0
    first, second, third = sequence.stride()
    return (first, second, third) if batch_first else (second, first, third)


def _address(tensor: Maybe) -> int:
    return 0 if tensor is None else tensor.data_ptr()


@lru_cache(maxsize=1024)
def _sizes(cell: str, steps: int, rows: int, inputs: int, hidden: int, double: bool) -> tuple[int, int]:
    """Numbers to save for backward, and the most threads worth waking (0: as many as torch has)."""
    products = steps * rows * hidden * (inputs + hidden) * KERNEL_GATES[cell]
    size = _native.saved_size(cell, 1, steps, rows, inputs, hidden, double=double)
    return size, 1 if products < THREAD_WORTHY else 0
