"""Parquet files in several threads: what reading sets in the environment is there for all, and gone after the last."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import stepahead as sa
from stepahead.data.parquet import OFFSETS


@pytest.mark.parametrize("before", [None, "0"])
def test_files_with_offsets_are_read_in_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is None:
        monkeypatch.delenv(OFFSETS.name, raising=False)
    else:
        monkeypatch.setenv(OFFSETS.name, before)
    path = tmp_path / "sales.parquet"
    ds = pd.date_range("2024-01-01", periods=50, freq="h", tz="+05:30")
    pd.DataFrame({"ds": ds, "y": range(50)}).to_parquet(path)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: sa.read(path).n_rows, range(24)))
    assert rows == [50] * 24
    assert os.environ.get(OFFSETS.name) == before
