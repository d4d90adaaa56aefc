"""The panel recipe's network, all members in one computation.  Feeds in, trained weights out.

forecast = baseline + linear skip over the window + MLP over [last output of the cell, context].  The cell reads patches
of the window, each with its mask.  Members have the same shapes and differ by seed and by how they see their windows.

Legend: M members, N windows of a batch, L rows of a window, p rows of a patch, T = L / p steps, E embedding, D hidden,
C context, H horizon.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stepahead.cell_names import GATES
from stepahead.kernel import own_pool
from stepahead.limits import FAR, SLACK
from stepahead.nn.loop import MOMENTS
from stepahead.nn.members import Workspace, last_outputs

Arrays = dict[str, np.ndarray]
STATIC = 16  # numbers that stand for the categories of a series


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. context: C. extras: E, other inputs of a row. ahead: K, inputs known ahead. spread: S,
    numbers a step ahead beside the location, for a head that gives a distribution. tail: whether its tail is learned.
    table: V, rows that stand for static categories. numbers: J, static numbers.
    """

    members: int
    window: int
    patch: int
    horizon: int
    context: int
    hidden: int
    cell: str = "gru"
    embedding: int = 64
    dropout: float = 0.1
    extras: int = 0
    ahead: int = 0
    spread: int = 0
    tail: bool = False
    table: int = 0
    numbers: int = 0

    @property
    def static(self) -> int:
        """Numbers about the series: of the table's rows, and those given."""
        return (STATIC if self.table else 0) + self.numbers


@dataclass(frozen=True)
class Feed:
    """One batch, float32: what the members read, and what they should have said in units of each window's scale.

    patches [M, N, T, (2+E)p], z [M, N, L], base [M, N, H], context [M, N, C], shift [M, N, H, K], level, offset [M, N];
    y, there [M, N, H], importance [M, N]. For a distribution also unit [M, N], what its spread is measured in, and size
    [M, N], the window's scale. With static inputs static [M, N, J] and codes [M, N, C], rows of the table.
    """

    patches: Tensor
    z: Tensor
    base: Tensor
    context: Tensor
    shift: Tensor
    level: Tensor
    offset: Tensor
    y: Tensor
    there: Tensor
    importance: Tensor
    unit: Tensor | None = None
    size: Tensor | None = None
    static: Tensor | None = None
    codes: Tensor | None = None


@dataclass(frozen=True)
class Start:
    """Where the linear parts start, float32: skip [M, L, H] of the window, effect [M, K, 1] of what is known ahead,
    spread [S] of a distribution.
    """

    skip: np.ndarray
    effect: np.ndarray
    spread: np.ndarray | None = None


class PanelNetwork(nn.Module):
    """All members; every parameter has a leading axis M."""

    def __init__(self, shape: Shape, start: "Start") -> None:
        super().__init__()
        m, p, e, d, h = shape.members, shape.patch, shape.embedding, shape.hidden, shape.horizon
        gates = GATES[shape.cell]
        inner = d + shape.context + shape.static
        self.shape, self.workspace = shape, Workspace()
        width = (2 + shape.extras) * p
        self.embed_weight, self.embed_bias = uniform(m, width, e, fan=width), uniform(m, 1, e, fan=width)
        self.weight_ih, self.weight_hh = uniform(m, gates * d, e, fan=d), uniform(m, gates * d, d, fan=d)
        self.bias_ih, self.bias_hh = uniform(m, gates * d, fan=d), uniform(m, gates * d, fan=d)
        self.mlp_weight, self.mlp_bias = uniform(m, inner, 64, fan=inner), uniform(m, 1, 64, fan=inner)
        self.head_weight, self.head_bias = nn.Parameter(torch.zeros(m, 64, h)), nn.Parameter(torch.zeros(m, 1, h))
        self.skip_weight = nn.Parameter(torch.tensor(start.skip))  # [M, L, H]
        self.effect = nn.Parameter(torch.tensor(start.effect))  # [M, K, 1]
        if shape.spread and start.spread is not None:
            self.spread_weight = nn.Parameter(torch.zeros(m, 64, h * shape.spread))
            self.spread_bias = nn.Parameter(torch.tensor(start.spread).repeat(m, 1, h))  # [M, 1, H*S]
        if shape.tail:
            self.tail = nn.Parameter(torch.full((m, 1), 4.0))  # 2 + 4 degrees of freedom to begin with

        if shape.table:
            self.static_table = nn.Parameter(torch.randn(m, shape.table, STATIC) * 0.3)
        if shape.static:
            self.static_weight = nn.Parameter(torch.zeros(m, shape.static, e))
            self.static_effect = nn.Parameter(torch.zeros(m, shape.static, shape.ahead))

    def forward(self, feed: Feed) -> Tensor:
        """What each member adds to its window's level: [M, N, H]."""
        return self.read(feed)[0]

    def about(self, feed: Feed) -> Tensor | None:
        """What is known about each window's series: [M, N, static]; None where nothing is."""
        if feed.static is None or feed.codes is None:
            return None
        if not self.shape.table:
            return feed.static
        first = self.shape.table * torch.arange(len(feed.codes), device=feed.codes.device)  # row of each member
        found = self.static_table.flatten(0, 1)[feed.codes.long() + first[:, None, None]].sum(dim=2)  # [M, N, STATIC]
        return torch.cat([found, feed.static], dim=2)

    def spread(self, inner: Tensor) -> Tensor:
        """The numbers beside the location: inner [M, N, 64] -> [M, N, H, S]."""
        if not self.shape.spread:
            return inner.new_zeros(*inner.shape[:2], self.shape.horizon, 0)
        flat = torch.baddbmm(self.spread_bias, inner, self.spread_weight)
        return flat.unflatten(2, (self.shape.horizon, self.shape.spread))

    def read(self, feed: Feed) -> tuple[Tensor, Tensor]:
        """What each member adds to its window's level [M, N, H], and the layer that it says it from [M, N, 64]."""
        m, n, t, width = feed.patches.shape
        flat = feed.patches.view(m, n * t, width)
        embedded = torch.baddbmm(self.embed_bias, flat, self.embed_weight)  # [M, N*T, E]
        about = self.about(feed)
        if about is not None:
            embedded = (embedded.view(m, n, t, -1) + (about @ self.static_weight)[:, :, None]).view(m, n * t, -1)
        embedded = embedded.relu_()
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        last = last_outputs(self.shape.cell, embedded.view(m, n, t, -1), weights, self.workspace)  # [M, N, D]
        drop = self.shape.dropout if self.training else 0.0
        last = torch.dropout(last, drop, True) if drop else last
        inner = torch.cat([last, feed.context] if about is None else [last, feed.context, about], dim=2)
        inner = torch.baddbmm(self.mlp_bias, inner, self.mlp_weight).relu_()
        inner = torch.dropout(inner, drop, True) if drop else inner
        out = torch.baddbmm(feed.base, feed.z, self.skip_weight)
        if self.shape.ahead:
            out = out + (feed.shift.flatten(1, 2) @ self.effect).view_as(out)
        if self.shape.ahead and about is not None:  # the effect that an input has on series like this one
            out = out + (feed.shift @ (about @ self.static_effect)[..., None])[..., 0]
        return torch.baddbmm(out + self.head_bias, inner, self.head_weight), inner


def uniform(*size: int, fan: int) -> nn.Parameter:
    """Torch's usual start: uniform within 1 / sqrt(fan)."""
    return nn.Parameter(torch.empty(*size).uniform_(-(fan**-0.5), fan**-0.5))


def in_scale(out: Tensor, feed: Feed, logs: int) -> Tensor:
    """Forecasts in units of each window's scale: [M, N, H]; the last `logs` members speak in logarithms."""
    said = out + feed.level[..., None]
    if not logs:
        return said
    split = len(said) - logs
    level = feed.level[split:, :, None]
    curve = torch.exp(torch.clamp(out[split:], -FAR, FAR) + level) - feed.offset[split:, :, None]
    return torch.cat([said[:split], curve])


def relative_loss(said: Tensor, feed: Feed, percent: float) -> Tensor:
    """Half sMAPE-like and half MASE-like, each relative to the baseline's own: one number a member [M].

    percent: the baseline's mean sMAPE-like error over the panel.
    """
    error = (said - feed.y).abs()
    size = (said.abs() + feed.y.abs()).clamp_min(SLACK)
    cost = error * (feed.importance[..., None] + (1.0 / percent) / size)
    return (cost * feed.there).sum(dim=(1, 2)) / feed.there.sum(dim=(1, 2)).clamp_min(1.0)


@dataclass(frozen=True)
class Descent:
    """How steps are taken. weight_decay: decoupled. clip: largest gradient norm of a member, or None.

    logs: how many members, the last, speak in logarithms. percent: see relative_loss. average: of the weights.
    distribution: the loss of a head that gives one, see nn/panel_heads.py; None for a point.
    """

    weight_decay: float
    clip: float | None
    logs: int
    percent: float
    average: float = 0.99
    distribution: "Distribution | None" = None


Distribution = Callable[["PanelNetwork", Feed, Descent], Tensor]
"""(network, feed, descent) -> the loss of each member [M]."""


class Members:
    """All members in training: `step` takes one, `weights` gives the averaged weights, `state` all that a resume
    needs.
    """

    def __init__(self, shape: Shape, start: Start, descent: Descent, *, seed: int, device: str = "cpu") -> None:
        torch.manual_seed(seed)
        self.network = PanelNetwork(shape, start).to(device).train()
        self.parameters = [p for p in self.network.parameters() if p.numel()]
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.names = [name for name, p in self.network.named_parameters() if p.numel()]
        self.descent = descent
        self.device = device
        self.optimizer = AdamW(self.parameters, descent.weight_decay)

    def step(self, batch: Mapping[str, np.ndarray], rate: float) -> np.ndarray:
        """One step on a batch, the arrays of Feed: the losses before it [M]."""
        feed = Feed(**{name: torch.as_tensor(array).to(self.device) for name, array in batch.items()})
        for p in self.parameters:
            p.grad = None
        loss = self.losses(feed)
        loss.sum().backward()
        clip_members(self.parameters, self.descent.clip)
        self.optimizer.step(rate)
        torch._foreach_lerp_(self.averaged, [p.detach() for p in self.parameters], 1 - self.descent.average)
        return loss.detach().cpu().numpy()

    def losses(self, feed: Feed) -> Tensor:
        """The loss of each member: [M]."""
        if self.descent.distribution is not None:
            return self.descent.distribution(self.network, feed, self.descent)
        said = in_scale(self.network(feed), feed, self.descent.logs)
        return relative_loss(said, feed, self.descent.percent)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Torch with one thread inside, the kernel with all: a member's bits do not depend on their number."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with own_pool():
                yield
        finally:
            torch.set_num_threads(threads)

    def weights(self) -> list[Arrays]:
        """A copy of the averaged weights of each member, by name."""
        arrays = {name: value.cpu().numpy() for name, value in zip(self.names, self.averaged, strict=True)}
        empty = {name: p.detach().cpu().numpy() for name, p in self.network.named_parameters() if not p.numel()}
        return [
            {name: array[m].copy() for name, array in (arrays | empty).items()}
            for m in range(self.network.shape.members)
        ]

    def state(self) -> Arrays:
        """Weights, their averages, the optimizer's moments and torch's random state."""
        arrays = {"random": torch.get_rng_state().numpy()}
        for name, p, averaged in zip(self.names, self.parameters, self.averaged, strict=True):
            moments = self.optimizer.state[p]
            parts = {"now": p.detach(), "averaged": averaged} | {key: moments[key] for key in MOMENTS}
            arrays |= {f"{name}.{part}": value.cpu().numpy().copy() for part, value in parts.items()}
        return arrays

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Put back what `state` gave, for a run that goes on in the same bits."""
        torch.set_rng_state(torch.as_tensor(state["random"].copy()))
        for name, p, averaged in zip(self.names, self.parameters, self.averaged, strict=True):
            p.data.copy_(torch.as_tensor(state[f"{name}.now"]))
            averaged.copy_(torch.as_tensor(state[f"{name}.averaged"]))
            self.optimizer.state[p] = {
                key: torch.as_tensor(state[f"{name}.{key}"].copy()).to(p.device) for key in MOMENTS
            }


class AdamW:
    """torch.optim.AdamW(fused=True) in its one call: the class itself imports torch.compile, two seconds of a fit.

    state: of each parameter the MOMENTS.
    """

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float) -> None:
        self.parameters, self.weight_decay = list(parameters), weight_decay
        self.state = {
            p: {"step": torch.zeros((), device=p.device)} | {name: torch.zeros_like(p.data) for name in MOMENTS[1:]}
            for p in parameters
        }

    @torch.no_grad()
    def step(self, rate: float) -> None:
        steps, means, squares = ([self.state[p][name] for p in self.parameters] for name in MOMENTS)
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            self.parameters,
            [p.grad for p in self.parameters],  # type: ignore[misc]
            means,
            squares,
            [],
            steps,
            lr=rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


def clip_members(parameters: list[Any], limit: float | None) -> None:
    """Scale each member's gradient to at most this norm."""
    if limit is None:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([g.flatten(1).square().sum(dim=1) for g in grads]).sum(dim=0).sqrt()  # [M]
    factor = (limit / (norm + 1e-6)).clamp_max(1.0)
    for grad in grads:
        grad.mul_(factor.view(-1, *[1] * (grad.dim() - 1)))
