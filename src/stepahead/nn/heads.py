"""What a network is trained for.  (output, target, weight) -> loss of each network's batch, one number.

Legend: N windows, H horizon, O numbers a step (1 for a point, Q for quantiles, 2 for Student's t).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

HUBER_DELTA = 1.0


@dataclass(frozen=True)
class Head:
    """A loss and how many numbers it needs for each step ahead.

    loss: (output [N, H, O], target [N, H], tail scalar) -> [N, H].
    """

    outputs: int
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]


def make_head(name: str, quantiles: Sequence[float]) -> Head:
    """The head of this name: "mse" | "mae" | "huber" | "quantile" | "student_t"."""
    if name == "quantile":
        return Head(len(quantiles), lambda output, target, _: pinball(output, target, quantiles))
    return HEADS[name]


def weighted_mean(losses: Tensor, weight: Tensor) -> Tensor:
    """The mean over observed targets: losses, weight [N, H] -> scalar."""
    return (losses * weight).sum() / weight.sum().clamp_min(1.0)


def squared(output: Tensor, target: Tensor, _: Tensor) -> Tensor:
    return (output[..., 0] - target).square()


def absolute(output: Tensor, target: Tensor, _: Tensor) -> Tensor:
    return (output[..., 0] - target).abs()


def huber(output: Tensor, target: Tensor, _: Tensor) -> Tensor:
    """Huber 1964, delta 1 in scaled units."""
    return F.huber_loss(output[..., 0], target, reduction="none", delta=HUBER_DELTA)


def pinball(output: Tensor, target: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Koenker and Bassett 1978, the mean over the quantiles."""
    level = output.new_tensor(quantiles)
    error = target[..., None] - output
    return torch.maximum(level * error, (level - 1) * error).mean(dim=-1)


def student_t(output: Tensor, target: Tensor, tail: Tensor) -> Tensor:
    """Negative log-likelihood of Student's t: location, softplus scale, degrees of freedom 2 + softplus(tail)."""
    freedom = 2 + F.softplus(tail)
    scale = F.softplus(output[..., 1]) + 1e-4  # a scale of zero would make one exact hit worth infinitely much
    return -torch.distributions.StudentT(freedom, output[..., 0], scale).log_prob(target)


HEADS = {
    "mse": Head(1, squared),
    "mae": Head(1, absolute),
    "huber": Head(1, huber),
    "student_t": Head(2, student_t),
}
