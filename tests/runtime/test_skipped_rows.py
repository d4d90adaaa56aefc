"""Rows that skip steps, pushed to a stream of a model whose tables have a row at each step: as `predict` has them."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import stepahead as sa
from stepahead.errors import DataError
from stepahead.runtime.stream import push_many

ROWS, LEARNED = 120, 80
HOLES = (20, 21, 84, 90, 91, 92, 93, 108)  # steps without a row


def sales(frequency: str | int = "D", every: str = "1d") -> pl.DataFrame:
    """A weekly wave with a promotion known ahead, some days left out."""
    start = pl.datetime(2024, 1, 1, time_unit="us")
    days = pl.select(pl.datetime_range(start, start.dt.offset_by("40y"), every))[:, 0][:ROWS]
    t = np.arange(ROWS)
    y = 20 + 5 * np.sin(2 * np.pi * t / 7) + np.random.default_rng(1).normal(size=ROWS)
    frame = pl.DataFrame({"ds": days if isinstance(frequency, str) else 3 * t, "promo": t % 5 == 0, "y": y})
    return frame.with_columns(pl.col("promo").cast(pl.Float64)).with_row_index("n").filter(~pl.col("n").is_in(HOLES))


def learned(frame: pl.DataFrame, frequency: str | int, **params: Any) -> sa.Forecaster:
    future = ["promo"] if params.pop("promo", False) else []
    frame = frame if future else frame.drop("promo")
    table = frame.filter(pl.col("n") < LEARNED).drop("n")
    panel = sa.read(table, frequency=frequency, future=future)
    defaults: dict[str, Any] = {"recipe": "classic", "max_steps": 3, "patience": None, "missing": "mask", "horizon": 2}
    return sa.Forecaster(**(defaults | params)).fit(panel)


STEPS = [("D", "1d"), ("MS", "1mo"), ("QS", "1q"), (3, "1d")]
KINDS: list[dict[str, Any]] = [
    {"missing": "ffill", "window": 4},
    {"missing": "mask", "window": 9},
    {"missing": "interpolate", "difference": True},
    {"recipe": "panel", "max_steps": 4, "season_length": 7, "window": 14, "missing": "mask", "holdout": None},
]


@pytest.mark.parametrize("params", KINDS, ids=lambda p: f"{p.get('recipe', 'classic')}-{p['missing']}")
@pytest.mark.parametrize("step", STEPS, ids=lambda s: str(s[0]))
def test_a_stream_with_left_out_steps_equals_predict(params: dict[str, Any], step: tuple[str | int, str]) -> None:
    frequency, every = step
    frame = sales(frequency, every)
    model = learned(frame, frequency, **params)
    stream = model.stream(level=())
    for row in frame.drop("promo").filter(pl.col("n") >= LEARNED).iter_rows(named=True):
        n = row.pop("n")
        pushed = stream.push(row)
        predicted = model.predict(frame.drop("promo").filter(pl.col("n") <= n).drop("n"))
        np.testing.assert_array_equal(pushed.mean[0], predicted[model.config_.name], str(n))
        np.testing.assert_array_equal(pushed.times[0], predicted["ds"])
        again = model.restore(stream.snapshot())
        np.testing.assert_array_equal(again.forecast().mean, pushed.mean)


def test_known_inputs_of_left_out_steps_are_those_of_the_row_before() -> None:
    frame = sales()
    model = learned(frame, "D", promo=True, window=6)
    stream = model.stream(level=())
    ahead = [{"promo": 1.0}, {"promo": 0.0}]
    for row in frame.filter(pl.col("n") >= LEARNED).iter_rows(named=True):
        n = row.pop("n")
        pushed = stream.push(row, future=ahead)
        known = pl.DataFrame({"ds": pushed.times[0], "promo": [1.0, 0.0]})
        told = model.predict(frame.filter(pl.col("n") <= n).drop("n"), future=known)
        np.testing.assert_array_equal(pushed.mean[0], told[model.config_.name], str(n))


def test_what_no_row_came_for_is_not_judged_and_what_was_forecast_for_later_is() -> None:
    frame = sales().drop("promo")
    model = learned(sales(), "D", horizon=3, holdout=20)
    stream = model.stream(level=[80])
    rows = {row.pop("n"): row for row in frame.iter_rows(named=True)}
    assert stream.coverage is None
    stream.push(rows[80])  # one forecast, of the model's own rows, was made for it
    first = stream.fork()
    assert first.snapshot() == stream.snapshot()
    stream.push(rows[82])
    record = stream._track.adaptive.record  # type: ignore[attr-defined]
    # Row 82 was forecast two steps ahead from 80 and three from 79; nothing from 81.
    assert record[:2, 0].tolist() == [1, 2]
    assert [made is None for made in stream._track.adaptive.pending] == [False, True, False]  # type: ignore[attr-defined]
    again = model.restore(stream.snapshot())
    assert again.push(rows[83]).lo.tolist() == stream.push(rows[83]).lo.tolist()
    assert again.snapshot() == stream.snapshot()


def test_months_without_a_row_cost_no_more_than_the_model_can_notice() -> None:
    model = learned(sales(), "D", missing="ffill", window=4)
    stream = model.stream(level=[])
    told = stream.push({"ds": "8000-01-01", "y": 21.5})
    assert told.times[0].tolist() == list(np.array(["8000-01-02", "8000-01-03"], "datetime64[us]").tolist())
    assert len(stream.kept().times) <= 4 + 4 + 2
    assert np.isfinite(told.mean).all()


def test_a_line_through_a_long_gap_ends_where_predict_ends_it() -> None:
    days = np.datetime64("2024-01-01") + np.arange(160)
    y = 50 + np.random.default_rng(4).normal(size=160).cumsum()
    frame = pl.DataFrame({"ds": days, "y": y})
    params = {"recipe": "classic", "max_steps": 3, "missing": "interpolate", "horizon": 2}
    model = sa.Forecaster(**params).fit(sa.read(frame.head(60), frequency="D"))  # type: ignore[arg-type]
    pushed = model.stream(level=[]).push({"ds": days[150].item(), "y": y[150]})
    predicted = model.predict(pl.concat([frame.head(60), frame.slice(150, 1)]))
    np.testing.assert_array_equal(pushed.mean[0], predicted["LSTM"])


def test_a_panel_is_put_on_the_models_steps_as_its_table_is() -> None:
    frame = sales().drop("promo")
    model = learned(sales(), "D", window=6)
    known = frame.filter(pl.col("n") < 95).drop("n")
    assert model.predict(sa.read(known)).equals(model.predict(known))
    for given in (known, sa.read(known)):
        assert model.stream(given, level=[]).forecast().mean.tolist() == [model.predict(known)["LSTM"].to_list()]


def test_many_streams_at_once_skip_as_they_do_alone() -> None:
    frame = sales().drop("promo")
    model = learned(sales(), "D", horizon=1)
    alone, one, other = (model.stream(level=[]) for _ in range(3))
    rows = {row.pop("n"): row for row in frame.iter_rows(named=True)}
    told = push_many([one, other], [rows[80], rows[83]])
    assert told[1].mean.tolist() == alone.push(rows[83]).mean.tolist()


def test_rows_read_ahead_of_their_push_know_the_row_before_them() -> None:
    frame = sales().drop("promo")
    model = learned(sales(), "D", horizon=1)
    one_by_one, at_once = model.stream(level=[]), model.stream(level=[])
    rows = {row.pop("n"): row for row in frame.iter_rows(named=True)}
    read = []
    for n in (80, 83, 85):
        read.append(at_once.read([rows[n]["y"]], rows[n]["ds"], read[-1].time if read else None))
    assert [len(row.skipped) for row in read] == [0, 2, 1]
    told = at_once.push_rows(read)
    assert [bounds.mean for bounds in told] == [one_by_one.push(rows[n]).mean[0].tolist() for n in (80, 83, 85)]


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("2024-03-22T12:00:00", "ds 2024-03-22T12:00:00 lies between two steps"),
        ("2024-03-19", "is not after the last row"),
        (pd.NaT, "ds NaT must be a date or time"),
    ],
)
def test_a_time_off_the_grid_is_refused_and_changes_nothing(time: Any, message: str) -> None:
    stream = learned(sales(), "D").stream(level=[])
    before = stream.snapshot()
    with pytest.raises(DataError, match=message):
        stream.push({"ds": time, "y": 1.0})
    assert stream.snapshot() == before


def test_a_model_without_gaps_refuses_a_row_that_skips() -> None:
    whole = pl.DataFrame({"ds": np.arange(60), "y": np.random.default_rng(0).normal(size=60)})
    stream = sa.Forecaster("classic", max_steps=2, patience=None).fit(sa.read(whole, frequency=1)).stream(level=[])
    stream.push({"ds": 60, "y": 0.5})
    with pytest.raises(DataError, match="ds 63 comes after 61, which has no row; send each step, or fit with missing="):
        stream.push({"ds": 63, "y": 0.5})
    assert stream.push({"ds": 61, "y": 0.5}).cutoffs.tolist() == [61]
    free = sa.Forecaster("classic", max_steps=2, patience=None).fit(sa.read(whole)).stream(level=[])
    assert free.push({"ds": 63, "y": 0.5}).cutoffs.tolist() == [63]  # rows as they are: none is known to be left out
