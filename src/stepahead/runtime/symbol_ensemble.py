"""Several networks of one shape as one: each reads the same codes, and their probabilities are averaged.

Legend: M members, L layers, B rows, T steps, D hidden, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.runtime.cell import State
from stepahead.runtime.symbols import Engine, Reader, Shape, Weights

Array = NDArray[Any]

PREFIX = "members."  # of the names of weights: members.1.head.bias; the first member's stand without


@dataclass(frozen=True)
class Ensemble:
    """Networks that differ by seed. A state's parts are [M * L, B, D], one member's layers after another's.

    Source: the mean of the probabilities, Lakshminarayanan et al. 2017.
    """

    members: tuple[Engine, ...]

    @property
    def shape(self) -> Shape:
        """Each member's."""
        return self.members[0].shape

    @property
    def width(self) -> int:
        return len(self.members) * self.members[0].width

    @property
    def generator(self) -> Any:
        """The kernel goes on with one network alone."""
        return None

    def zero_state(self, rows: int = 1) -> State:
        return _joined([member.zero_state(rows) for member in self.members])

    def run(self, codes: Array, state: State | None = None) -> tuple[Array, State]:
        """Read codes [B, T] -> the members' hidden states side by side, [B, T, M * D], and the state after them."""
        states = self._parts(self.zero_state(len(codes)) if state is None else state)
        ran = [member.run(codes, own) for member, own in zip(self.members, states, strict=True)]
        hidden = np.concatenate([of for of, _ in ran], axis=-1)
        return hidden, _joined([after for _, after in ran])

    def advance(self, codes: Array, state: State) -> None:
        """Read one code of each row, [B]; the state itself moves on."""
        for member, own in zip(self.members, self._parts(state), strict=True):
            member.advance(codes, own)

    def last(self, state: State) -> Array:
        """The members' last hidden states side by side: [B, M * D]."""
        return np.concatenate([m.last(own) for m, own in zip(self.members, self._parts(state), strict=True)], axis=-1)

    def log_probabilities(self, hidden: Array) -> Array:
        """[.., M * D] -> logs of the mean of the members' probabilities, [.., K]."""
        parts = np.split(hidden, len(self.members), axis=-1)
        total = self.members[0].log_probabilities(parts[0])
        for member, part in zip(self.members[1:], parts[1:], strict=True):
            np.logaddexp(total, member.log_probabilities(part), out=total)
        return total - np.log(len(self.members))

    def log_probabilities_of(self, classes: Array, hidden: Array) -> Array:
        """[n], [n, M * D] -> the same of one class in each row, [n]."""
        parts = np.split(hidden, len(self.members), axis=-1)
        total = self.members[0].log_probabilities_of(classes, parts[0])
        for member, part in zip(self.members[1:], parts[1:], strict=True):
            np.logaddexp(total, member.log_probabilities_of(classes, part), out=total)
        return total - np.log(len(self.members))

    def _parts(self, state: State) -> list[State]:
        """Each member's own state: views, so that what moves them moves the whole."""
        layers = self.shape.num_layers
        return [tuple(p[m * layers : (m + 1) * layers] for p in state) for m in range(len(self.members))]


def build_reader(shape: Shape, weights: Weights) -> Reader:
    """The network of these weights, or the ensemble where they are several networks'."""
    members = tuple(Engine.build(shape, own) for own in split_members(weights))
    return members[0] if len(members) == 1 else Ensemble(members)


def join_members(members: Sequence[Weights]) -> dict[str, Array]:
    """All weights by name: the first member's as they are, so that one network alone is stored as ever."""
    joined = dict(members[0])
    for m, own in enumerate(members[1:], start=1):
        joined |= {f"{PREFIX}{m}.{name}": array for name, array in own.items()}
    return joined


def split_members(weights: Weights) -> list[dict[str, Array]]:
    """The weights of each member, as `join_members` was given them."""
    members: dict[int, dict[str, Array]] = {}
    for name, array in weights.items():
        number, _, own = name.removeprefix(PREFIX).partition(".") if name.startswith(PREFIX) else ("0", "", name)
        members.setdefault(int(number), {})[own] = array
    return [members[m] for m in sorted(members)]


def _joined(states: Sequence[State]) -> State:
    return tuple(np.concatenate(parts) for parts in zip(*states, strict=True))
