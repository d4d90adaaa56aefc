"""What would put a sequence right?  Codes and a network -> the single repair that explains it best.

A fault of one step (a symbol dropped, foreign, or exchanged with its neighbour) leaves a sequence that one repair makes
ordinary; a rare but sound one stays rare whatever is repaired. What the best repair saves tells the two apart, where
the surprise itself does not.  Legend: N steps, S sequences, B rows, T steps of one, K classes, R trials.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.runtime.cell import State
from stepahead.runtime.symbols import CELLS_AT_ONCE, Reader, likeliest

Array = NDArray[Any]

WORST = 4  # steps tried, the most surprising, each with the one before it: a fault shows there or one step later
LIKELIEST = 3  # symbols tried at each
REACH = 64  # steps after a repair whose surprise it may change: further on a network has forgotten it
FOREIGN = ("drop", "replace")  # repairs of a fault that brought a symbol in, any of K
ROWS = 256  # sequences that are read side by side


@dataclass(frozen=True)
class Repair:
    """kind: "drop", "swap" (with the next), "insert" or "replace". step: where, from 0.

    symbol: its code here, its name from a SymbolModel: what is dropped or swapped, or what comes in.
    """

    kind: str
    step: int
    symbol: int | str


@dataclass(frozen=True)
class Place:
    """Before one step of a sequence. targets: [T] what follows, up to REACH. inputs: [T-1], all but the last of it, as
    they are read. state: what was read before. likely: codes that may come in. odds: log-probabilities at the step, of
    them and of the second target. before: nats of targets.
    """

    owner: int
    step: int
    targets: list[int]
    inputs: list[int]
    state: State
    likely: list[int]
    odds: dict[int, float]
    before: float


def best_repairs(
    engine: Reader, inputs: Array, targets: Array, offsets: Array, surprise: Array, *, end: int, unseen: float
) -> tuple[Array, list[Repair | None]]:
    """Of each sequence the nats that its best repair saves, [S], and that repair.

    What is saved is counted less what it takes to name the fault: one of T steps and, where a symbol came in, one of K.
    So a sequence with a saving above 0 is told shorter as a sound one and its fault.

    Args:
        inputs, targets: [N] codes. offsets: [S+1]. surprise: [N] nats of each target.
        end: the code that ends a sequence and cannot be repaired, -1 for none.
        unseen: nats of a target that is no class.

    Source: minimum description length, Rissanen 1978.
    """
    saved = np.full(len(offsets) - 1, -np.inf)
    repairs: list[Repair | None] = [None] * len(saved)
    twins: dict[bytes, list[int]] = {}  # logs repeat themselves: equal sequences are tried once
    for s, (start, stop) in enumerate(pairwise(offsets)):
        twins.setdefault(inputs[start:stop].tobytes() + targets[start:stop].tobytes(), []).append(s)
    lengths = np.diff(offsets)
    owners = sorted((first for first, *_ in twins.values()), key=lambda s: int(lengths[s]))
    rows = min(ROWS, max(1, CELLS_AT_ONCE // engine.shape.classes))
    for at in range(0, len(owners), rows):
        trials = []
        for place in _places(engine, owners[at : at + rows], inputs, targets, offsets, surprise, end):
            trials += [(place, *repaired) for repaired in _repaired(place, end)]
        for (place, repair, *_), after in zip(trials, _nats(engine, trials, unseen), strict=True):
            price = np.log(lengths[place.owner] * (engine.shape.classes if repair.kind in FOREIGN else 1))
            if place.before - after - price > saved[place.owner]:
                saved[place.owner], repairs[place.owner] = place.before - after - price, repair
    for owner, *others in twins.values():
        for other in others:
            saved[other], repairs[other] = saved[owner], repairs[owner]
    # Where nothing can be repaired nothing is saved.
    return np.where(np.isfinite(saved), saved, 0.0), repairs


def _places(
    engine: Reader, owners: list[int], inputs: Array, targets: Array, offsets: Array, surprise: Array, end: int
) -> Iterator[Place]:
    """Where a repair may be due, with the state of the network there."""
    lengths = np.diff(offsets)[owners]
    chosen = [
        {max(int(step) - back, 0) for step in np.argsort(-surprise[offsets[s] : offsets[s + 1]], kind="stable")[:WORST]
         for back in (0, 1)}
        for s in owners
    ]  # fmt: skip
    state = engine.zero_state(len(owners))
    for step in range(int(lengths.max(initial=0))):
        here = offsets[owners] + np.minimum(step, np.maximum(lengths - 1, 0))
        engine.advance(inputs[here], state)
        rows = [row for row, steps in enumerate(chosen) if step in steps and step < lengths[row]]
        if not rows:
            continue
        odds = engine.log_probabilities(engine.last(state)[rows])
        for row, of_row in zip(rows, odds, strict=True):
            first, last = (
                offsets[owners[row]] + step,
                min(offsets[owners[row]] + step + REACH, offsets[owners[row] + 1]),
            )
            follow = targets[first:last].tolist()
            likely = [code for code in likeliest(of_row, LIKELIEST + 1).tolist() if code != end][:LIKELIEST]
            # All K log-probabilities of every place would be too much to keep.
            kept = {code: float(of_row[code]) for code in [*likely, *follow[1:2]] if code < len(of_row)}
            yield Place(
                owners[row], step, follow, inputs[first + 1 : last].tolist(), tuple(part[:, [row]] for part in state),
                likely, kept, float(surprise[first:last].sum()),
            )  # fmt: skip


def _repaired(place: Place, end: int) -> Iterator[tuple[Repair, list[int], list[int]]]:
    """Every repair of the first target, with what is to be foreseen then, [T'], and what is read for it, [T'-1]."""
    (first, *rest), inputs, step = place.targets, place.inputs, place.step
    own = first != end  # the end itself stays
    if own and rest:
        yield Repair("drop", step, first), rest, inputs[1:]
    if own and rest and rest[0] not in (first, end):
        # Times belong to places: what is read moves by what the symbols differ, and keeps its time.
        move = rest[0] - first
        read = [code + by for code, by in zip(inputs[:2], (move, -move), strict=False)]
        yield Repair("swap", step, first), [rest[0], first, *rest[1:]], [*read, *inputs[2:]]
    for code in place.likely:
        yield Repair("insert", step, code), [code, first, *rest], [code, *inputs]
        if own and code != first:
            read = [inputs[0] - first + code, *inputs[1:]] if inputs else []
            yield Repair("replace", step, code), [code, *rest], read


def _nats(engine: Reader, trials: list[tuple[Place, Repair, list[int], list[int]]], unseen: float) -> Array:
    """Surprise of each trial: [R]."""
    firsts = [(place.odds, targets[0]) for place, _, targets, _ in trials]
    totals = np.array([-odds[code] if code in odds else unseen for odds, code in firsts], np.float64)
    lengths = np.array([len(read) for *_, read in trials], np.int64)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    rows = max(1, CELLS_AT_ONCE // (2 * REACH * engine.width))
    for start in range(0, len(order), rows):
        some = [trials[r] for r in order[start : start + rows]]
        valid = np.arange(max(len(read) for *_, read in some)) < lengths[order[start : start + rows]][:, None]  # [R, T]
        inputs = np.zeros(valid.shape, np.int64)
        inputs[valid] = list(chain.from_iterable(read for *_, read in some))
        targets = np.array(list(chain.from_iterable(wanted[1:] for *_, wanted, _ in some)))
        state = tuple(np.concatenate(parts, axis=1) for parts in zip(*(place.state for place, *_ in some), strict=True))
        nats = np.zeros(valid.shape)
        nats[valid] = _of(engine, engine.run(inputs, state)[0][valid], targets, unseen)
        totals[order[start : start + rows]] += nats.sum(axis=1)
    return totals


def _of(engine: Reader, hidden: Array, targets: Array, unseen: float) -> Array:
    """Surprise [n] of targets [n] after hidden states [n, D]."""
    found = np.full(len(targets), unseen)
    size = max(1, CELLS_AT_ONCE // engine.shape.classes)
    for start in range(0, len(targets), size):
        part = np.arange(start, min(start + size, len(targets)))
        known = part[targets[part] < engine.shape.classes]
        found[known] = -engine.log_probabilities_of(targets[known], hidden[known])
    return found
