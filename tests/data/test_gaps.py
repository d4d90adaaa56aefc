"""Gaps in time: what an event table, stamps and numbers become."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from stepahead.data.gaps import bucket_count, buckets, fit_edges, gaps_of, moment
from stepahead.data.symbols import read_corpus, read_events
from stepahead.errors import DataError

ROWS = [("a", "2026-01-01 10:00:00", "in"), ("b", "2026-01-01 10:00:30", "in"), ("a", "2026-01-01 10:00:10", "out")]
NAN = float("nan")


def table(times: list) -> pl.DataFrame:
    return pl.DataFrame({"case": [r[0] for r in ROWS], "at": times, "what": [r[2] for r in ROWS]})


@pytest.mark.parametrize(
    "times",
    [
        [r[1] for r in ROWS],
        [dt.datetime.fromisoformat(r[1]) for r in ROWS],
        [0, 30, 10],
        [0.0, 30.0, 10.0],
        ["0", "30", "10"],
        [dt.timedelta(seconds=s) for s in (0, 30, 10)],
    ],
    ids=["text", "stamps", "whole", "numbers", "digits", "lengths"],
)
def test_gaps_are_seconds_or_the_columns_own_unit_and_unknown_at_the_start(times: list) -> None:
    corpus = read_events(table(times), case="case", activity="what", time="at")
    assert corpus.gaps is not None
    assert np.array_equal(corpus.gaps, [NAN, 10, NAN], equal_nan=True)
    assert read_events(table(times), case="case", activity="what").gaps is None
    assert np.array_equal(corpus.part(0, 1).gaps, [NAN, 10], equal_nan=True)
    assert np.array_equal(read_corpus(corpus, vocabulary=corpus.vocabulary).gaps, corpus.gaps, equal_nan=True)


def test_lengths_of_time_are_seconds_whatever_frame_holds_them() -> None:
    frame = pd.DataFrame({"case": ["a"] * 3, "at": pd.to_timedelta([5.0, 0.25, 7200], unit="s"), "what": ["x"] * 3})
    for given in (frame, pa.Table.from_pandas(frame), pl.from_pandas(frame)):
        gaps = read_events(given, case="case", activity="what", time="at").gaps
        assert np.array_equal(gaps, [NAN, 4.75, 7195], equal_nan=True)
    frame.loc[1, "at"] = pd.NaT
    for given in (frame, pa.Table.from_pandas(frame)):
        with pytest.raises(DataError, match=r"column 'at', row 1 .*: is empty"):
            read_events(given, case="case", activity="what", time="at")


def test_as_many_gaps_fall_into_each_bucket_whatever_their_unit() -> None:
    gaps = np.exp(np.random.default_rng(0).normal(size=16_000))
    gaps[::4] = 0
    for unit in (1.0, 1e-6, 86_400.0):
        edges = fit_edges(gaps * unit)
        numbered = buckets(np.r_[gaps * unit, NAN], edges)
        assert numbered[-1] == 0
        counts = np.bincount(numbered[:-1], minlength=bucket_count(edges) + 1)
        assert counts.tolist() == [0, 4000, *[750] * 16]
    assert len(fit_edges(np.array([NAN, 0.0]))) == 0
    assert buckets(np.array([NAN, 0.0, 5.0]), np.empty(0)).tolist() == [0, 1, 2]


def test_no_bucket_is_one_that_no_gap_fell_into() -> None:
    rng = np.random.default_rng(1)
    for drawn in ([5.0], [9.0, 20.0], [9.0, 9.0, 9.0, 20.0, 2_510.0, 5_000.0], rng.integers(1, 9, size=200) * 60.0):
        gaps = rng.permutation(np.repeat(np.asarray(drawn), 7))
        edges = fit_edges(gaps)
        assert np.bincount(buckets(gaps, edges), minlength=bucket_count(edges) + 1)[2:].all()
        assert np.isin(edges, gaps).all()


def test_a_moment_is_the_same_however_it_is_written() -> None:
    stamp = dt.datetime(2026, 1, 31, 13, 5, tzinfo=dt.UTC)
    same = [stamp, "2026-01-31 13:05:00", "2026-01-31T14:05:00+01:00", np.datetime64("2026-01-31T13:05"), 1769864700]
    assert {moment(one) for one in [*same, pd.Timestamp(stamp), stamp.timestamp()]} == {1769864700.0}
    assert moment(dt.date(2026, 1, 31)) == moment("2026-01-31")
    assert np.array_equal(gaps_of([5, None, 7, 9.5]), [NAN, NAN, NAN, 2.5], equal_nan=True)
    assert len(gaps_of([])) == 0


@pytest.mark.parametrize("wrong", ["yesterday", True, NAN, float("inf"), [1], np.datetime64("NaT")])
def test_what_is_no_time_is_refused(wrong: object) -> None:
    with pytest.raises(DataError, match="time"):
        moment(wrong)


def test_times_out_of_order_are_refused() -> None:
    with pytest.raises(DataError, match="time: -2 after the event before it"):
        gaps_of([5, 3])


def test_a_timed_corpus_reads_symbol_and_bucket_and_foresees_symbols() -> None:
    corpus = read_events(table([0, 30, 10]), case="case", activity="what", time="at")
    plain, timed = corpus.steps(), corpus.timed(np.array([3.0, 20.0])).steps()
    # in 0, out 1, end 2, unseen 3: a bucket is a step of four. 10 lies between the edges: bucket 3.
    assert plain[0].tolist() == [2, 0, 1, 2, 0]
    assert timed[0].tolist() == [2, 0, 1 + 3 * 4, 2, 0]
    assert all(np.array_equal(one, other) for one, other in zip(plain[1:], timed[1:], strict=True))
