"""A model that reads when events came: only the time tells what comes next, and no way of asking loses it."""

import datetime as dt
import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import stepahead as sa
from stepahead.data.symbols import Corpus, read_events
from stepahead.errors import ConfigError, DataError
from stepahead.nn.symbol_network import SymbolNetwork
from stepahead.symbol_recipe import resolve

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def calls(cases: int, seed: int = 0) -> Corpus:
    """After a call that came within a minute the line is busy, after one that took an hour it is not."""
    rng = np.random.default_rng(seed)
    rows = []
    for case in range(cases):
        at = START + dt.timedelta(days=case)
        rows.append((case, at, "dial"))
        for _ in range(int(rng.integers(1, 4))):
            soon = bool(rng.integers(2))
            at += dt.timedelta(seconds=float(rng.uniform(5, 60) if soon else rng.uniform(3600, 7200)))
            rows.append((case, at, "call"))
            at += dt.timedelta(seconds=10)
            rows.append((case, at, "busy" if soon else "free"))
    table = pl.DataFrame(rows, schema=["case", "at", "what"], orient="row")
    return read_events(table, case="case", activity="what", time="at")


@pytest.fixture(scope="module", params=["lstm", "gru", "onehot"])
def phone(request: pytest.FixtureRequest) -> sa.SymbolModel:
    if request.param == "onehot":
        return sa.SymbolModel(cell="gru", embedding=0, hidden_size=12, epochs=20).fit(calls(400))
    return sa.SymbolModel(cell=request.param, hidden_size=12, epochs=20).fit(calls(400))


def test_the_time_says_what_the_symbols_cannot(phone: sa.SymbolModel) -> None:
    soon, late = [START, START + dt.timedelta(seconds=20)], [0, 5000]
    assert dict(phone.next(["dial", "call"], times=soon))["busy"] > 0.9
    assert dict(phone.next(["dial", "call"], times=late))["free"] > 0.9
    assert phone.complete(["dial", "call"], 1, times=late) == "dial call free"
    test = calls(60, seed=1)
    timed, blind = phone.evaluate(test), phone.evaluate(Corpus(test.codes, test.offsets, test.vocabulary))
    assert timed.nats < blind.nats - 0.1
    unknown = dict(phone.next(["dial", "call"]))
    assert 0.2 < unknown["busy"] < 0.8  # trained to go on where no times are known


def test_the_network_alone_without_times_is_the_one_from_before() -> None:
    corpus = calls(400)
    model = sa.SymbolModel(hidden_size=8, epochs=2, times=False).fit(corpus)
    again = sa.SymbolModel(hidden_size=8, epochs=2).fit(Corpus(corpus.codes, corpus.offsets, corpus.vocabulary))
    assert model.edges_ is None
    assert model.shape_ == again.shape_
    assert all(np.array_equal(model.weights_[name], again.weights_[name]) for name in model.weights_)


def test_prediction_without_torch_equals_torch(phone: sa.SymbolModel) -> None:
    network = SymbolNetwork(phone.shape_).eval()
    network.load_state_dict({name: torch.as_tensor(w) for name, w in phone.weights_.items()})
    inputs, _, offsets = calls(5, seed=2).timed(phone.edges_).steps()
    for start, stop in itertools.pairwise(offsets):
        codes = inputs[start:stop].astype(np.int64)
        with torch.no_grad():
            expected = torch.log_softmax(network.head(network(torch.as_tensor(codes[None]))[0][0]), dim=-1).numpy()
        found = phone.engine_.log_probabilities(phone.engine_.run(codes[None])[0][0])
        assert found == pytest.approx(expected, abs=1e-5)  # float32 in another order of sums


def test_a_table_of_both_equals_two_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    from stepahead.nn import symbol_network

    corpus = calls(40)
    shape, _ = resolve(sa.SymbolModel(hidden_size=6, embedding=4, dropout=0.0).get_params(), corpus, times=18)
    network = SymbolNetwork(shape)
    codes = torch.as_tensor(corpus.timed(np.arange(1.0, 17)).steps()[0][:120].astype(np.int64).reshape(4, 30))

    def everything() -> list[torch.Tensor]:
        hidden, _ = network(codes)
        return [hidden, *torch.autograd.grad(hidden.sin().sum(), [*network.cell.parameters(), network.times.weight])]

    ours = everything()
    monkeypatch.setattr(symbol_network, "LARGEST", 0)
    for one, other in zip(ours, everything(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)  # float32 sums in another order
    assert not ours[-1][0].any()  # an unknown time is no vector and learns none


def test_streams_scores_and_surprise_read_the_same_times(phone: sa.SymbolModel) -> None:
    sequence = ["dial", "call", "busy", "call", "free"]
    times = [START + dt.timedelta(seconds=s) for s in (0, 20, 30, 5000, 5010)]
    batch = phone.score(sequence, times=times)
    stream = phone.stream()
    pushed = [stream.push(symbol, time) for symbol, time in zip(sequence, times, strict=True)]
    assert pushed == pytest.approx(batch.bits[:-1], abs=1e-6)
    stream = phone.stream(sequence[:3], times=times[:3])
    fork = stream.fork()
    assert fork.push("call", times[3]) == stream.push("call", times[3]) == pytest.approx(pushed[3], abs=1e-6)
    table = pl.DataFrame({"case": [1] * 5, "at": times, "what": sequence})
    events = read_events(table, case="case", activity="what", time="at", vocabulary=phone.vocabulary_)
    assert phone.surprise(events)[0] == pytest.approx(batch.bits, abs=1e-6)
    # One time that is not known leaves two gaps unknown, and no others.
    holes = phone.score(sequence, times=[*times[:2], None, *times[3:]])
    assert holes.bits[:3] == pytest.approx(batch.bits[:3], abs=1e-6)
    assert holes.bits[3] != batch.bits[3]


def test_anomalies_read_times_too(phone: sa.SymbolModel) -> None:
    clean = calls(200, seed=3)
    phone.calibrate(clean)
    wrong = Corpus(clean.codes, clean.offsets, clean.vocabulary, gaps=np.where(clean.gaps > 100, 20.0, clean.gaps))
    alarms = [float(phone.anomalies(one, false_alarms=0.05).alarm.mean()) for one in (clean, wrong)]
    assert alarms[0] <= 0.05
    assert alarms[1] > 0.5  # the same symbols, too soon


def test_a_saved_and_loaded_model_reads_times_as_before(phone: sa.SymbolModel, tmp_path: Path) -> None:
    phone.save(tmp_path / "m")
    loaded = sa.load(tmp_path / "m")
    assert isinstance(loaded, sa.SymbolModel)
    assert np.array_equal(loaded.edges_, phone.edges_)
    assert loaded.next(["dial", "call"], times=[0, 20]) == phone.next(["dial", "call"], times=[0, 20])
    assert loaded.next(["dial", "call"]) == phone.next(["dial", "call"])


def test_a_file_from_before_times_and_repairs_is_read(tmp_path: Path) -> None:
    from stepahead import store

    model = sa.SymbolModel(hidden_size=4, epochs=1).fit(["ab", "ba", "bb"] * 200)
    model.save(tmp_path / "m")
    tensors, config = store.load(tmp_path / "m")
    del config["params"]["times"], config["shape"]["times"], config["calibrated"]
    store.save(tmp_path / "old", tensors, config)
    old = sa.load(tmp_path / "old")
    assert isinstance(old, sa.SymbolModel)
    assert old.next("a") == model.next("a")
    with pytest.raises(ConfigError, match=r"found 0; pass more to calibrate\(\)"):
        old.anomalies(["ab"])  # its level was that of another score


def test_times_that_cannot_be_are_refused(phone: sa.SymbolModel) -> None:
    with pytest.raises(ConfigError, match=r"carry no times; read them with read_events\(\.\.\., time=\.\.\.\)"):
        sa.SymbolModel(times=True).fit(["ab", "ba"] * 300)
    with pytest.raises(ConfigError, match="times='yes' is not one of 'auto', False, True"):
        sa.SymbolModel(times="yes").fit(calls(10))
    with pytest.raises(DataError, match="1 for 2 symbols"):
        phone.next(["dial", "call"], times=[3])
    stream = phone.stream(["dial"], times=[100])
    with pytest.raises(DataError, match="order of time"):
        stream.push("call", 99)
    word = sa.SymbolModel(cell="rnn", hidden_size=2).fit("hello")
    with pytest.raises(ConfigError, match="reads none"):
        word.next("he", times=[1, 2])
    with pytest.raises(ConfigError, match="reads none"):
        word.stream("h").push("e", 3)


def test_few_events_are_learned_by_heart_without_their_times() -> None:
    assert sa.SymbolModel().fit(calls(20)).edges_ is None
    assert sa.SymbolModel(times=True).fit(calls(20)).edges_ is not None
