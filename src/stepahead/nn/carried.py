"""Training with carried state: truncated back-propagation through whole series, a loss at every step.

Strands (pieces of series) -> weights, told every so many steps.  A strand is read from its first row to its last,
`span` rows at a time: the state goes on from one span to the next, the gradient does not. Source: Williams and Peng
1990, "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network Trajectories".

Legend: S strands, B strands of a batch, L rows of the longest, T rows of a span, F features, C context, H horizon.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stepahead.errors import not_a_number
from stepahead.nn.heads import make_head, weighted_mean
from stepahead.nn.network import Network, weights_of

BATCH = 16  # strands side by side where no batch_size is given


@dataclass(frozen=True)
class Strands:
    """Rows to learn from: x [S, L, F], context [S, L, C], target and weight [S, L, H], float32; weight 0: padding."""

    x: np.ndarray
    context: np.ndarray
    target: np.ndarray
    weight: np.ndarray


def train_carried(
    strands: Strands,
    network: Network,
    config: Any,
    rates: np.ndarray,
    seed: int,
    device: str,
    tell: Callable[[int, float, dict[str, np.ndarray]], None],
) -> None:
    """Take a step for each of the rates, one a span.

    tell: called every config.check_every steps and after the last: the step, its loss, the weights.
    Raises: TrainingError where the loss or a weight is no longer a number.
    """
    network = network.to(device)
    head = make_head(config.head, config.quantiles)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay)
    told = 0
    for step, (outputs, context, target, weight) in enumerate(spans(strands, config, seed, device, network), start=1):
        optimizer.zero_grad()
        said = network.head(torch.cat([outputs, context], dim=2)).unflatten(2, network.shape)
        losses = head.loss(said.flatten(0, 1), target.flatten(0, 1), network.tail)
        loss = weighted_mean(losses, weight.flatten(0, 1))
        loss.backward()
        if config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = float(rates[step - 1])
        optimizer.step()
        check = step % config.check_every == 0 or step == len(rates)
        weights = weights_of(network) if check else {}
        if not torch.isfinite(loss) or not all(np.isfinite(array).all() for array in weights.values()):
            raise not_a_number(step, told)
        if check:
            told = step
            tell(step, loss.item(), weights)


def spans(
    strands: Strands, config: Any, seed: int, device: str, network: Network
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Span after span, max_steps of them: what the cell says of it [B, T, D], its context, target and weight."""
    rng, taken = np.random.default_rng(seed), 0
    arrays = [torch.as_tensor(a).to(device) for a in (strands.x, strands.context, strands.target, strands.weight)]
    count, longest = strands.x.shape[:2]
    size = min(config.batch_size or BATCH, count)
    while True:
        order = rng.permutation(count)
        for first in range(0, count - size + 1, size):
            chosen, state = torch.as_tensor(order[first : first + size]).to(device), None
            for start in range(0, longest, config.window):
                x, context, target, weight = (a[chosen, start : start + config.window] for a in arrays)
                if not weight.any():
                    break
                outputs, state = network.cell(x, state)
                yield outputs, context, target, weight
                taken += 1
                if taken == config.max_steps:
                    return
                state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
