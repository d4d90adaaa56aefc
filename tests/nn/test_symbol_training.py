"""How the training of a symbol network ends."""

import numpy as np
import pytest

import stepahead as sa
from stepahead.data.symbols import read_corpus
from stepahead.symbol_recipe import resolve

NAMES = ["anna", "hannah", "ann"] * 60


def test_what_training_never_met_does_not_end_it_with_an_error() -> None:
    given = sa.SymbolModel(hidden_size=4, epochs=2).fit(NAMES, validation=["anna", "zoe", "ann", "hans"])
    assert np.isfinite(given.history_[-1][2])
    assert given.scores_ is not None
    late = sa.SymbolModel(hidden_size=4, epochs=2).fit([*NAMES, *["zoe"] * 12])
    assert "z" not in late.vocabulary_.symbols


def test_an_interrupt_in_the_first_epoch_leaves_a_model() -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    model = sa.SymbolModel(hidden_size=4, epochs=4, batch_size=2).fit(NAMES, progress=interrupt)
    assert model.stopped_ == "interrupted"
    assert sum(p for _, p in model.next("a")) == pytest.approx(1)


def test_small_data_wait_longer_for_a_gain() -> None:
    parameters = sa.SymbolModel().get_params()
    patience = [resolve(parameters, read_corpus(NAMES * times))[1].patience for times in (1, 60)]
    assert patience == [6, 3]
    assert resolve(parameters, read_corpus("hello"))[1].patience is None
