"""The stack's backward where the kernel's own will not do: gradients under vmap, and derivatives of derivatives.

(plan, lengths, inputs, masks, gradients) -> gradients of the inputs, in operations that torch can see; as `backward` of
stack.py, whose legend holds here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from stepahead.nn import reference
from stepahead.nn.ops import gradients

if TYPE_CHECKING:  # stack.py imports this module
    from stepahead.nn.stack import Plan

Maybe = Tensor | None


def differentiates() -> bool:
    """Whether backward is itself derived: create_graph=True, or a forward-mode derivative around it.

    The kernel has no second derivative, the reference has.
    """
    return torch.is_grad_enabled() or forward_ad._current_level >= 0


def laid_out(grads: Sequence[Maybe]) -> tuple[Maybe, ...]:
    """Gradients whose memory holds what they are: what complex numbers leave behind may be minus that, or nowhere."""
    return tuple(
        grad if grad is None or not (grad.is_neg() or grad._is_zerotensor()) else plain(grad) for grad in grads
    )


def plain(grad: Tensor) -> Tensor:
    return torch.zeros(grad.shape, dtype=grad.dtype) if grad._is_zerotensor() else grad.resolve_neg()


def refuse_changed(biases: Sequence[Maybe], versions: tuple[int, int] | None) -> None:
    """Raise what torch raises where a bias that the reference needs again was changed in place since forward."""
    if versions is not None and versions != tuple(bias._version for bias in biases if bias is not None):
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: a bias of "
            "the layer; clone what changes it, or take the derivative before"
        )


def is_batched(grads: Sequence[Maybe]) -> bool:
    """Whether vmap reaches these gradients: torch.func's, or the older one behind autograd's is_grads_batched=True."""
    if torch._C._are_functorch_transforms_active():
        return True
    return any(map(_is_legacy_batched, [grad for grad in grads if grad is not None]))


_is_legacy_batched = torch._C._functorch.is_legacy_batchedtensor


def backward_of_many(
    plan: "Plan",
    lengths: Maybe,
    inputs: Sequence[Any],
    saved: Sequence[Tensor],
    masks: Sequence[Tensor],
    grads: Sequence[Maybe],
    wanted: Sequence[bool],
) -> list[Maybe]:
    """`backward` by the operator of ops.py, for gradients that vmap reaches: they have no address of their own."""
    x, _, _, *weights = inputs
    grad_outputs, grad_h, grad_c = (*grads, None)[:3]
    rows, steps = x.shape[:2] if plan.batch_first else (x.shape[1], x.shape[0])
    if grad_outputs is not None and plan.batch_first:
        grad_outputs = grad_outputs.transpose(0, 1)
    hidden, directions, per_pass = plan.hidden, plan.directions, plan.per_pass
    lengths = None if lengths is None else lengths.unsqueeze(0)
    blank = x.new_empty(())  # backward asks x and state for their shapes only
    state = blank.expand(1, rows, hidden)
    grad_h0, grad_c0 = ([blank] * (plan.layers * directions) for _ in range(2))
    grad_weights: list[Maybe] = [None] * len(weights)
    for layer in reversed(range(plan.layers)):
        width = x.shape[2] if layer == 0 else directions * hidden
        total: Maybe = None
        for direction in range(directions):
            k, first = layer * directions + direction, direction * hidden
            own = slice(k * per_pass, (k + 1) * per_pass)
            given = [weight.unsqueeze(0) for weight in weights[own]] + [None] * (4 - per_pass)
            part = None if grad_outputs is None else grad_outputs.narrow(2, first, hidden).unsqueeze(0)
            finals = [None if grad is None else grad[k].unsqueeze(0) for grad in (grad_h, grad_c)]
            results = gradients(
                blank.expand(1, steps, rows, width), state, state if plan.cell == "lstm" else None, *given, lengths,
                saved[k].unsqueeze(0), part, *finals, plan.cell, direction == 1,
            )  # fmt: skip
            grad_x, grad_h0[k], grad_c0[k], *found = (result.squeeze(0) for result in results)
            grad_weights[own] = found[:per_pass]
            total = grad_x if total is None else total + grad_x
        grad_outputs = total * masks[layer - 1] if masks and layer and total is not None else total
    if grad_outputs is not None and plan.batch_first:
        grad_outputs = grad_outputs.transpose(0, 1)
    starts = [torch.stack(parts) if want else None for parts, want in zip((grad_h0, grad_c0), wanted[1:3], strict=True)]
    every = (grad_outputs, *starts, *grad_weights)
    return [grad if want else None for grad, want in zip(every, wanted, strict=True)]


def differentiable_backward(
    plan: "Plan",
    lengths: Maybe,
    inputs: Sequence[Any],
    masks: Sequence[Tensor],
    grads: Sequence[Maybe],
    wanted: Sequence[bool],
) -> list[Maybe]:
    """`backward` by the reference, in operations that can be differentiated again."""
    with torch.enable_grad():  # off within a forward-mode derivative
        # Aliases: where one input is computed from another, or two are one, each must get its own part only.
        aliases = [t.view_as(t) if want and t is not None else t for t, want in zip(inputs, wanted, strict=True)]
        results = by_reference(plan, lengths, aliases, masks)
        pairs = [(result, grad) for result, grad in zip(results, grads, strict=True) if grad is not None]
        sources = [alias for alias, want in zip(aliases, wanted, strict=True) if want and alias is not None]
        if not pairs or not sources:
            return [None] * len(inputs)
        found = iter(
            torch.autograd.grad(
                [result for result, _ in pairs], sources, [grad for _, grad in pairs],
                create_graph=True, allow_unused=True,
            )
        )  # fmt: skip
    every = [next(found) if want else None for want in wanted]
    if torch.is_grad_enabled():
        return every
    # Of no second derivative; `detach` lets go of the graph, and of tangents, which are what is asked for then.
    return [g if g is None or forward_ad.unpack_dual(g).tangent is not None else g.detach() for g in every]


def by_reference(
    plan: "Plan", lengths: Maybe, inputs: Sequence[Any], masks: Sequence[Tensor] = ()
) -> tuple[Tensor, ...]:
    """The stack in nn.reference's loops, with given dropout masks [T, B, directions*H]."""
    x, h0, c0, *weights = inputs
    x = x.transpose(0, 1) if plan.batch_first else x
    zeros = x.new_zeros((plan.layers * plan.directions, x.shape[1], plan.hidden))
    starts = [zeros if part is None else part for part in ((h0, c0) if plan.cell == "lstm" else (h0,))]
    finals: list[reference.State] = []
    for layer in range(plan.layers):
        parts = []
        for direction in range(plan.directions):
            k = len(finals)
            own = weights[k * plan.per_pass : (k + 1) * plan.per_pass]
            state = tuple(part[k] for part in starts)
            outputs, final = reference.scan(
                plan.cell,
                x,
                state,
                *own,
                lengths=lengths,
                reverse=direction == 1,
            )
            parts.append(outputs)
            finals.append(final)
        x = torch.cat(parts, dim=2)
        if masks and layer < plan.layers - 1:
            x = x * masks[layer]
    x = x.transpose(0, 1) if plan.batch_first else x
    return x, *(torch.stack(part) for part in zip(*finals, strict=True))
