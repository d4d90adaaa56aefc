"""The audit against planted defects, which it must find, and clean forecasts, where it must be silent."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from evaluate_fakes import FakeModel

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError
from stepahead.evaluate.audit import audit
from stepahead.evaluate.baselines import BASELINES

ROWS, H = 100, 2
Values = np.ndarray
Function = Callable[[Any, Any], Any]


def table(season: bool = False) -> Panel:
    """Two series of three inputs, all positive."""
    rng = np.random.default_rng(5)
    past = np.exp(0.1 * np.cumsum(rng.normal(size=(2 * ROWS, 3)), axis=0)) * [10.0, 1000.0, 50.0]
    past[:, 2] += 20 * np.sin(2 * np.pi * np.arange(2 * ROWS) / 12) + 25 if season else 0
    return Panel.from_arrays(past, ids=("a", "b"), offsets=[0, ROWS, 2 * ROWS], names=["open", "volume", "y"])


PANEL = table()


def on_each_series(rule: Callable[[Values, int], Any], steps: int = H, begin: int = 1) -> Function:
    """forecast(table, cutoff) from a rule: (values [n, 3] of one series, place of the cutoff) -> its forecasts."""

    def forecast(frame: pl.DataFrame, cutoff: int) -> pl.DataFrame:
        parts = []
        for (name,), part in frame.group_by(["unique_id"], maintain_order=True):
            values = part.select("open", "volume", "y").to_numpy()
            said = np.broadcast_to(rule(values, int(part["ds"].search_sorted(cutoff, "right")) - 1), (steps,))
            ds = np.arange(cutoff + begin, cutoff + begin + steps)
            parts.append(pl.DataFrame({"unique_id": [name] * steps, "ds": ds, "forecast": said.astype(float)}))
        return pl.concat(parts)

    return forecast


def regression(x: Values, y: Values) -> Values:
    return np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]


# Forecasts with a defect.  v: [n, 3] of one series, all rows, the target last; i: the row of the cutoff.


def leaky_scaler(v: Values, i: int) -> float:
    """The tutorial's: minimum and maximum of the whole column; the forecast is pulled to the middle of the range."""
    low, high = v[:, 2].min(), v[:, 2].max()
    return low + (0.9 * (v[i, 2] - low) / (high - low) + 0.05) * (high - low)


def standardised_by_all(v: Values, i: int) -> float:
    return v[i, 2] + 0.1 * (v[:, 2].mean() - v[i, 2])


def shifted_target(v: Values, i: int) -> float:
    return 0.5 * v[i, 2] + 0.5 * v[i + 1, 2]


def shifted_input(v: Values, i: int) -> float:
    """Tomorrow's volume, out of a join that is off by one."""
    return v[i, 2] * (1 + 1e-6 * v[i + 1, 1])


def centred_smoothing(v: Values, i: int) -> float:
    return v[i - 2 : i + 3, 2].mean()


def difference_fitted_on_all(v: Values, i: int) -> float:
    """Detrended by a line through the whole series, tested rows included."""
    slope, level = np.polyfit(np.arange(len(v)), v[:, 2], 1)
    return level + slope * (i + 1) + 0.9 * (v[i, 2] - level - slope * i)


def shuffled_split(v: Values, i: int) -> float:
    """Trained on a random 70 % of all rows instead of the first 70 %."""
    chosen = np.random.default_rng(0).permutation(len(v) - 1)[: int(0.7 * len(v))]
    return float(regression(v[chosen], v[chosen + 1, 2]) @ [*v[i], 1])


def filled_from_behind(v: Values, i: int) -> float:
    y = v[:, 2]
    following = np.flatnonzero(~np.isnan(y) & (np.arange(len(y)) >= i))
    return float(y[following[0]])


def interpolated_over_the_cutoff(v: Values, i: int) -> float:
    y, rows = v[:, 2], np.arange(len(v))
    known = ~np.isnan(y)
    return float(np.interp(i, rows[known], y[known]))


def dropped_newest_row(v: Values, i: int) -> float:
    return v[i - 3 : i, 2].mean()


def dropped_newest_row_in_training_too(v: Values, i: int) -> float:
    """An autoregression whose window ends a row too early: the newest row acts through the fit alone."""
    y = v[: i + 1, 2]
    lags = np.column_stack([y[1:-2], y[:-3]])
    return float(regression(lags, y[3:]) @ [y[-2], y[-3], 1])


def direct_shift(v: Values, i: int) -> list[float]:
    """Direct multi-step by shifting the inputs: the first of 12 forecasts knows nothing of the newest 11 rows."""
    return [v[i - 11, 2] + 0.5 * (v[i - 12, 2] - v[i - 13, 2])] * H


def constant(v: Values, i: int) -> float:
    return 42.0


def forgotten_column(v: Values, i: int) -> float:
    return v[i, 2] + 0.3 * (v[i, 0] - v[i - 1, 0])


def unseeded(v: Values, i: int) -> float:
    return v[i, 2] + np.random.default_rng().normal()


def the_last_row_of_the_table(v: Values, i: int) -> float:
    """The cutoff forgotten: the forecast goes on from the end of the table."""
    return float(v[-1, 2])


PLANTED: dict[str, tuple[Callable[[Values, int], Any], str, str]] = {
    "leaky scaler": (leaky_scaler, "later rows", "a scaler or another statistic"),
    "standardised by all rows": (standardised_by_all, "later rows", "a scaler or another statistic"),
    "shifted target": (shifted_target, "later rows", "shifted the wrong way"),
    "shifted input": (shifted_input, "later rows", "shifted the wrong way"),
    "centred smoothing": (centred_smoothing, "later rows", "smoothing centred"),
    "test-fitted differencing": (difference_fitted_on_all, "later rows", "fitted on the whole table"),
    "shuffled time": (shuffled_split, "later rows", "a split that shuffles rows in time"),
    "filled from behind": (filled_from_behind, "gaps", "filled backwards"),
    "interpolated over the cutoff": (interpolated_over_the_cutoff, "gaps", "joined to values after the cutoff"),
    "dropped newest row": (dropped_newest_row, "recency", "the newest rows dropped"),
    "dropped newest row, trained": (dropped_newest_row_in_training_too, "recency", "the newest rows dropped"),
    "direct multi-step shift": (direct_shift, "recency", "direct multi-step shift"),
    "constant": (constant, "recency", "a constant forecast"),
    "forgotten column": (forgotten_column, "columns", "an input dropped"),
    "unseeded": (unseeded, "determinism", "without a fixed seed"),
    "cutoff forgotten": (the_last_row_of_the_table, "later rows", "whole table"),
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_defect_is_found_with_its_cause(name: str) -> None:
    rule, check, cause = PLANTED[name]
    found = audit(on_each_series(rule), PANEL, horizon=H)
    assert not found.ok
    checks = [f.check for f in found.findings]
    if name == "cutoff forgotten":  # which also means that no known row counts
        assert checks.pop() == "recency"
    assert checks == [check], str(found)
    assert cause in found.findings[0].cause, str(found)


def test_forecasts_that_begin_a_row_late_are_found() -> None:
    found = audit(on_each_series(lambda v, i: v[i, 2], begin=2), PANEL, horizon=H)
    assert [f.check for f in found.findings] == ["times"]
    assert "the first forecast of series 'a' after 76 is for 78, not 77" in found.findings[0].evidence


class Module(torch.nn.Module):
    """A window to H steps: a recurrent cell, a layer on its last output, and one more in between."""

    def __init__(self, cell: str = "GRU", between: torch.nn.Module | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.cell = getattr(torch.nn, cell)(3, 8, batch_first=True)
            self.between = between or torch.nn.Identity()
            self.head = torch.nn.Linear(8, H)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self.cell(x)[0][:, -1]))


class Blind(Module):
    """Loses the newest row, or a column, on the way in."""

    def __init__(self, rows: slice = slice(None), columns: tuple[float, ...] = (1, 1, 1)) -> None:
        super().__init__()
        self.rows, self.columns = rows, torch.tensor(columns)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x[:, self.rows] * self.columns)


class ScaledOverTheBatch(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward((x - x.mean(dim=0)) / (x.std(dim=0) + 1))


class DirectShift(Module):
    """Scaled by the window's median, which the newest rows move at times; the network sees the window without them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = x.median(dim=1, keepdim=True).values
        return super().forward((x - middle)[:, :-3]) + middle[:, 0, -1:]


class Noisy(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + torch.randn(()))


MODULES: dict[str, tuple[torch.nn.Module, str]] = {
    "dropout left on": (Module(between=torch.nn.Dropout(0.5)).train(), "determinism"),
    "noise added": (Noisy(), "determinism"),
    "batch normalisation left on": (Module(between=torch.nn.BatchNorm1d(8)).train(), "neighbours"),
    "newest row cut off": (Blind(rows=slice(0, -1)), "recency"),
    "newest rows cut off behind a scaler": (DirectShift(), "recency"),
    "a column multiplied by nothing": (Blind(columns=(1, 0, 1)), "columns"),
    "every input but the target lost": (Blind(columns=(0, 0, 1)), "columns"),
    "scaled over the batch": (ScaledOverTheBatch(), "neighbours"),
}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_defect_of_a_module_is_found(name: str) -> None:
    module, check = MODULES[name]
    found = audit(module, PANEL, window=10)
    assert check in [f.check for f in found.findings], str(found)
    if check == "determinism":
        assert [f.cause.split(" or")[0] for f in found.findings] == ["dropout"], str(found)


class Peeking(FakeModel):
    """A model of the right surface whose forecast scales by the whole panel."""

    def forecast(self, panel: Panel, origins: np.ndarray, *, level=()):
        found = super().forecast(panel, origins, level=level)
        found.mean[:] += 0.01 * panel.y.max()
        return found


def test_a_model_that_looks_at_the_whole_panel_is_found() -> None:
    found = audit(Peeking(slope=0.3), PANEL)
    assert [f.check for f in found.findings] == ["later rows"]
    assert "a scaler or another statistic" in found.findings[0].cause


# Clean ones.


def of_baseline(name: str, season: int | None = None) -> Function:
    def rule(v: Values, i: int) -> Values:
        return BASELINES[name](Panel.from_arrays(v[: i + 1, 2]), np.array([i]), H, season)[0]

    return on_each_series(rule)


def autoregression(v: Values, i: int) -> list[float]:
    y, said = v[: i + 1, 2], []
    weights = regression(np.column_stack([y[1:-1], y[:-2]]), y[2:])
    last, before = y[-1], y[-2]
    for _ in range(H):
        last, before = float(weights @ [last, before, 1]), last
        said.append(last)
    return said


def vector_autoregression(v: Values, i: int) -> float:
    known = v[: i + 1]
    return float(regression(known[:-1], known[1:, 2]) @ [*known[-1], 1])


def properly_scaled(v: Values, i: int) -> float:
    known = v[: i + 1, 2]
    low, high = known.min(), known.max()
    return low + (0.9 * (v[i, 2] - low) / (high - low) + 0.05) * (high - low)


def smoothed(v: Values, i: int) -> float:
    weights = 0.6 ** np.arange(i + 1)
    return float((v[i::-1, 2] * weights).sum() / weights.sum())


def seeded_noise(v: Values, i: int) -> float:
    return v[i, 2] + np.random.default_rng(3).normal()


def seasonal_mean(v: Values, i: int) -> float:
    return float(v[i - 11 :: -12, 2].mean())


class MedianScaled(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = x.median(dim=1, keepdim=True).values
        return super().forward(x - middle) + middle[:, 0, -1:]


class MedianOfTheWindow(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.median(dim=1).values.sum(dim=1, keepdim=True).expand(-1, H)


CLEAN: dict[str, Any] = {
    "naive": of_baseline("naive"),
    "drift": of_baseline("drift"),
    "window mean": of_baseline("window_mean"),
    "seasonal naive of 12": of_baseline("seasonal_naive", 12),
    "seasonal naive of 7": of_baseline("seasonal_naive", 7),
    "seasonal mean": on_each_series(seasonal_mean),
    "mean of all": on_each_series(lambda v, i: v[: i + 1, 2].mean()),
    "autoregression": on_each_series(autoregression),
    "vector autoregression": on_each_series(vector_autoregression),
    "scaled by the past": on_each_series(properly_scaled),
    "exponential smoothing": on_each_series(smoothed),
    "seeded noise": on_each_series(seeded_noise),
    "median of a week": on_each_series(lambda v, i: float(np.median(v[i - 6 : i + 1, 2]))),
    "module behind a scaler": MedianScaled(),
    "module of a median": MedianOfTheWindow(),
    "module RNN": Module("RNN").eval(),
    "module LSTM": Module("LSTM").eval(),
    "module GRU": Module("GRU"),
    "module with dropout, evaluated": Module(between=torch.nn.Dropout(0.5)).eval(),
    "module with batch normalisation, evaluated": Module(between=torch.nn.BatchNorm1d(8)).eval(),
    "module with a layer norm": Module(between=torch.nn.LayerNorm(8)),
    "classic": sa.Forecaster(recipe="classic", max_steps=5),
    "price": sa.Forecaster(recipe="price", max_steps=20, patience=2, check_every=10),
    "panel": sa.Forecaster(recipe="panel", window=12, horizon=H, max_steps=5, hidden_size=4),
    "mask": sa.Forecaster(recipe="classic", missing="mask", max_steps=3),
    "quantile": sa.Forecaster(recipe="classic", head="quantile", max_steps=3, horizon=H),
    "fitted before": sa.Forecaster(recipe="classic", max_steps=3, holdout=None),
    "fake": FakeModel(slope=0.3, shift=True),
}


@pytest.mark.parametrize("name", sorted(CLEAN))
def test_nothing_is_found_in_a_clean_forecast(name: str) -> None:
    panel = table(season="season" in name)
    found = audit(CLEAN[name], panel, horizon=H, window=10 if isinstance(CLEAN[name], torch.nn.Module) else None)
    assert found.ok, str(found)
    assert set(found.measurements) == {"echo", "rmse_to_previous", "rmse_to_next"}
    assert {"determinism", "later rows", "recency", "columns"} <= set(found.asked)


def lagging(back: int) -> Callable[[pl.DataFrame, Any], pl.DataFrame]:
    """The value so many rows before the cutoff's: 0 is the naive forecast."""

    def forecast(frame: pl.DataFrame, cutoff: Any) -> pl.DataFrame:
        known = frame.filter(pl.col("ds") <= cutoff)["y"]
        return pl.DataFrame(
            {"unique_id": ["1"], "ds": [frame.filter(pl.col("ds") > cutoff)["ds"][0]], "forecast": [known[-1 - back]]}
        )

    return forecast


def dated(step: str, rows: int = 300, values: str = "walk") -> Panel:
    """One series on stamps that step by "5m", "h", "D", "W" or "M"."""
    start, unit = ("2000-01", "M") if step == "M" else ("2020-01-01", "m")
    minutes = {"M": 1, "h": 60, "D": 1440, "W": 10080}.get(step) or int(step[:-1])
    times = (np.datetime64(start, unit) + np.arange(rows) * minutes).astype("datetime64[us]")
    rng = np.random.default_rng(0)
    y = 100 + np.cumsum(rng.normal(size=rows)) if values == "walk" else rng.poisson(3, size=rows).astype(float)
    return Panel.from_arrays(y, times=times)


def of_known(rule: Callable[[np.ndarray], float]) -> Callable[[pl.DataFrame, Any], pl.DataFrame]:
    """forecast(table, cutoff) of one series from a rule: its values up to the cutoff -> the next one."""

    def forecast(frame: pl.DataFrame, cutoff: Any) -> pl.DataFrame:
        said = float(rule(frame.filter(pl.col("ds") <= cutoff)["y"].to_numpy()))
        following = frame.filter(pl.col("ds") > cutoff)["ds"][0]
        return pl.DataFrame({"unique_id": ["1"], "ds": [following], "forecast": [said]})

    return forecast


SEASONS = [("W", 52), ("W", 13), ("30m", 48), ("15m", 96), ("15m", 4), ("5m", 12), ("h", 168), ("M", 3)]


@pytest.mark.parametrize(("step", "season"), [*SEASONS, ("5m", 288), ("D", 365), ("M", 12)])
def test_a_season_of_the_calendar_may_leave_the_newest_rows_out(step: str, season: int) -> None:
    panel = dated(step, 500)
    assert audit(lagging(season - 1), panel).ok
    assert audit(of_known(lambda y: np.median(y[-season::-season][:3])), panel).ok
    assert [f.check for f in audit(lagging(season + 1), panel).findings] == ["recency"]


def robust_slope(y: np.ndarray) -> float:
    """Theil and Sen's line through the last twelve values, one step on."""
    i, j = np.triu_indices(12, 1)
    slope = np.median((y[-12:][j] - y[-12:][i]) / (j - i))
    return float(np.median(y[-12:] - slope * np.arange(12)) + 12 * slope)


def nearest(y: np.ndarray) -> float:
    """The mean of what followed the five windows of four values that are nearest to the last one."""
    past = np.lib.stride_tricks.sliding_window_view(y[:-1], 4)
    return float(y[4:][np.argsort(np.square(past - y[-4:]).sum(axis=1), kind="stable")[:5]].mean())


STEPWISE: dict[str, Callable[[np.ndarray], float]] = {
    "median of three": lambda y: float(np.median(y[-3:])),
    "median of a week": lambda y: float(np.median(y[-7:])),
    "median of all": lambda y: float(np.median(y)),
    "largest of a week": lambda y: float(y[-7:].max()),
    "middle of the range": lambda y: float(y[-10:].max() + y[-10:].min()) / 2,
    "trimmed mean": lambda y: float(np.sort(y[-10:])[2:-2].mean()),
    "robust slope": robust_slope,
    "nearest windows": nearest,
    "above or below": lambda y: 1.0 + (y[-1] > np.mean(y)) + (y[-3] > np.mean(y)),
}


@pytest.mark.parametrize("step", ["D", "W"])
@pytest.mark.parametrize("name", sorted(STEPWISE))
def test_forecasts_that_do_not_feel_each_nudge_are_clean(name: str, step: str) -> None:
    """Their newest row moves nothing where it lies far from the middle, or no border is near."""
    assert audit(of_known(STEPWISE[name]), dated(step)).ok


@pytest.mark.parametrize("dropped", [3, 6, 11])
@pytest.mark.parametrize("step", ["h", "D", "M"])
@pytest.mark.parametrize("values", ["walk", "counts"])
def test_newest_rows_dropped_are_found_on_dated_tables(dropped: int, step: str, values: str) -> None:
    panel = dated(step, values=values)
    for rule in (np.mean, np.median):
        found = audit(of_known(lambda y, rule=rule: rule(y[-5 - dropped : -dropped])), panel)
        assert [f.check for f in found.findings] == ["recency"], f"{rule.__name__}: {found}"
        assert "the newest rows dropped" in found.findings[0].cause


@pytest.mark.parametrize("back", [3, 11])
def test_four_weeks_are_no_season(back: int) -> None:
    assert [f.check for f in audit(lagging(back), dated("W")).findings] == ["recency"]


@pytest.mark.parametrize("n_rows", [9, 14])
def test_rows_dropped_from_few_are_found(n_rows: int) -> None:
    days = np.datetime64("2024-01-01", "us") + np.arange(n_rows) * np.timedelta64(1, "D")
    panel = Panel.from_arrays(50 + np.cumsum(np.random.default_rng(n_rows).normal(size=n_rows)), times=days)
    found = audit(of_known(lambda y: np.median(y[:-2][-7:])), panel, horizon=1, window=7)
    assert [f.check for f in found.findings] == ["recency"]
    assert found.findings[0].evidence.startswith("the newest 2 rows")
    assert audit(of_known(lambda y: np.median(y[-7:])), panel, horizon=1, window=7).ok


class LargestOfTheWindow(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax(dim=1)[:, -1:]


@pytest.mark.parametrize("n_rows", [9, 12, 14, 60])
@pytest.mark.parametrize("module", [MedianOfTheWindow(), LargestOfTheWindow()])
def test_a_module_that_reads_one_row_at_a_time_is_clean_on_few_rows_too(module: torch.nn.Module, n_rows: int) -> None:
    """At one cutoff the row in the middle acts alone, at every cutoff there is: one or two prove nothing."""
    for seed in range(4):
        y = 100 + np.cumsum(np.random.default_rng(seed).normal(size=n_rows))
        found = audit(module, Panel.from_arrays(y), window=5)
        assert found.ok, f"seed {seed}: {found}"


@pytest.mark.parametrize("missing", [1, 2, 26])
def test_missing_newest_rows_are_no_dropped_ones(missing: int) -> None:
    """A missing value stays missing, whatever is done to its row: the newest row with one must count."""
    y = dated("D", 100).y.copy()
    y[76 - missing : 76] = np.nan  # up to the cutoff
    days = np.datetime64("2024-01-01", "us") + np.arange(100) * np.timedelta64(1, "D")
    panel = Panel.from_arrays(y, times=days)

    def known(values: np.ndarray) -> np.ndarray:
        return values[~np.isnan(values)]

    assert audit(of_known(lambda y: known(y)[-1]), panel).ok
    found = audit(of_known(lambda y: known(y)[-4]), panel)
    assert [f.evidence.split(" have")[0] for f in found.findings] == ["the newest 3 rows"]


def test_an_answer_without_a_number_says_whose_it_is() -> None:
    with pytest.raises(DataError, match=r"what forecast\(table, .*\) returned: .*column 'forecast' has no value"):
        audit(of_known(lambda y: np.nan), dated("D"))


def test_of_stamps_only_the_seasons_that_they_name_may_leave_the_newest_rows_out() -> None:
    days = np.datetime64("2024-01-01", "us") + np.arange(100) * np.timedelta64(1, "D")
    panel = Panel.from_arrays(100 + np.cumsum(np.random.default_rng(0).normal(size=100)), times=days)
    found = {back: [f.check for f in audit(lagging(back), panel).findings] for back in (0, 3, 6, 11, 13)}
    # A week and two are seasons of days; four and twelve days are none.
    assert found == {0: [], 3: ["recency"], 6: [], 11: ["recency"], 13: []}


def test_the_echo_is_measured_and_is_no_finding() -> None:
    found = audit(of_baseline("naive"), PANEL, horizon=1)
    assert found.ok
    assert found.measurements["echo"] is True
    assert found.measurements["rmse_to_previous"] == 0


def test_what_cannot_be_audited_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match="cannot forecast with a int"):
        audit(3, PANEL)
    with pytest.raises(ConfigError, match="a torch module needs window="):
        audit(Module(), PANEL)
    with pytest.raises(ConfigError, match="cutoff=100 has no rows before or after it"):
        audit(of_baseline("naive"), PANEL, cutoff=100)
    with pytest.raises(ConfigError, match="window=0 must be a whole number of at least 1"):
        audit(of_baseline("naive"), PANEL, window=0)
    with pytest.raises(DataError, match="an audit needs at least 2 rows of a series"):
        audit(of_baseline("naive"), PANEL.head(np.array([1, 1])))
    for wrong in ({"horizon": 0}, {"horizon": -1}, {"horizon": 1.5}, {"window": "7"}, {"seed": "x"}, {"seed": None}):
        (name,) = wrong
        with pytest.raises(ConfigError, match=f"{name}=.* must be a whole number"):
            audit(of_baseline("naive"), PANEL, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"FakeModel is a class; pass one of them, FakeModel\("):
        audit(FakeModel, PANEL)
    with pytest.raises(ConfigError, match="seed=-1 must be a whole number of at least 0"):
        audit(of_baseline("naive"), PANEL, seed=-1)


def test_a_table_of_few_rows_has_a_cutoff_with_a_row_behind_it() -> None:
    for rows in range(2, 6):
        assert audit(on_each_series(lambda v, i: v[i, 2]), PANEL.head(np.array([rows, 0])), horizon=1).asked


def test_tables_of_pandas_with_other_names_are_handed_over_as_they_are() -> None:
    import pandas as pd

    days = pd.date_range("2024-01-01", periods=60, freq="D")
    frame = pd.DataFrame({"shop": "x", "day": days, "sold": np.arange(60.0) % 7 + np.arange(60) / 10})
    panel = sa.read(frame, series="shop", time="day", target="sold")
    seen: list[Any] = []

    def forecast(given: pd.DataFrame, cutoff: Any) -> pd.DataFrame:
        seen.append((list(given.columns), type(cutoff)))
        last = given[given["day"] <= cutoff].groupby("shop").tail(1)
        return pd.DataFrame({"shop": last["shop"], "day": last["day"] + pd.Timedelta(days=1), "forecast": last["sold"]})

    assert audit(forecast, panel).ok
    assert seen[0] == (["shop", "day", "sold"], pd.Timestamp)


def test_moments_with_too_few_rows_for_a_window_say_nothing_of_the_batch() -> None:
    """Of the last four rows up to the cutoff, row 22 of 30, the first two have no window of 22 rows behind them."""
    short = sa.Panel.from_arrays(np.random.default_rng(2).normal(size=30).cumsum())
    model = sa.Forecaster("classic", window=22, max_steps=2, patience=None)
    found = sa.audit(model, short)
    assert "neighbours" in found.asked
    assert not [f for f in found.findings if f.check == "neighbours"]
    with pytest.raises(DataError, match="an audit learns from the 16 rows up to 16"):
        sa.audit(model, short.head(np.array([20])))
