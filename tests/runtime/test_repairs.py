"""The repair that explains a sequence best, held against scoring every repaired copy as a sequence of its own."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

import stepahead as sa
from stepahead.runtime import repairs
from stepahead.runtime.repairs import Repair
from stepahead.runtime.symbol_ensemble import Ensemble
from stepahead.runtime.symbols import CELLS_IN_CACHE, Engine, Shape, shapes_of

RNG = np.random.default_rng(5)
CLEAN = [["open", *["read", "check"] * int(RNG.integers(1, 5)), "write", "close"] for _ in range(400)]


@pytest.fixture(scope="module")
def log() -> sa.SymbolModel:
    return sa.SymbolModel(cell="lstm", hidden_size=16, num_layers=2, epochs=8).fit(CLEAN)


def mended(sequence: list[str], repair: Repair) -> list[str]:
    at, symbol = repair.step, str(repair.symbol)
    if repair.kind == "swap":
        return [*sequence[:at], sequence[at + 1], sequence[at], *sequence[at + 2 :]]
    comes = [] if repair.kind == "drop" else [symbol]
    return [*sequence[:at], *comes, *sequence[at + (repair.kind != "insert") :]]


def price(sequence: list[str], kind: str, classes: int) -> float:
    return np.log2((len(sequence) + 1) * (classes if kind in ("drop", "replace") else 1))


def every(sequence: list[str], symbols: tuple[str, ...]) -> list[Repair]:
    """All repairs there are."""
    found = [Repair("insert", at, s) for at in range(len(sequence) + 1) for s in symbols]
    found += [Repair("replace", at, s) for at in range(len(sequence)) for s in symbols if s != sequence[at]]
    found += [Repair("drop", at, own) for at, own in enumerate(sequence)]
    pairs = enumerate(itertools.pairwise(sequence))
    return found + [Repair("swap", at, one) for at, (one, other) in pairs if one != other]


FAULTS = {
    "drop": ["open", "read", "open", "check", "write", "close"],
    "swap": ["open", "check", "read", "read", "check", "write", "close"],
    "insert": ["read", "check", "write", "close"],
    "replace": ["open", "read", "check", "burn", "close"],
    "none": ["open", "read", "check", "write", "close"],
    "end": ["open", "read", "check", "write"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_repair_found_is_the_best_of_all_and_saves_what_scoring_says(fault: str, log: sa.SymbolModel) -> None:
    sequence, classes = FAULTS[fault], log.vocabulary_.classes
    found = log.anomalies([sequence], level=0.0)
    (repair,) = found.repairs
    assert repair is not None
    whole = log.score(sequence).total
    saved = {
        one: whole - log.score(mended(sequence, one)).total - price(sequence, one.kind, classes)
        for one in every(sequence, log.vocabulary_.symbols)
    }
    # float32 sums in another order.
    assert found.score[0] == pytest.approx(saved[repair], abs=1e-4)
    assert found.score[0] == pytest.approx(max(saved.values()), abs=1e-4)
    assert found.alarm[0] == (fault != "none")
    if fault in ("drop", "swap", "insert", "replace"):
        assert repair.kind == fault
        assert mended(sequence, repair) in CLEAN


def test_sequences_side_by_side_score_as_each_alone(log: sa.SymbolModel, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [*CLEAN[:20], *FAULTS.values(), [], ["burn"], ["read"] * 90]
    alone = [log.anomalies([one], level=0.0) for one in many]
    for rows in (256, 4):
        monkeypatch.setattr(repairs, "ROWS", rows)
        together = log.anomalies(many, level=0.0)
        assert together.score == pytest.approx([one.score[0] for one in alone], abs=1e-4)
        assert together.repairs == tuple(one.repairs[0] for one in alone)


def test_many_classes_are_taken_few_sequences_at_a_time(log: sa.SymbolModel, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [*FAULTS.values(), []]
    whole = log.anomalies(many, level=0.0)
    seen = list[int]()

    def places(engine: object, owners: list[int], *rest: object) -> Iterator[repairs.Place]:
        seen.append(len(owners))
        for place in found(engine, owners, *rest):  # type: ignore[arg-type]
            assert len(place.odds) <= repairs.LIKELIEST + 1  # not all that there are
            yield place

    found = repairs._places
    monkeypatch.setattr(repairs, "_places", places)
    monkeypatch.setattr(repairs, "CELLS_AT_ONCE", 2 * log.vocabulary_.classes)
    apart = log.anomalies(many, level=0.0)
    assert seen == [2, 2, 2, 1]
    assert apart.score == pytest.approx(whole.score, abs=1e-4)  # float32 sums in another order
    assert apart.repairs == whole.repairs


def test_far_behind_a_repair_nothing_is_read_anew(log: sa.SymbolModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = ["open", "read", "open", "check", *["read", "check"] * 30, "write", "close"]
    whole = log.anomalies([sequence], level=0.0)
    monkeypatch.setattr(repairs, "REACH", 12)
    near = log.anomalies([sequence], level=0.0)
    assert near.repairs == whole.repairs == (Repair("drop", 2, "open"),)
    assert near.score[0] == pytest.approx(whole.score[0], rel=0.05)


def test_of_one_text_the_last_symbol_is_repaired_like_any_other() -> None:
    text = sa.SymbolModel(hidden_size=16, epochs=12).fit("abcd" * 300)
    found = text.anomalies("abcdabcx", level=0.0)
    assert found.repairs == (Repair("replace", 6, "d"),)  # steps of a text begin at its second symbol
    assert found.alarm.tolist() == [True]


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("classes", [7, 30_011])  # several pieces of many rows, and of two
def test_one_class_s_log_probability_has_the_bits_of_all_of_them(classes: int, members: int) -> None:
    shape = Shape("gru", inputs=classes, classes=classes, hidden_size=5, embedding=3)
    engines = []
    for m in range(members):
        rng = np.random.default_rng(m)
        drawn = {name: rng.normal(size=axes).astype(np.float32) for name, axes in shapes_of(shape).items()}
        engines.append(Engine.build(shape, drawn))
    reader = engines[0] if members == 1 else Ensemble(tuple(engines))
    rows = 3 * CELLS_IN_CACHE // classes + 2
    hidden, wanted = RNG.normal(size=(rows, 5 * members)).astype(np.float32), RNG.integers(0, classes, rows)
    every = np.take_along_axis(reader.log_probabilities(hidden), wanted[:, None], axis=1)[:, 0]
    assert np.array_equal(reader.log_probabilities_of(wanted, hidden), every)
