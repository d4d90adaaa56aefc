"""A stream against `predict` on the same rows, and against itself: forked, restored, in company, at once."""

from typing import Any

import numpy as np
import pytest

import stepahead as sa
from stepahead.errors import ConfigError, DataError, ModelFileError
from stepahead.runtime.snapshot import pack_snapshot, unpack_snapshot
from stepahead.runtime.stream import push_many

ROWS, LEARNED = 160, 130


def table(rows: int = ROWS, seed: int = 0) -> sa.Panel:
    """Two inputs beside a positive target, on working days."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.01 * rng.normal(size=rows)))
    past = np.stack([close + rng.normal(size=rows), 1e6 + 1e5 * rng.normal(size=rows), close], axis=1)
    days = np.busday_offset("2021-01-04", np.arange(rows)).astype("datetime64[us]")
    return sa.Panel.from_arrays(past, times=days, names=("open", "volume", "close"))


def row(panel: sa.Panel, i: int) -> dict[str, Any]:
    return dict(zip(panel.schema.past, panel.past[i].tolist(), strict=True))


def fitted(**params: Any) -> sa.Forecaster:
    defaults: dict[str, Any] = {"recipe": "classic", "max_steps": 3, "patience": None, "holdout": 30}
    return sa.Forecaster(**(defaults | params)).fit(table().head(LEARNED))


@pytest.fixture(scope="module")
def model() -> sa.Forecaster:
    return fitted()


KINDS: list[dict[str, Any]] = [
    {"cell": "rnn"},
    {"cell": "rnn_relu", "horizon": 3},
    {"cell": "gru", "window": 12, "scaler": "standard", "num_layers": 2},
    {"scaler": "robust", "difference": True},
    {"scaler": None, "difference": "log", "clip": 2.0},
    {"scaler": "window", "clip": 4.0},
    {"scaler": "window", "difference": True, "horizon": 2},
    {"head": "quantile", "horizon": 2, "window": 9},
    {"head": "student_t"},
    {"ensemble": 3, "combine": "mean", "head": "huber"},
    {"recipe": "price", "max_steps": 20, "patience": 2, "check_every": 10},
    {"missing": "ffill", "window": 5},
    {"missing": "mask"},
    {"missing": "interpolate", "difference": True},
    {
        "recipe": "panel",
        "horizon": 4,
        "ensemble": 2,
        "max_steps": 4,
        "season_length": 5,
        "batch_size": 16,
        "window": 20,
    },
]


@pytest.mark.parametrize("params", KINDS, ids=lambda p: ",".join(f"{k}={v}" for k, v in p.items())[:60])
def test_streaming_equals_predict_on_the_same_rows(params: dict[str, Any]) -> None:
    model, panel = fitted(**params), table()
    levels = (50.0, 80.0)
    stream = model.stream(level=levels, adaptive=False)
    for i in range(LEARNED, ROWS):
        pushed = stream.push(row(panel, i))
        predicted = model.forecast(panel, np.array([i]), level=levels)
        assert np.array_equal(pushed.mean, predicted.mean), i
        assert np.array_equal(pushed.times, predicted.times)
        assert np.array_equal(pushed.cutoffs, predicted.cutoffs)
        # Sums of more than seven numbers are added in another order: a few units in the last place.
        np.testing.assert_allclose(pushed.lo, predicted.lo, rtol=1e-12)
        np.testing.assert_allclose(pushed.hi, predicted.hi, rtol=1e-12)


@pytest.mark.parametrize("missing", ["ffill", "mask", "interpolate"])
@pytest.mark.parametrize("recipe", ["classic", "panel"])
def test_streaming_equals_predict_where_values_are_missing(missing: str, recipe: str) -> None:
    panel, rng = table(), np.random.default_rng(1)
    holes = rng.random(panel.past.shape) < 0.3
    holes[:10] = False
    panel = panel.with_past(np.where(holes, np.nan, panel.past))
    params = {"max_steps": 2, "ensemble": 1, "holdout": None, "patience": None, "window": 8}
    model = sa.Forecaster(recipe, missing=missing, **params).fit(panel.head(LEARNED))  # type: ignore[arg-type]
    stream = model.stream()
    for i in range(LEARNED, ROWS):
        pushed = stream.push(row(panel, i))
        np.testing.assert_allclose(pushed.mean, model.forecast(panel, np.array([i])).mean, rtol=1e-9)


def test_the_kernel_and_many_streams_at_once_give_what_one_gives(model: sa.Forecaster) -> None:
    panel = table()
    alone, together, at_once = model.stream(), [model.stream() for _ in range(5)], model.stream()
    rows = [at_once.read(list(row(panel, LEARNED).values()), None, None)]
    for i in range(LEARNED + 1, ROWS):
        rows.append(at_once.read(list(row(panel, i).values()), None, rows[-1].time))
    answers = at_once.push_rows(rows)
    for i, answer in zip(range(LEARNED, ROWS), answers, strict=True):
        one = alone.push(row(panel, i))
        # BLAS adds the head's products in another order for more rows: float32.
        np.testing.assert_allclose(answer.mean, one.mean[0], rtol=1e-6)
        for other in push_many(together, [row(panel, i)] * 5):
            np.testing.assert_allclose(other.mean, one.mean, rtol=1e-6)
            np.testing.assert_allclose(other.hi, one.hi, rtol=1e-6)
    assert at_once.cutoff == alone.cutoff == together[0].cutoff


def test_a_fork_goes_its_own_way(model: sa.Forecaster) -> None:
    panel = table()
    stream, before = model.stream(), model.stream().forecast().records()
    fork = stream.fork()
    fork.push(row(panel, LEARNED))
    assert stream.forecast().records() == before
    assert fork.push(row(panel, LEARNED + 1)).records() != before
    stream.push(row(panel, LEARNED))
    assert stream.push(row(panel, LEARNED + 1)).records() == fork.forecast().records()


@pytest.mark.parametrize("params", [{}, {"recipe": "panel", "horizon": 3, "ensemble": 1}, {"missing": "mask"}])
def test_a_snapshot_goes_on_to_the_last_bit(params: dict[str, Any]) -> None:
    model, panel = fitted(**params), table()
    stream = model.stream()
    for i in range(LEARNED, LEARNED + 12):
        stream.push(row(panel, i))
    again = model.restore(stream.snapshot())
    assert again.forecast().records() == stream.forecast().records()
    for i in range(LEARNED + 12, ROWS):
        assert again.push(row(panel, i)).records() == stream.push(row(panel, i)).records()
    assert (again.coverage, again.drifting) == (stream.coverage, stream.drifting)
    assert again.snapshot() == stream.snapshot()


def test_a_snapshot_of_another_model_or_with_a_flipped_bit_is_refused(model: sa.Forecaster) -> None:
    snapshot = model.stream().snapshot()
    assert len(snapshot) < 8192
    with pytest.raises(ModelFileError, match="another model"):
        fitted(seed=1).restore(snapshot)
    for place in range(0, len(snapshot), 97):
        damaged = bytearray(snapshot)
        damaged[place] ^= 1
        with pytest.raises(ModelFileError):
            model.restore(bytes(damaged))
    with pytest.raises(ModelFileError):
        model.restore(snapshot[:-1])


BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"open": 1.0, "close": 1.0}, "no column 'volume'"),
    ({"open": 1.0, "volume": 1.0, "close": "x"}, "'x' is not a number"),
    ({"open": 1.0, "volume": 1.0, "close": None}, "column 'close' is missing"),
    ({"open": 1.0, "volume": float("inf"), "close": 1.0}, "not finite"),
    ({"open": 1.0, "volume": 1.0, "close": 1.0, "colour": 3.0}, "no column 'colour'"),
    ({"open": 1.0, "volume": 1.0, "close": 1.0, "ds": "2021-01-04"}, "not after the last row"),
    ({"open": 1.0, "volume": 1.0, "close": 1.0, "ds": 7}, "must be a date"),
    ({"open": 1.0, "volume": 1.0, "close": 1.0, "ds": "2030-01-01T00:00Z"}, "without a zone"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_ROWS)
def test_a_bad_row_is_one_clear_error_and_changes_nothing(
    model: sa.Forecaster, bad: dict[str, Any], message: str
) -> None:
    stream = model.stream()
    before = stream.snapshot()
    with pytest.raises(DataError, match=message):
        stream.push(bad)
    with pytest.raises(DataError, match=message):
        push_many([model.stream(), stream], [row(table(), LEARNED), bad])
    assert stream.snapshot() == before


def test_a_later_time_than_the_next_is_taken_and_gone_on_from(model: sa.Forecaster) -> None:
    stream = model.stream()
    pushed = stream.push(row(table(), LEARNED) | {"ds": "2031-01-03"})  # a Friday
    assert stream.cutoff == np.datetime64("2031-01-03")
    assert pushed.records()[0]["ds"] == "2031-01-06T00:00:00"


def test_a_stream_with_inputs_known_ahead_asks_for_them() -> None:
    rng = np.random.default_rng(0)
    import polars as pl

    frame = pl.DataFrame({"ds": np.arange(1, 81), "y": rng.normal(size=80), "sale": np.arange(80) % 2 * 1.0})
    panel = sa.read(frame, future=["sale"])
    model = sa.Forecaster("classic", horizon=2, max_steps=2, holdout=None).fit(panel.head(70))
    stream = model.stream()
    with pytest.raises(DataError, match="needs 'sale' for each of the next 2 steps"):
        stream.forecast()
    ahead = [{"sale": float(v)} for v in panel.future[71:73, 0]]
    pushed = stream.push({"ds": 71, "y": panel.y[70], "sale": panel.future[70, 0]}, future=ahead)
    np.testing.assert_array_equal(pushed.mean, model.forecast(panel, np.array([70])).mean)


def test_sampled_paths_follow_the_intervals() -> None:
    stream = fitted(horizon=4, cell="gru").stream(level=[80])
    forecast = stream.forecast()
    paths = stream.sample(4000, seed=3)
    inside = ((paths >= forecast.lo[0, :, 0]) & (paths <= forecast.hi[0, :, 0])).mean(axis=0)
    np.testing.assert_allclose(inside, 0.8, atol=0.03)  # 4,000 draws deviate by .006
    assert np.array_equal(paths, stream.sample(4000, seed=3))
    with pytest.raises(ConfigError, match="needs intervals"):
        fitted().stream(level=()).sample(3)


@pytest.mark.parametrize("params", [{}, {"head": "quantile"}, {"memory": "carried"}, {"recipe": "panel"}])
def test_long_paths_of_an_autoregression_spread_as_it_does(params: dict[str, Any]) -> None:
    rng, y = np.random.default_rng(0), np.zeros(400)
    for t in range(1, 400):
        y[t] = 0.7 * y[t - 1] + rng.normal()
    asked = {"recipe": "classic", "scaler": "standard"} if "recipe" not in params else {"season_length": None}
    model = sa.Forecaster(**(asked | {"max_steps": 100} | params)).fit(sa.Panel.from_arrays(y))
    spread = model.stream(level=[80, 95]).sample(150, seed=1, steps=60).std(axis=0)
    assert spread[0] < spread[4]
    assert spread[40:].max() < 2 * 1.4  # 1.4: of the series, 1 / sqrt(1 - .49)


def test_long_paths_of_a_walk_spread_as_the_root_of_the_steps_and_stay_positive() -> None:
    rng = np.random.default_rng(0)
    prices = 20 * np.exp(0.05 * rng.normal(size=400).cumsum())
    model = sa.Forecaster("price", difference="log", max_steps=50).fit(sa.Panel.from_arrays(prices))
    paths = model.stream(level=[80]).sample(300, seed=1, steps=36)
    assert (paths > 0).all()
    moved = np.log(paths / prices[-1]).std(axis=0)
    assert moved[0] == pytest.approx(0.05, rel=0.3)
    assert 4 < moved[35] / moved[0] < 9  # 6 for a walk


def test_hidden_units_are_those_of_the_network(model: sa.Forecaster) -> None:
    stream = model.stream()
    source = model.fitted_.source(model.panel_)
    assert np.array_equal(stream.hidden, model.fitted_.hidden(source, LEARNED - 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("numbers", [{"paths": 0}, {"paths": 2.5}, {"paths": 2, "seed": -1}, {"paths": 2, "steps": 0}])
def test_numbers_of_paths_that_cannot_be_are_refused(model: sa.Forecaster, numbers: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{list(numbers)[-1]}=.* must be a whole number of at least"):
        model.stream().sample(**numbers)


def test_a_level_that_is_text_is_not_taken_for_auto(model: sa.Forecaster) -> None:
    with pytest.raises(ConfigError, match="must be a list of coverages"):
        model.stream(level="80")


@pytest.mark.parametrize("bad", ["text", None, 7, [1]])
def test_what_is_no_bytes_is_no_snapshot(model: sa.Forecaster, bad: Any) -> None:
    with pytest.raises(ModelFileError, match="give what snapshot"):
        model.restore(bad)


@pytest.mark.parametrize(
    ("values", "arrays", "drop"),
    [
        ({}, {}, "mean"),
        ({}, {}, "times"),
        ({}, {"record": np.zeros((9, 3), np.int16)}, ""),
        ({}, {"past": np.zeros((2, 7))}, ""),
        ({}, {"sums": np.array([0, 0, 0, np.nan])}, ""),
        ({}, {"sums": np.array([0, 0, 0, -5.0])}, ""),
        ({"level": ["x"]}, {}, ""),
        ({"level": None}, {}, ""),
        ({"cutoff": "x"}, {}, ""),
        ({"static": [[1, 2, 3]]}, {"widths": np.zeros(99)}, ""),
    ],
)
def test_bytes_that_no_stream_made_are_refused_though_their_checksum_fits(
    model: sa.Forecaster, values: Any, arrays: Any, drop: str
) -> None:
    kept, held = unpack_snapshot(model.stream().snapshot())
    made = pack_snapshot(kept | values, {n: a for n, a in (held | arrays).items() if n != drop})
    with pytest.raises(ModelFileError, match="snapshot"):
        model.restore(made)
