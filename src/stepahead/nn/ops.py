"""The kernel's scan as an operator that torch.compile, torch.export, vmap and opcheck know.

torch.ops.stepahead.scan: (x, state, weights) -> outputs, state, saved, for M networks of one shape at once.
M models, T steps, B rows, D inputs, H hidden, G gates (RNN 1, GRU 3, LSTM 4), S numbers kept for backward.
Eager layers take stack.py's shorter way; both end in the same kernel. It gets addresses, so what comes through this
door is checked here.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stepahead.cell_names import CODES, KERNEL_GATES
from stepahead.kernel import native as _native
from stepahead.nn import reference

KEPT = {"rnn_tanh": 0, "rnn_relu": 0, "lstm": 5, "gru": 4}  # numbers of a unit that the kernel keeps of each step
TILE = 48  # the most rows that it takes at once; the last tile is kept whole

Maybe = Tensor | None
Four = tuple[Tensor, Tensor, Tensor, Tensor]
Seven = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("stepahead::scan", mutates_args=(), device_types="cpu")
def scan(
    x: Tensor,  # [M, T, B, D]
    h0: Tensor,  # [M, B, H]
    c0: Tensor | None,  # as h0; lstm only
    weight_ih: Tensor,  # [M, G*H, D]
    weight_hh: Tensor,  # [M, G*H, H]
    bias_ih: Tensor | None,  # [M, G*H]
    bias_hh: Tensor | None,  # as bias_ih
    lengths: Tensor | None,  # [M, B] int64, valid steps of each row
    cell: str,
    reverse: bool,
    train: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One layer, one direction: outputs [M, T, B, H], h_n, c_n [M, B, H], saved [M, S]; empty where absent."""
    _check(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, lengths, cell)
    outputs, h_n, c_n, saved = results = _scan_fake(
        x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, lengths, cell, reverse, train
    )
    models, steps, rows, inputs = x.shape
    kept = _used(saved, x, h0, cell)
    packed = kept if kept.is_contiguous() else torch.zeros_like(kept, memory_format=torch.contiguous_format)
    arrays = [_dense(part) for part in (weight_ih, weight_hh, bias_ih, bias_hh, h0, c0, lengths)]
    if outputs.numel():
        _native.scan_forward_at(
            CODES[cell], x.dtype == torch.float64, models, steps, rows, inputs, h0.shape[2], reverse,
            torch.get_num_threads(), x.data_ptr(), *x.stride(), *map(_address, arrays),
            outputs.data_ptr(), *outputs.stride()[:3], h_n.data_ptr(), _address(c_n), _address(packed),
        )  # fmt: skip
    if packed is not kept:
        kept.copy_(packed)
    return results


@scan.register_fake
def _scan_fake(
    x: Tensor,
    h0: Tensor,
    c0: Maybe,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Maybe,
    bias_hh: Maybe,
    lengths: Maybe,
    cell: str,
    reverse: bool,
    train: bool,
) -> Four:
    models, steps, rows, inputs = x.shape
    hidden = h0.shape[2]
    size = saved_size(cell, steps, rows, inputs, hidden) if train else 0
    return (
        x.new_empty((models, steps, rows, hidden)),
        x.new_empty((models, rows, hidden)),
        x.new_empty((models, rows, hidden) if cell == "lstm" else (0,)),
        x.new_zeros((models, size)),  # zeros: the tail is not written, and opcheck compares
    )


@torch.library.custom_op("stepahead::scan_backward", mutates_args=(), device_types="cpu")
def scan_backward(
    x: Tensor,  # this and all down to lengths: what scan was given
    h0: Tensor,
    c0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    lengths: Tensor | None,
    saved: Tensor,  # [M, S], and what scan returned
    grad_outputs: Tensor | None,  # [M, T, B, H]
    grad_h: Tensor | None,  # [M, B, H]
    grad_c: Tensor | None,  # as grad_h; lstm only
    cell: str,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh; empty where there is no such input."""
    _check(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, lengths, cell)
    _check_gradients(x, h0, saved, grad_outputs, grad_h, grad_c, cell)
    grads = _backward_fake(
        x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, lengths,
        saved, grad_outputs, grad_h, grad_c, cell, reverse,
    )  # fmt: skip
    models, steps, rows, inputs = x.shape
    grad_x, grad_h0, grad_c0, *grad_weights = grads
    if not grad_h0.numel():
        return tuple(grad.zero_() for grad in grads)
    before = [_dense(part) for part in (weight_ih, weight_hh, lengths, _used(saved, x, h0, cell))]
    states = [_dense(part) for part in (grad_h, grad_c)]
    _native.scan_backward_at(
        CODES[cell], x.dtype == torch.float64, models, steps, rows, inputs, h0.shape[2], reverse,
        torch.get_num_threads(), *map(_address, before),
        _address(grad_outputs), *((0, 0, 0, 0) if grad_outputs is None else grad_outputs.stride()),
        *map(_address, states), grad_x.data_ptr(), *grad_x.stride()[:3],
        *map(_address, grad_weights), _address(grad_h0), _address(grad_c0),
    )  # fmt: skip
    return grads


@scan_backward.register_fake
def _backward_fake(
    x: Tensor,
    h0: Tensor,
    c0: Maybe,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Maybe,
    bias_hh: Maybe,
    lengths: Maybe,
    saved: Tensor,
    grad_outputs: Maybe,
    grad_h: Maybe,
    grad_c: Maybe,
    cell: str,
    reverse: bool,
) -> Seven:
    inputs = (x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh)
    return tuple(x.new_empty((0,) if part is None else part.shape) for part in inputs)  # type: ignore[return-value]


def saved_size(cell: str, steps: int, rows: int, inputs: int, hidden: int) -> int:
    """At least what `_native.saved_size` says for one model, in plain arithmetic: compile's sizes may be symbols."""
    cells = 2 * hidden if cell == "lstm" else 0
    return ((steps + 1) * (inputs + hidden) + cells + steps * hidden * KEPT[cell]) * (rows + TILE - 1)


def _used(saved: Tensor, x: Tensor, h0: Tensor, cell: str) -> Tensor:
    """What the kernel fills of each model's row; the rest is padding."""
    _, steps, rows, inputs = x.shape
    double = x.dtype == torch.float64
    return saved[:, : _native.saved_size(cell, 1, steps, rows, inputs, h0.shape[2], double=double)]


# The door.


def _check(
    x: Tensor,
    h0: Tensor,
    c0: Maybe,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Maybe,
    bias_hh: Maybe,
    lengths: Maybe,
    cell: str,
) -> None:
    if cell not in KERNEL_GATES:
        raise ValueError(f"cell: expected one of {', '.join(KERNEL_GATES)}; found {cell!r}")
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"x: expected float32 or float64, found {x.dtype}")
    if x.dim() != 4 or not x.shape[1]:
        what = "four axes [M, T, B, D]" if x.dim() != 4 else "at least one step"
        raise ValueError(f"x: expected {what}, found {list(x.shape)}")
    if h0.dim() != 3:
        raise ValueError(f"h0: expected three axes [M, B, H], found {list(h0.shape)}")
    (models, steps, rows, inputs), hidden, dtype = x.shape, h0.shape[2], x.dtype
    gates, state = KERNEL_GATES[cell] * hidden, (models, rows, hidden)
    _expect("h0", h0, state, dtype)
    _expect("c0", c0, state if cell == "lstm" else None, dtype)
    _expect("weight_ih", weight_ih, (models, gates, inputs), dtype)
    _expect("weight_hh", weight_hh, (models, gates, hidden), dtype)
    for name, bias in (("bias_ih", bias_ih), ("bias_hh", bias_hh)):
        if bias is not None:
            _expect(name, bias, (models, gates), dtype)
    if lengths is not None:
        _expect("lengths", lengths, (models, rows), torch.int64)
        low, high = (int(end) for end in lengths.aminmax()) if lengths.numel() else (0, 0)
        if low < 0 or high > steps:
            raise ValueError(f"lengths: expected 0 to {steps}, found {low if low < 0 else high}")


def _check_gradients(
    x: Tensor, h0: Tensor, saved: Tensor, grad_outputs: Maybe, grad_h: Maybe, grad_c: Maybe, cell: str
) -> None:
    (models, steps, rows, inputs), hidden, dtype = x.shape, h0.shape[2], x.dtype
    least = _native.saved_size(cell, 1, steps, rows, inputs, hidden, double=dtype == torch.float64)
    if saved.dim() != 2 or len(saved) != models or saved.shape[1] < least:
        raise ValueError(f"saved: expected what scan(train=True) returned for these inputs, found {list(saved.shape)}")
    _expect("saved", saved, saved.shape, dtype)
    if grad_outputs is not None:
        _expect("grad_outputs", grad_outputs, (models, steps, rows, hidden), dtype)
    if grad_h is not None:
        _expect("grad_h", grad_h, h0.shape, dtype)
    if grad_c is not None:
        _expect("grad_c", grad_c, h0.shape if cell == "lstm" else None, dtype)


def _expect(name: str, part: Maybe, shape: Sequence[int] | None, dtype: torch.dtype) -> None:
    found = None if part is None else tuple(part.shape)
    if found != (None if shape is None else tuple(shape)):
        expected, seen = (None if axes is None else list(axes) for axes in (shape, found))
        raise ValueError(f"{name}: expected {expected}, found {seen}")
    if part is not None and part.dtype != dtype:
        raise TypeError(f"{name}: expected {dtype}, found {part.dtype}")


# First derivatives: the backward operator.  Second: the reference, differentiated twice.


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Four) -> None:
    *arrays, ctx.cell, ctx.reverse, _ = inputs
    ctx.save_for_backward(*arrays, output[3])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, *grads: Maybe) -> tuple[Maybe, ...]:
    *arrays, saved = ctx.saved_tensors
    grad_outputs, grad_h, grad_c = grads[0], grads[1], grads[2] if ctx.cell == "lstm" else None
    found = gradients(*arrays, saved, grad_outputs, grad_h, grad_c, ctx.cell, ctx.reverse)
    kept = [None if part is None else grad for grad, part in zip(found, arrays[:7], strict=True)]
    return (*kept, None, None, None, None)


def gradients(*arguments: Any) -> Seven:
    """`scan_backward` by the way that is open: torch.func's or the operator's."""
    apply = ScanBackward.apply if torch._C._are_functorch_transforms_active() else scan_backward
    return apply(*arguments)


def _remember_backward(ctx: Any, inputs: tuple[Any, ...], output: Seven) -> None:
    *arrays, ctx.cell, ctx.reverse = inputs
    ctx.save_for_backward(*arrays)
    ctx.set_materialize_grads(False)


def _differentiate_twice(ctx: Any, *outer: Maybe) -> tuple[Maybe, ...]:
    *inputs, lengths, _, grad_outputs, grad_h, grad_c = ctx.saved_tensors
    there = [number for number, part in enumerate(inputs) if part is not None]
    grads = [(number, g) for number, g in enumerate((grad_outputs, grad_h, grad_c)) if g is not None]

    def gradients(given: Sequence[Tensor], cotangents: Sequence[Tensor]) -> tuple[Tensor, ...]:
        def run(*given: Tensor) -> tuple[Tensor, ...]:
            results = _by_reference(dict(zip(there, given, strict=True)), lengths, ctx.cell, ctx.reverse)
            return tuple(results[number] for number, _ in grads)

        return torch.func.vjp(run, *given)[1](tuple(cotangents))

    given = [inputs[number] for number in there]
    pull = torch.func.vjp(gradients, given, [g for _, g in grads])[1]
    back = pull(tuple(_or_zeros(outer[number], inputs[number]) for number in there))
    found = dict(zip(there, back[0], strict=True))
    found |= {number + 9: part for (number, _), part in zip(grads, back[1], strict=True)}
    return tuple(found.get(number) for number in range(14))


scan.register_autograd(_differentiate, setup_context=_remember)
scan_backward.register_autograd(_differentiate_twice, setup_context=_remember_backward)


def _by_reference(given: dict[int, Tensor], lengths: Maybe, cell: str, reverse: bool) -> list[Tensor]:
    """nn.reference.scan for each model, stacked: outputs, h_n and, for the LSTM, c_n. given: scan's inputs by place."""
    parts = []
    for m in range(len(given[0])):
        x, h0, c0, *weights = (given[place][m] if place in given else None for place in range(7))
        state = (h0, c0) if cell == "lstm" else (h0,)
        valid = None if lengths is None else lengths[m]
        outputs, final = reference.scan(cell, x, state, *weights, lengths=valid, reverse=reverse)  # type: ignore[arg-type]
        parts.append((outputs, *final))
    return [torch.stack(part) for part in zip(*parts, strict=True)]


def _or_zeros(grad: Maybe, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if grad is None else grad


# vmap: its axis becomes part of the model axis.


class Scan(torch.autograd.Function):
    """`scan` for torch.func, which sees the derivatives of autograd functions only."""

    forward = staticmethod(scan)
    setup_context = staticmethod(_remember)
    backward = staticmethod(_differentiate)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _unfold(info.batch_size, Scan.apply(*_fold(info.batch_size, in_dims, args))), (0,) * 4


class ScanBackward(torch.autograd.Function):
    """`scan_backward` for torch.func."""

    forward = staticmethod(scan_backward)
    setup_context = staticmethod(_remember_backward)
    backward = staticmethod(_differentiate_twice)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _unfold(info.batch_size, ScanBackward.apply(*_fold(info.batch_size, in_dims, args))), (0,) * 7


def _vmapped(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    return _unfold(info.batch_size, scan(*_fold(info.batch_size, in_dims, args))), (0,) * 4


def _vmapped_backward(
    info: Any, in_dims: tuple[int | None, ...], *args: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    return _unfold(info.batch_size, scan_backward(*_fold(info.batch_size, in_dims, args))), (0,) * 7


scan.register_vmap(_vmapped)
scan_backward.register_vmap(_vmapped_backward)


def _fold(size: int, in_dims: tuple[int | None, ...], args: tuple[Any, ...]) -> list[Any]:
    """Tensors [V, M, ...] or, where vmap does not reach them, [M, ...] -> [V*M, ...]."""
    folded = []
    for arg, dim in zip(args, in_dims, strict=True):
        if isinstance(arg, Tensor):
            arg = arg.expand(size, *arg.shape) if dim is None else arg.movedim(dim, 0)
            arg = arg.flatten(0, 1)
        folded.append(arg)
    return folded


def _unfold(size: int, results: Sequence[Tensor]) -> tuple[Tensor, ...]:
    # What is absent has no model axis, but vmap wants an axis of its own.
    return tuple(r.unflatten(0, (size, -1)) if r.dim() > 1 else r.expand(size, *r.shape) for r in results)


def _dense(part: Maybe) -> Maybe:
    return None if part is None else part.contiguous()


def _address(part: Maybe) -> int:
    return 0 if part is None or not part.numel() else part.data_ptr()
