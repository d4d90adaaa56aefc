"""What a SymbolModel is asked for: numbers that cannot be are one clear error, and copies say what the model says."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.errors import ConfigError, DataError

NAMES = ["anna", "hannah", "ann", "nan", "hanna"] * 4


@pytest.fixture(scope="module")
def model() -> sa.SymbolModel:
    return sa.SymbolModel(cell="lstm", hidden_size=4, epochs=2).fit(NAMES)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model: model.next("an", k=2.5), "k=2.5 must be a whole number of at least 1"),
        (lambda model: model.next("an", k="3"), "k='3' must be a whole number of at least 1"),
        (lambda model: model.next("an", k=True), "k=True must be a whole number"),
        (lambda model: model.stream("an").next(k=2.5), "k=2.5 must be a whole number"),
        (lambda model: model.look("an", k=0), "k=0 must be a whole number"),
        (lambda model: model.complete("an", length=2.5), "length=2.5 must be a whole number of at least 0"),
        (lambda model: model.complete("an", length=10**9), "length=1000000000: must be at most 1,000,000 symbols"),
        (lambda model: model.complete("an", seed=2.5), "seed=2.5 must be a whole number of at least 0"),
        (lambda model: model.complete("an", top_k=2.5), "top_k=2.5 must be a whole number of at least 1"),
        (lambda model: model.evaluate(NAMES, skip=2.5), "skip=2.5 must be a whole number of at least 0"),
        (lambda model: model.anomalies(NAMES, top_g=2.5), "top_g=2.5 must be a whole number of at least 1"),
        (lambda model: model.anomalies(NAMES, level="3"), "level='3': must be a number of bits"),
        (lambda model: model.anomalies(NAMES, false_alarms="1"), "false_alarms='1': must lie in (0, 1)"),
        (lambda model: model.complete("an", temperature="1"), "temperature='1': must be 0"),
        (lambda model: model.complete("an", temperature=1, top_p="1"), "top_p='1': must lie in (0, 1]"),
    ],
)
def test_a_number_that_cannot_be_is_one_clear_error(
    model: sa.SymbolModel, ask: Callable[[sa.SymbolModel], Any], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        ask(model)
    assert message in str(raised.value)


@pytest.mark.parametrize("value", [0, -1, 2.5, "many", True])
def test_so_many_symbols_cannot_be_kept(value: Any) -> None:
    message = "max_symbols=.* must be a whole number of at least 1"
    table = pl.DataFrame({"case": [1, 1], "what": ["in", "out"]})
    with pytest.raises(ConfigError, match=message):
        sa.SymbolModel(max_symbols=value).fit(NAMES)
    with pytest.raises(ConfigError, match=message):
        sa.SymbolModel(max_symbols=value).fit(sa.read_corpus(NAMES))
    with pytest.raises(ConfigError, match=message):
        sa.read_events(table, case="case", activity="what", max_symbols=value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cell": "LSTM"}, "cell='LSTM' is not one of 'auto', 'rnn', 'rnn_relu', 'lstm', 'gru'"),
        ({"tied": "yes"}, "tied='yes' is not one of False, True"),
        ({"tied": 1}, "tied=1 is not one of False, True"),
        ({"times": 1}, "times=1 is not one of 'auto', False, True"),
        ({"times": "yes"}, "times='yes' is not one of 'auto', False, True"),
        ({"hidden_size": 2.5}, "hidden_size=2.5 must be a whole number of at least 1"),
        ({"embedding": -1}, "embedding=-1 must be a whole number of at least 0"),
        ({"epochs": 2**63}, "epochs=9223372036854775808 must be at most"),
        ({"dropout": 1}, "dropout=1 must be a number of at least 0 and below 1"),
        ({"dropout": "half"}, "dropout='half' must be a number of at least 0 and below 1"),
        ({"learning_rate": 0}, "learning_rate=0 must be a number above 0 and below 100"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
        ({"ensemble": "5"}, "ensemble='5' must be a whole number of at least 1"),
        ({"holdout": "auto"}, "holdout='auto': must lie in (0, 1), or be None"),
    ],
)
def test_a_parameter_that_cannot_be_is_one_clear_error(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        sa.SymbolModel(**parameters).fit(NAMES)
    assert message in str(raised.value)


def test_numbers_of_numpy_are_numbers() -> None:
    plain = {"hidden_size": 2, "epochs": 2, "learning_rate": 0.5, "seed": 3, "tied": False, "times": False}
    given = {name: np.array(value)[()] for name, value in plain.items()}
    assert all(isinstance(value, np.generic) for value in given.values())
    ours, theirs = (sa.SymbolModel(**p).fit(NAMES) for p in (plain, given))
    assert ours.next("an") == theirs.next("an")


def test_a_cell_is_named_as_forecasts_name_it() -> None:
    assert sa.SymbolModel(cell="rnn_relu", hidden_size=2, epochs=1).fit(NAMES).name == "RNN"


def test_one_symbol_may_be_kept() -> None:
    model = sa.SymbolModel(max_symbols=1, hidden_size=2, epochs=1).fit(NAMES)
    assert model.vocabulary_.symbols == ("n",)
    with pytest.raises(ConfigError, match=r"seed=0.5 must be a whole number"):
        sa.SymbolModel(seed=0.5).fit(NAMES)  # type: ignore[arg-type]


@pytest.mark.parametrize("ensemble", [1, 2])
def test_pickled_and_copied_models_say_the_same_before_and_after_use(tmp_path: Path, ensemble: int) -> None:
    fitted = sa.SymbolModel(hidden_size=4, epochs=2, ensemble=ensemble).fit(NAMES)
    fitted.save(tmp_path / "model")
    loaded: Any = sa.load(tmp_path / "model")
    for model in (fitted, loaded):
        expected = model.complete("a", 20, temperature=1.0, seed=3), model.next("an"), model.score("anna").total
        for twin in (pickle.loads(pickle.dumps(model)), deepcopy(model)):
            assert (twin.complete("a", 20, temperature=1.0, seed=3), twin.next("an")) == expected[:2]
            assert twin.score("anna").total == expected[2]
            assert twin.get_params() == model.get_params()


def test_max_symbols_and_tokens_hold_for_a_corpus_that_was_read_before() -> None:
    learned = [
        sa.SymbolModel(max_symbols=2, hidden_size=2, epochs=1).fit(given) for given in (NAMES, sa.read_corpus(NAMES))
    ]
    assert learned[0].vocabulary_ == learned[1].vocabulary_
    assert len(learned[1].vocabulary_.symbols) == 2
    with pytest.raises(ConfigError, match="tokens='words': the Corpus was cut into chars"):
        sa.SymbolModel(tokens="words").fit(sa.read_corpus(NAMES))


def test_a_stream_of_words_takes_one_word_at_a_time() -> None:
    stream = sa.SymbolModel(tokens="words", hidden_size=2, epochs=1).fit(["to be or not to be"] * 4).stream()
    for wrong in ("to be", "", " "):
        with pytest.raises(DataError, match="push takes one symbol at a time"):
            stream.push(wrong)
    other = stream.fork()
    assert stream.push(" to ") == other.push("to")


@pytest.mark.parametrize("ensemble", [1, 2])
def test_next_to_no_temperature_says_what_none_says(ensemble: int) -> None:
    model = sa.SymbolModel(hidden_size=2, epochs=1, ensemble=ensemble).fit(NAMES)
    assert model.complete("a", 9, temperature=1e-320) == model.complete("a", 9)


def test_one_text_of_one_symbol_holds_no_anomaly() -> None:
    text = sa.SymbolModel(hidden_size=2, epochs=1).fit("abab")
    for rule in ({"level": 1.0}, {"top_g": 1}):
        with pytest.raises(DataError, match="nothing foresees its first symbol"):
            text.anomalies("a", **rule)
