"""One walk from a file to a saved model and its answers, with all that text can be: scripts, sizes, none at all."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stepahead as sa
from stepahead.errors import DataError


def test_any_script_and_any_length_walks_the_whole_way(tmp_path: Path) -> None:
    path = tmp_path / "mixed.txt"
    path.write_text("𝔘𝔫𝔦𝔠𝔬𝔡𝔢 שלום عليكم 👩‍🚀\r\n" * 40, newline="", encoding="utf-8")
    model = sa.SymbolModel(hidden_size=24, epochs=40).fit(path)
    model.save(tmp_path / "m")
    loaded = sa.load(tmp_path / "m")
    assert loaded.next("𝔘", 1)[0][0] == "𝔫"
    assert loaded.complete("שלו", 1) == "שלום"
    one = sa.SymbolModel(epochs=2).fit("a" * 600)
    assert one.complete("a", 3) == "aaaa"
    assert one.evaluate("aaa").nats < 1e-6
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match="is empty"):
        sa.SymbolModel().fit(tmp_path / "empty.txt")
    words = [f"w{i}" for i in range(100_000)]
    many = sa.SymbolModel(tokens="words", hidden_size=8, embedding=8, epochs=1, holdout=None).fit(" ".join(words))
    assert len(many.vocabulary_.symbols) == 100_000
    assert many.next("w5 w6", 1)[0][0] in words
    assert np.isfinite(many.evaluate("w1 w2 w3").nats)


GROWN = """
import resource, sys
from pathlib import Path
import torch
import stepahead as sa
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = sa.SymbolModel(cell="rnn", hidden_size=16, epochs=1, batch_size=256).fit(Path(sys.argv[1]))
model.save(sys.argv[1] + ".model")
assert len(sa.load(sys.argv[1] + ".model").complete("the ", 20)) == 24
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted otherwise there")
@pytest.mark.parametrize(("megabytes", "most"), [(4, 300), pytest.param(100, 800, marks=pytest.mark.soak)])
def test_a_large_file_walks_the_whole_way_in_bounded_memory(tmp_path: Path, megabytes: int, most: float) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "large.txt"
    words = np.array(["the ", "wind ", "and ", "rain, ", "said ", "king.\n"])
    piece = "".join(rng.choice(words, 200_000))[:500_000]
    with path.open("w") as file:
        for _ in range(2 * megabytes):
            file.write(piece)
    run = subprocess.run([sys.executable, "-c", GROWN, str(path)], capture_output=True, text=True, check=True)
    assert float(run.stdout) < most  # MiB above Python, torch and the package
