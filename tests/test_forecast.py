"""A Forecast as columns and frames, against a table written by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

import stepahead as sa
from stepahead.data.panel import Schema
from stepahead.forecast import Forecast


def made_forecast(backend: str = "polars") -> Forecast:
    """Two origins, two steps, levels 80 and 95."""
    mean = np.array([[1.0, 2.0], [3.0, 4.0]])
    reach = np.array([0.5, 1.0])
    return Forecast(
        name="GRU",
        ids=np.array(["b", "a"], dtype=object),
        cutoffs=np.array([10, 20]),
        times=np.array([[11, 12], [21, 22]]),
        mean=mean,
        level=(80.0, 95.0),
        lo=mean[..., None] - reach,
        hi=mean[..., None] + reach,
        schema=Schema(backend=backend, series="shop", time="week", time_kind="integer"),
    )


def test_columns_go_from_the_widest_lower_bound_to_the_widest_upper_one():
    columns = made_forecast().columns()
    assert list(columns) == ["GRU", "GRU-lo-95", "GRU-lo-80", "GRU-hi-80", "GRU-hi-95"]
    assert columns["GRU-lo-95"].tolist() == [0, 1, 2, 3]
    assert columns["GRU-hi-80"].tolist() == [1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize(("backend", "kind"), [("polars", pl.DataFrame), ("pandas", pd.DataFrame)])
def test_the_frame_has_one_row_a_step_in_the_user_s_words(backend, kind):
    frame = made_forecast(backend).frame()
    assert isinstance(frame, kind)
    assert list(frame.columns)[:3] == ["shop", "week", "GRU"]
    assert list(frame["shop"]) == ["b", "b", "a", "a"]
    assert list(frame["week"]) == [11, 12, 21, 22]
    assert list(frame["GRU"]) == [1, 2, 3, 4]


@pytest.mark.parametrize("level", [99.9, 97.5, 90.0, 90])
def test_a_level_is_named_as_it_was_given(level):
    forecast = replace(made_forecast(), level=(level,), lo=np.zeros((2, 2, 1)), hi=np.ones((2, 2, 1)))
    assert f"GRU-lo-{level:g}" in forecast.columns()


def test_take_keeps_the_rows_together():
    taken = made_forecast().take(np.array([False, True]))
    assert len(taken) == 1
    assert (taken.ids[0], taken.cutoffs[0], taken.mean[0].tolist()) == ("a", 20, [3, 4])
    assert taken.lo.shape == (1, 2, 2)


@pytest.mark.parametrize("names", [("GRU", "week"), ("shop", "GRU"), ("shop", "GRU-lo-80"), ("GRU-hi-95", "GRU")])
def test_no_column_of_the_answer_takes_the_place_of_a_series_or_a_time(names):
    """unique_id and ds then, as in the forecasts of a backtest."""
    made = made_forecast()
    frame = replace(made, schema=replace(made.schema, series=names[0], time=names[1])).frame()
    assert frame.columns == ["unique_id", "ds", *made.columns()]
    assert frame["unique_id"].to_list() == ["b", "b", "a", "a"]
    assert frame["ds"].to_list() == [11, 12, 21, 22]
    assert frame["GRU"].to_list() == [1, 2, 3, 4]


@pytest.mark.parametrize("names", [("path", "ds"), ("shop", "path"), ("shop", "LSTM"), ("shop", "week")])
def test_nor_does_one_of_sampled_paths(names):
    series, time = names
    rows = pl.DataFrame(
        {series: np.repeat([3, 5], 80), time: np.tile(np.arange(80), 2), "y": np.tile(np.arange(80), 2)}
    )
    panel = sa.read(rows.with_columns(pl.col("y").sin()), series=series, time=time, target="y")
    model = sa.Forecaster(recipe="classic", max_steps=2, horizon=2).fit(panel)
    frame = model.sample(3)
    asked = ["shop", "week"] if names == ("shop", "week") else ["unique_id", "ds"]
    assert frame.columns == [*asked, "path", "LSTM"]
    assert frame[asked[0]].to_list() == [3] * 6 + [5] * 6
    assert frame[asked[1]].to_list() == [80, 81] * 6
    assert frame["path"].to_list() == [1, 1, 2, 2, 3, 3] * 2
