"""The native lane beside the same stream in Python: the same numbers, the same snapshots, row after row."""

import pickle
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any

import numpy as np
import pytest
from test_stream import LEARNED, ROWS, fitted, row, table

import stepahead as sa
from stepahead.live import Live
from stepahead.runtime import lane as lanes
from stepahead.runtime.lane import Lane, LaneModel
from stepahead.runtime.stream import push_many
from stepahead.runtime.track import Together

pytestmark = pytest.mark.skipif(lanes._native is None, reason="the native module is not built")

KINDS: list[dict[str, Any]] = [
    {},
    {"horizon": 3, "window": 5},
    {"difference": True, "scaler": "robust", "horizon": 2},
    {"difference": True, "scaler": None, "clip": 0.5},
    {"cell": "gru", "num_layers": 2, "window": 12},
    {"cell": "rnn", "window": 1},
    {"ensemble": 3, "combine": "median"},
]
LEVELS = (50.0, 80.0)


@pytest.fixture(params=KINDS, ids=lambda p: ",".join(f"{k}={v}" for k, v in p.items()) or "classic")
def model(request: pytest.FixtureRequest) -> sa.Forecaster:
    return fitted(**request.param)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[sa.Forecaster], Live]:
    """A model's streams as they are where the lane was not built."""

    def make(model: sa.Forecaster) -> Live:
        with monkeypatch.context() as patch:
            patch.setattr(LaneModel, "serves", lambda model: False)
            live = Live(model.fitted_)
            for adaptive in (True, False):
                for level in (LEVELS, ()):
                    live.begin(table().head(LEARNED), level, adaptive=adaptive)
        return live

    return make


@pytest.mark.parametrize(("level", "adaptive"), [(LEVELS, True), (LEVELS, False), ((), True)])
def test_a_lane_gives_what_python_gives_to_the_last_bit(
    model: sa.Forecaster, without: Any, level: tuple[float, ...], adaptive: bool
) -> None:
    panel = table()
    native = model.stream(level=level, adaptive=adaptive)
    plain = without(model).begin(panel.head(LEARNED), level, adaptive=adaptive)
    assert isinstance(native._track, Lane)
    assert isinstance(plain._track, Together)
    for i in range(LEARNED, ROWS):
        one, other = native.push(row(panel, i)), plain.push(row(panel, i))
        for name in ("mean", "lo", "hi", "times", "cutoffs"):
            ours, theirs = getattr(one, name), getattr(other, name)
            assert ours.shape == theirs.shape
            assert np.array_equal(ours, theirs), (name, i, np.abs(ours - theirs).max())
        assert (native.coverage, native.drifting) == (plain.coverage, plain.drifting)
        assert np.array_equal(native.hidden, plain.hidden)
    kept, expected = native._track.arrays(), plain._track.arrays()
    assert kept.keys() == expected.keys()
    for name, array in kept.items():
        assert array.dtype == expected[name].dtype
        assert array.tobytes() == expected[name].tobytes(), name


def test_a_snapshot_goes_on_with_the_native_module_or_without(model: sa.Forecaster, without: Any) -> None:
    panel, live = table(), without(model)
    native, plain = model.stream(level=LEVELS), live.begin(panel.head(LEARNED), LEVELS, adaptive=True)
    for i in range(LEARNED, LEARNED + 9):
        native.push(row(panel, i))
        plain.push(row(panel, i))
    swapped, swapped_back = live.restore(native.snapshot()), model.restore(plain.snapshot())
    for i in range(LEARNED + 9, ROWS):
        expected = native.push(row(panel, i)).records()
        assert swapped.push(row(panel, i)).records() == expected
        assert swapped_back.push(row(panel, i)).records() == expected


def test_rows_at_once_and_many_lanes_at_once_are_those_of_python(model: sa.Forecaster, without: Any) -> None:
    panel, live = table(), without(model)
    both = [model.stream(level=LEVELS), live.begin(panel.head(LEARNED), LEVELS, adaptive=True)]
    told = []
    for stream in both:
        rows: list[Any] = []
        for i in range(LEARNED, ROWS):
            rows.append(stream.read(panel.past[i].tolist(), None, rows[-1].time if rows else None))
        told.append(stream.push_rows(rows[:-1]))
        forks = [stream.fork() for _ in range(9)]
        assert stream.push_rows(rows[-1:], tell=False) == [] or not isinstance(stream._track, Lane)
        told.append(push_many(forks, [row(panel, ROWS - 1)] * 9)[8].records())
        assert forks[0].cutoff == stream.cutoff
    assert told[0] == told[2]  # equal batch shapes: to the last bit
    assert told[1] == told[3]


@pytest.mark.parametrize("params", [{}, {"recipe": "price"}])
def test_streams_of_several_levels_and_loads_of_one_model_are_pushed_together(params: dict[str, Any]) -> None:
    model, panel = fitted(**params), table()
    again = Live(model.fitted_)  # as a second load of one file

    def make() -> list[Any]:
        streams = [model.stream(level=level) for level in ([80], [50], [50, 80], [80])]
        streams.append(model.stream(level=[80], adaptive=False))
        return [*streams, again.begin(panel.head(LEARNED), [80], adaptive=True)]

    together, alone = make(), make()
    for i in range(LEARNED, LEARNED + 3):
        rows = [row(panel, i) | {"close": 100.0 + k} for k in range(6)]
        for one, stream, each in zip(push_many(together, rows), alone, rows, strict=True):
            expected = stream.push(each)
            assert one.level == expected.level
            # BLAS adds the head's products in another order for more rows: float32.
            np.testing.assert_allclose(one.mean, expected.mean, rtol=1e-6)
            np.testing.assert_allclose(one.lo, expected.lo, rtol=1e-6)
            np.testing.assert_allclose(one.hi, expected.hi, rtol=1e-6)


def test_where_a_later_course_fails_the_earlier_ones_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    model, panel = fitted(), table()
    streams = [model.stream(level=[80]), model.stream(level=[50])]
    before = [stream.snapshot() for stream in streams]
    calls: list[int] = []

    def failing(self: LaneModel, cores: list[Any], *rest: Any, tell: bool) -> Any:
        calls.append(len(cores))
        if len(calls) == 2:
            raise MemoryError
        return advance(self, cores, *rest, tell=tell)

    advance = LaneModel.advance
    monkeypatch.setattr(LaneModel, "advance", failing)
    with pytest.raises(MemoryError):
        push_many(streams, [row(panel, LEARNED)] * 2)
    assert calls == [1, 1]
    assert [stream.snapshot() for stream in streams] == before


def test_a_lane_refuses_what_is_no_row_and_stays_as_it_was(model: sa.Forecaster) -> None:
    stream = model.stream(level=LEVELS)
    lane, before = stream._track, stream.snapshot()
    assert isinstance(lane, Lane)
    x = np.empty((1, lane.model.window.steps, lane.model.width), np.float32)
    for bad in ((1,), (1, (1.0,)), (1, (1.0, 2.0, "3")), [1, (1.0, 2.0, 3.0)], None):
        with pytest.raises(ValueError, match="row"):
            lanes._native.take_many([lane.core], [bad], x)
    with pytest.raises(ValueError, match="x"):
        lanes._native.take_many([lane.core], [(1, (1.0, 2.0, 3.0))], x[:, 1:])
    with pytest.raises(ValueError, match="as many"):
        lanes._native.take_many([lane.core], [], x)
    assert stream.snapshot() == before


def test_copies_of_a_model_and_of_its_streams_stand_alone() -> None:
    panel, model = table(), fitted()
    stream = model.stream()
    other, twin = pickle.loads(pickle.dumps(model)).stream(), deepcopy(model).stream()
    copies = [copy(stream), deepcopy(stream)]
    expected = stream.push(row(panel, LEARNED)).records()
    for each in (other, twin, *copies):
        assert each.push(row(panel, LEARNED)).records() == expected
