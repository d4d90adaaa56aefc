"""A fleet behind the training loop: networks and their feeds in, steps and losses out, as nn.loop.Team asks.

Every window that a member may see is gathered once, before the first step; a step is then an index.
Legend: M networks, K steps of a block, B windows of a batch, N windows, T steps, F features.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import nn

from stepahead.nn.fleet import PARTS, Fleet, Shape, Windows, pack, unpack

Arrays = dict[str, np.ndarray]
Feed = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]  # as nn.loop.Feed

NAMES = dict(
    zip(
        PARTS,
        ("cell.weight_ih_l0", "cell.weight_hh_l0", "cell.bias_ih_l0", "cell.bias_hh_l0", "head.weight", "head.bias"),
        strict=True,
    )
)


class FleetTeam:
    """A Team whose networks train side by side in the native kernel.

    It serves networks of one recurrent layer and a linear head without context, on the CPU, under the heads that
    `fleet.KERNEL_LOSSES` names.

    Args:
        shape: what the networks have in common.
        networks: where each member starts; their other parameters (Student's tail) stay as they are.
        feeds: origins [B] -> x [B, T, F], context (not read), target [B, H], weight [B, H]; members that share
            a feed share its windows in memory.
        origins: for each member, all origins that its training and validation will name.
        weight_decay: decoupled, as AdamW.
    """

    def __init__(
        self,
        shape: Shape,
        networks: Sequence[nn.Module],
        feeds: Sequence[Feed],
        origins: Sequence[np.ndarray],
        *,
        weight_decay: float = 0.0,
        threads: int = 0,
    ) -> None:
        states = [{name: array.numpy() for name, array in network.state_dict().items()} for network in networks]
        self._rest = [{n: a.copy() for n, a in state.items() if n not in NAMES.values()} for state in states]
        parameters = np.stack([pack(shape, {part: state[name] for part, name in NAMES.items()}) for state in states])
        windows, self._places = gather(feeds, origins)
        self.fleet = Fleet(shape, windows, parameters, weight_decay=weight_decay, threads=threads)

    def run(self, blocks: Sequence[Sequence[np.ndarray] | None], rates: np.ndarray) -> np.ndarray:
        """K steps of each network: blocks M x K x [B] origins (None: not this one), rates [K] -> losses [M, K]."""
        widest = max((len(batch) for block in blocks if block is not None for batch in block), default=0)
        order = np.full((len(rates), len(blocks), widest), -1, np.int64)
        for m, block in enumerate(blocks):
            last: tuple[np.ndarray | None, np.ndarray] = (None, np.empty(0, np.int64))
            for k, batch in enumerate(block or ()):
                if batch is not last[0]:  # a full batch is the same array at every step
                    last = (batch, self._windows(m, batch))
                order[k, m, : len(batch)] = last[1]
        going = np.array([block is not None for block in blocks])
        losses = self.fleet.run(order, rates[:, None] * going)
        return np.where(going, losses, np.nan).T.astype(np.float64)

    def losses(self, origins: Mapping[int, np.ndarray]) -> list[float]:
        """The mean loss of these networks over some windows, without a step."""
        order = np.full((len(self._rest), max(map(len, origins.values()), default=0)), -1, np.int64)
        for m, wanted in origins.items():
            order[m, : len(wanted)] = self._windows(m, wanted)
        found = self.fleet.losses(order)
        return [float(found[m]) for m in origins]

    def weights(self, m: int) -> Arrays:
        """A copy of the parameters of one network, by torch's names."""
        own = unpack(self.fleet.shape, self.fleet.parameters[m])
        return {NAMES[part]: array.copy() for part, array in own.items()} | self._rest[m]

    def load(self, m: int, weights: Arrays) -> None:
        """Put parameters back that `weights` gave."""
        self.fleet.parameters[m] = pack(self.fleet.shape, {part: weights[name] for part, name in NAMES.items()})
        self._rest[m] = {name: weights[name].copy() for name in self._rest[m]}

    def state(self, m: int) -> Arrays:
        """The optimizer's moments and the steps taken."""
        return {"moments": self.fleet.moments[:, m].copy(), "taken": self.fleet.taken[m : m + 1].copy()}

    def load_state(self, m: int, state: Arrays) -> None:
        """Put back what `state` gave."""
        self.fleet.moments[:, m], self.fleet.taken[m] = state["moments"], state["taken"][0]

    def _windows(self, m: int, origins: np.ndarray) -> np.ndarray:
        known, first = self._places[m]
        return first + np.searchsorted(known, origins)


def gather(feeds: Sequence[Feed], origins: Sequence[np.ndarray]) -> tuple[Windows, list[tuple[np.ndarray, int]]]:
    """All members' windows one after the other, and for each member: its sorted origins, its first window."""
    seen: dict[int, tuple[np.ndarray, int]] = {}
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    first = 0
    for feed in feeds:
        if id(feed) in seen:
            continue
        sharing = [own for other, own in zip(feeds, origins, strict=True) if other is feed]
        known = np.unique(np.concatenate(sharing))
        x, _, target, weight = feed(known)
        seen[id(feed)] = (known, first)
        parts.append((x, target, weight))
        first += len(known)
    x, target, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    count, steps, features = x.shape
    windows = Windows(x.reshape(-1, features), np.arange(count) * steps, steps, target, weight)
    return windows, [seen[id(feed)] for feed in feeds]
