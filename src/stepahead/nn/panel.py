"""The panel recipe's network, all members in one computation.  Feeds in, trained weights out.

forecast = baseline + linear skip over the window + MLP over [last output of the cell, context].  The cell reads patches
of the window, each with its mask.  Members have the same shapes and differ by seed and by how they see their windows.

Legend: M members, N windows of a batch, L rows of a window, p rows of a patch, T = L / p steps, E embedding, D hidden,
C context, H horizon.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stepahead.errors import TrainingError
from stepahead.nn import ops  # noqa: F401 (registers torch.ops.stepahead)
from stepahead.nn.stack import _native

Arrays = dict[str, np.ndarray]
SLACK = 0.02  # of the window's mean size: the least sum of sizes that a percentage error is measured by
FAR = 6.0  # a logarithm that is forecast stays within this of the window's level


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. context: C. extras: E, other inputs of a row. ahead: K, inputs known ahead."""

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


@dataclass(frozen=True)
class Feed:
    """One batch, float32: what the members read, and what they should have said in units of each window's scale.

    patches [M, N, T, (2+E)p], z [M, N, L], base [M, N, H], context [M, N, C], shift [M, N, H, K], level, offset [M, N];
    y, there [M, N, H], importance [M, N].
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


@dataclass(frozen=True)
class Start:
    """Where the linear parts start, float32: skip [M, L, H] of the window, effect [M, K, 1] of what is known ahead."""

    skip: np.ndarray
    effect: np.ndarray


class PanelNetwork(nn.Module):
    """All members; every parameter has a leading axis M."""

    def __init__(self, shape: Shape, start: "Start") -> None:
        super().__init__()
        m, p, e, d, h = shape.members, shape.patch, shape.embedding, shape.hidden, shape.horizon
        gates = GATES[shape.cell]
        inner = d + shape.context
        self.shape = shape
        width = (2 + shape.extras) * p
        self.embed_weight, self.embed_bias = uniform(m, width, e, fan=width), uniform(m, 1, e, fan=width)
        self.weight_ih, self.weight_hh = uniform(m, gates * d, e, fan=d), uniform(m, gates * d, d, fan=d)
        self.bias_ih, self.bias_hh = uniform(m, gates * d, fan=d), uniform(m, gates * d, fan=d)
        self.mlp_weight, self.mlp_bias = uniform(m, inner, 64, fan=inner), uniform(m, 1, 64, fan=inner)
        self.head_weight, self.head_bias = nn.Parameter(torch.zeros(m, 64, h)), nn.Parameter(torch.zeros(m, 1, h))
        self.skip_weight = nn.Parameter(torch.tensor(start.skip))  # [M, L, H]
        self.effect = nn.Parameter(torch.tensor(start.effect))  # [M, K, 1]

    def forward(self, feed: Feed) -> Tensor:
        """What each member adds to its window's level: [M, N, H]."""
        m, n, t, width = feed.patches.shape
        flat = feed.patches.view(m, n * t, width)
        embedded = torch.baddbmm(self.embed_bias, flat, self.embed_weight).relu_()  # [M, N*T, E]
        last = run_cell(self.shape.cell, embedded.view(m, n, t, -1).transpose(1, 2), self)  # [M, N, D]
        drop = self.shape.dropout if self.training else 0.0
        last = torch.dropout(last, drop, True) if drop else last
        inner = torch.baddbmm(self.mlp_bias, torch.cat([last, feed.context], dim=2), self.mlp_weight).relu_()
        inner = torch.dropout(inner, drop, True) if drop else inner
        out = torch.baddbmm(feed.base, feed.z, self.skip_weight)
        if self.shape.ahead:
            out = out + (feed.shift.flatten(1, 2) @ self.effect).view_as(out)
        return torch.baddbmm(out + self.head_bias, inner, self.head_weight)


GATES = {"rnn": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}


def uniform(*size: int, fan: int) -> nn.Parameter:
    """Torch's usual start: uniform within 1 / sqrt(fan)."""
    return nn.Parameter(torch.empty(*size).uniform_(-(fan**-0.5), fan**-0.5))


def run_cell(cell: str, x: Tensor, network: PanelNetwork) -> Tensor:
    """The last output of each member's cell: x [M, T, N, E] -> [M, N, D]."""
    weights = (network.weight_ih, network.weight_hh, network.bias_ih, network.bias_hh)
    if _native is not None and x.device.type == "cpu":
        name = {"rnn": "rnn_tanh"}.get(cell, cell)
        zero = x.new_zeros(x.shape[0], x.shape[2], network.shape.hidden)
        c0 = zero if cell == "lstm" else None
        return torch.ops.stepahead.scan(x, zero, c0, *weights, None, name, False, torch.is_grad_enabled())[1]
    return torch.stack([run_one(cell, x[i], [w[i] for w in weights]) for i in range(len(x))])


def run_one(cell: str, x: Tensor, weights: list[Tensor]) -> Tensor:
    """One member's last output, by torch's own layers: x [T, N, E] -> [N, D]."""
    zero = x.new_zeros(1, x.shape[1], weights[1].shape[1])
    if cell == "lstm":
        return torch._VF.lstm(x, (zero, zero), weights, True, 1, 0.0, False, False, False)[1][0]
    run = {"gru": torch._VF.gru, "rnn": torch._VF.rnn_tanh, "rnn_relu": torch._VF.rnn_relu}[cell]
    return run(x, zero, weights, True, 1, 0.0, False, False, False)[1][0]


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
    """How steps are taken. rates: [steps]. clip: largest gradient norm of a member, or None. average: of weights."""

    rates: np.ndarray
    weight_decay: float
    clip: float | None
    average: float = 0.99


def train_members(
    shape: Shape,
    start: Start,
    feeds: Iterator[Mapping[str, np.ndarray]],
    descent: Descent,
    *,
    logs: int,
    percent: float,
    seed: int,
    watch: Callable[[int, float], None] | None = None,
    device: str = "cpu",
) -> tuple[list[Arrays], np.ndarray]:
    """Train all members at once.

    start: of the linear parts. feeds: a batch for each step. logs: how many members, the last, speak in
    logarithms. percent: see relative_loss. watch: called with step and mean loss.
    Returns: averaged weights of each member, and the losses [steps, M].
    Raises: TrainingError at the first loss that is not a number; its `kept` holds the weights before it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PanelNetwork(shape, start).to(device).train()
        parameters = list(network.parameters())
        averaged = [p.detach().clone() for p in parameters]
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=descent.weight_decay, fused=True)
        losses: list[np.ndarray] = []
        for step, rate in enumerate(descent.rates):
            feed = Feed(**{name: torch.as_tensor(array).to(device) for name, array in next(feeds).items()})
            optimizer.param_groups[0]["lr"] = float(rate)
            optimizer.zero_grad()
            loss = relative_loss(in_scale(network(feed), feed, logs), feed, percent)
            loss.sum().backward()
            clip_members(parameters, descent.clip)
            optimizer.step()
            values = loss.detach().cpu().numpy()
            if not np.isfinite(values).all():
                raise TrainingError(
                    f"the loss is not a number at step {step + 1}; try a smaller learning_rate or gradient_clip=1",
                    kept=members_of(network, averaged),
                )
            torch._foreach_lerp_(averaged, [p.detach() for p in parameters], 1 - descent.average)
            losses.append(values)
            if watch is not None:
                watch(step + 1, float(values.mean()))
        return members_of(network, averaged), np.stack(losses)


def clip_members(parameters: list[Any], limit: float | None) -> None:
    """Scale each member's gradient to at most this norm."""
    if limit is None:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([g.flatten(1).square().sum(dim=1) for g in grads]).sum(dim=0).sqrt()  # [M]
    factor = (limit / (norm + 1e-6)).clamp_max(1.0)
    for grad in grads:
        grad.mul_(factor.view(-1, *[1] * (grad.dim() - 1)))


def members_of(network: PanelNetwork, values: list[Tensor]) -> list[Arrays]:
    """Weights by name for each member."""
    names = [name for name, _ in network.named_parameters()]
    arrays = dict(zip(names, (v.cpu().numpy() for v in values), strict=True))
    return [{name: array[m].copy() for name, array in arrays.items()} for m in range(network.shape.members)]
