"""What a backtest of several series tells of rows that its fits saw."""

from pathlib import Path

import numpy as np
import pytest
from evaluate_fakes import FakeModel

from stepahead.data.panel import Panel
from stepahead.evaluate.backtest import backtest
from stepahead.evaluate.folds import seen_later, split_at, walk_forward


def table(lengths: list[int], starts: list[int]) -> Panel:
    times = np.concatenate([start + np.arange(n) for n, start in zip(lengths, starts, strict=True)])
    y = np.cumsum(np.random.default_rng(0).normal(size=len(times)))
    return Panel.from_arrays(y, ids=list("abcd")[: len(lengths)], offsets=np.cumsum([0, *lengths]), times=times)


def by_loop(panel: Panel, folds: list) -> int:
    """For each forecast the rows of each other series, in its fit's training part, that are later than its cutoff."""
    most = 0
    for fold in folds:
        for origin in fold.origins:
            for start, stop in zip(fold.starts, fold.stops, strict=True):
                most = max(most, sum(panel.times[row] > panel.times[origin] for row in range(start, stop)))
    return most


@pytest.mark.parametrize("refit", [True, False, 2])
@pytest.mark.parametrize("starts", [[1, 1, 1], [1, 9, 3], [1, 11, 6], [30, 1, 2]])
def test_later_rows_of_others_are_counted_as_a_loop_counts_them(starts: list[int], refit: bool | int) -> None:
    panel = table([40, 30, 35], starts)
    folds = walk_forward(panel, 2, n_windows=4, step_size=3, refit=refit)
    assert seen_later(panel, folds) == by_loop(panel, folds)
    split = [split_at(panel, np.array([28, 21, 24]))]
    assert seen_later(panel, split) == by_loop(panel, split)


def test_a_result_says_where_a_fit_saw_later_rows_of_other_series(tmp_path: Path) -> None:
    apart = backtest(FakeModel(), table([40, 40], [1, 6]), n_windows=3)
    assert str(apart).startswith(f"{apart.verdict}\nnote: the rows to learn from end up to 5 rows apart")
    assert apart.to_json()["notes"] == list(apart.notes)
    apart.report(tmp_path / "x.html")
    assert "later rows of others" in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize(
    ("panel", "plan"),
    [
        (table([40, 40], [1, 1]), {"n_windows": 3}),
        (table([40, 30], [1, 11]), {"n_windows": 3}),  # they end together
        (table([40, 30], [1, 11]), {"test_size": 10}),
        (table([40], [1]), {"n_windows": 3}),
    ],
)
def test_and_nothing_where_none_did(panel: Panel, plan: dict) -> None:
    result = backtest(FakeModel(), panel, **plan)
    assert result.notes == ()
    assert str(result) == str(result.verdict)


def test_a_share_of_series_of_other_lengths_is_told_too() -> None:
    assert backtest(FakeModel(), table([40, 20], [1, 21]), test_size=0.5).notes
