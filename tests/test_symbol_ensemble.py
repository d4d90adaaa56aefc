"""Several networks as one, held against the networks themselves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import stepahead as sa
from stepahead import store, symbol_holdout
from stepahead.data.symbols import Corpus
from stepahead.errors import ConfigError
from stepahead.nn.symbols import SymbolReport, learn_members
from stepahead.parameters import SEED_STRIDE
from stepahead.runtime.repairs import best_repairs
from stepahead.runtime.symbol_ensemble import Ensemble, join_members, split_members
from stepahead.runtime.symbols import Engine
from stepahead.symbol_recipe import resolve

RNG = np.random.default_rng(0)
WEATHER = ["".join(RNG.choice(list("sun rain"), RNG.integers(1, 12))) + "ab" * int(RNG.integers(4)) for _ in range(120)]
KINDS = {
    "lstm of two layers": {"cell": "lstm", "num_layers": 2, "hidden_size": 6, "epochs": 3, "seed": 1},
    "gru": {"cell": "gru", "hidden_size": 8, "epochs": 3, "seed": 1},
    "tied": {"hidden_size": 6, "embedding": 4, "tied": True, "epochs": 2, "seed": 1},
}


@pytest.fixture(scope="module", params=list(KINDS))
def three(request: pytest.FixtureRequest) -> tuple[sa.SymbolModel, list[sa.SymbolModel]]:
    """An ensemble, and its networks each fitted alone; the same held-back sequences end the training of all."""
    given, parts = KINDS[request.param], {"sequences": WEATHER[:-12], "validation": WEATHER[-12:]}
    alone = [sa.SymbolModel(**given | {"seed": 1 + SEED_STRIDE * m}).fit(**parts) for m in range(3)]
    return sa.SymbolModel(**given, ensemble=3).fit(**parts), alone


Three = tuple[sa.SymbolModel, list[sa.SymbolModel]]


def test_the_members_are_the_networks_of_their_seeds_bit_for_bit(three: Three) -> None:
    model, alone = three
    for found, one in zip(split_members(model.weights_), alone, strict=True):
        assert found.keys() == one.weights_.keys()
        assert all(np.array_equal(found[name], one.weights_[name]) for name in found)
    assert model.history_ == [epoch for one in alone for epoch in one.history_]


@pytest.mark.parametrize("prefix", ["", "s", "sun a?"])
def test_probabilities_are_the_mean_of_the_members(three: Three, prefix: str) -> None:
    model, alone = three
    each = [dict(one.next(prefix)) for one in alone]
    for symbol, p in model.next(prefix):
        assert p == pytest.approx(np.mean([of[symbol] for of in each]), abs=1e-12), symbol


def test_surprise_and_scores_are_those_of_the_mean(three: Three) -> None:
    model, alone = three
    mean = np.mean([2 ** -one.score("rain, ab").bits for one in alone], axis=0)
    # The comma was never seen: its surprise is no network's. float32 in another order of sums.
    assert 2 ** -model.score("rain, ab").bits == pytest.approx(mean, abs=1e-6)
    scores = model.evaluate(WEATHER[:20], skip=1, end=False)
    expected = []
    for sequence in WEATHER[:20]:
        for place in range(1, len(sequence)):
            odds = dict(model.next(sequence[:place]))
            expected.append(-np.log(odds[sequence[place]] / (1 - odds["<end>"])))
    assert scores.nats == pytest.approx(np.mean(expected), abs=1e-6)
    assert model.scores_ is not None
    assert model.scores_.baselines


def test_streamed_surprise_equals_batch_surprise(three: Three) -> None:
    model, _ = three
    sequence = "the sun sat on the rain, ab? ababab" * 20
    stream = model.stream()
    pushed = np.array([stream.push(symbol) for symbol in sequence])
    difference = np.abs(pushed - model.score(sequence).bits[:-1]).max()
    assert difference < 1e-6, f"largest difference {difference}"


def test_a_state_is_a_value_and_a_fork_goes_its_own_way(three: Three) -> None:
    model, _ = three
    stream = model.stream("su")
    kept = [part.copy() for part in stream.state]
    held, before = stream.state, stream.next()
    fork = stream.fork()
    fork.push("n")
    assert stream.next() == before
    assert all(np.array_equal(one, other) for one, other in zip(held, kept, strict=True))
    assert dict(fork.next()) == pytest.approx(dict(model.stream("sun").next()), abs=1e-6)


def test_the_likeliest_completion_is_what_a_stream_says_step_by_step(three: Three) -> None:
    model, _ = three
    stream, said = model.stream("at"), ""
    while len(said) < 30 and (symbol := stream.next(1)[0][0]) != "<end>":
        stream.push(symbol)
        said += symbol
    assert model.complete("at", 30) == "at" + said
    drawn = [model.complete("", 20, temperature=1, seed=seed) for seed in range(10)]
    assert drawn == [model.complete("", 20, temperature=1, seed=seed) for seed in range(10)]
    assert len(set(drawn)) > 5


def test_a_repair_saves_what_the_surprises_of_both_sequences_say(three: Three) -> None:
    model, _ = three
    test = ["sunx", "ababba", "rrain"]
    told, steps = model._told(test)
    end, unseen = model.vocabulary_.end_code, model._unseen
    saved, repairs = best_repairs(model.engine_, *steps, told.surprise, end=end, unseen=unseen)
    for sequence, nats, repair in zip(test, saved, repairs, strict=True):
        assert repair is not None
        symbols = list(sequence)
        name = model.vocabulary_.name(int(repair.symbol))
        if repair.kind == "drop":
            del symbols[repair.step]
        elif repair.kind == "swap":
            symbols[repair.step : repair.step + 2] = symbols[repair.step : repair.step + 2][::-1]
        else:
            symbols[repair.step : repair.step + (repair.kind == "replace")] = [name]
        price = np.log(len(sequence) + 1) + (np.log(model.shape_.classes) if repair.kind in ("drop", "replace") else 0)
        expected = (model.score(sequence).total - model.score("".join(symbols)).total) * np.log(2) - price
        assert nats == pytest.approx(expected, abs=1e-5), (sequence, repair)
    assert model.anomalies(test, false_alarms=0.2).score == pytest.approx(saved / np.log(2))


def test_a_saved_and_loaded_ensemble_says_the_same_bits(three: Three, tmp_path: Path) -> None:
    model, _ = three
    model.save(tmp_path / "m")
    loaded = sa.load(tmp_path / "m")
    assert isinstance(loaded, sa.SymbolModel)
    assert loaded.get_params() == model.get_params()
    assert loaded.next("he") == model.next("he")
    assert np.array_equal(loaded.score("at ease").bits, model.score("at ease").bits)
    assert loaded.complete("s", 30, temperature=1) == model.complete("s", 30, temperature=1)
    assert loaded.scores_ == model.scores_
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def test_a_look_shows_the_first_network_and_what_it_expected(three: Three) -> None:
    model, alone = three
    seen, first = model.look("sunab"), alone[0].look("sunab")
    assert np.array_equal(seen.hidden, first.hidden)
    assert np.array_equal(seen.told, first.told)
    assert seen.next == first.next


def test_each_network_is_ended_by_another_part_and_all_is_learned() -> None:
    sequences = [[f"s{i}", "x"] for i in range(400)]
    corpus = sa.read_corpus(sequences)
    parts = symbol_holdout.split(corpus, None, holdout=0.1, ensemble=5)
    assert (parts.train.n_sequences, parts.stop.n_sequences, parts.rest.n_sequences) == (360, 20, 20)
    members = parts.of_members(5)
    assert all((one.n_sequences, until.n_sequences) == (360, 20) for one, until in members)

    def ids(of: Corpus) -> list[str]:
        return [of.vocabulary.name(int(code)) for code in of.codes[::2]]

    everything = [f"s{i}" for i in range(380)]
    for one, until in members:
        assert sorted(ids(one) + ids(until)) == sorted(everything)
    ended = [s for _, until in members for s in ids(until)]
    assert len(set(ended)) == 100, "two networks were ended by the same sequences"
    assert ids(members[0][1]) == everything[-20:]
    assert set(ids(parts.rest)) == {"<unseen>"}  # nobody learned them
    assert parts.clean.n_sequences == 20  # not those that ended a training: the other networks learned them
    assert parts.count(unseen=9.0).levels[0].counts.sum() == 380 * 3


def test_an_ensemble_on_one_text_or_a_given_validation_shares_what_ends_it() -> None:
    text = symbol_holdout.split(sa.read_corpus("abc" * 400), None, holdout=0.1, ensemble=3)
    assert [(len(one.codes), len(until.codes)) for one, until in text.of_members(3)] == [(1080, 60)] * 3
    corpus = sa.read_corpus(WEATHER)
    given = symbol_holdout.split(corpus, WEATHER[:10], holdout=0.1, ensemble=3)
    assert all(one is corpus and until is given.stop for one, until in given.of_members(3))
    assert given.clean.n_sequences == 10


def test_times_turn_with_the_sequences() -> None:
    corpus = replace(sa.read_corpus(["ab"] * 300), gaps=np.arange(600.0))
    parts = symbol_holdout.split(corpus, None, holdout=0.1, ensemble=3)
    for one, until in parts.of_members(3):
        both = np.sort(np.concatenate([one.gaps, until.gaps]))
        assert np.array_equal(both, np.arange(570.0))
        assert np.array_equal(until.gaps, until.gaps[0] + np.arange(30.0))


def test_one_network_is_stored_as_before_there_were_ensembles(tmp_path: Path) -> None:
    model = sa.SymbolModel(hidden_size=4, epochs=1).fit(WEATHER)
    assert isinstance(model.engine_, Engine)
    model.save(tmp_path / "m")
    tensors, config = store.load(tmp_path / "m")
    assert "ensemble" not in config["params"]
    assert not [name for name in tensors if name.startswith("members.")]
    loaded = sa.load(tmp_path / "m")
    assert isinstance(loaded, sa.SymbolModel)
    assert loaded.get_params() == model.get_params()


def test_members_are_joined_and_split_in_their_order() -> None:
    members = [{"a": np.array([m]), "cell.b": np.array([m, m])} for m in range(12)]
    joined = join_members(members)
    assert set(joined) >= {"a", "members.1.a", "members.11.cell.b"}
    for name in sorted(joined, reverse=True):  # a file may give its arrays in any order
        joined[name] = joined.pop(name)
    split = split_members(joined)
    assert [one["cell.b"].tolist() for one in split] == [[m, m] for m in range(12)]


def test_an_ensemble_learns_a_word_and_an_event_table() -> None:
    word = sa.SymbolModel(cell="rnn", hidden_size=2, ensemble=3).fit("hello")
    assert word.complete("h", 4) == "hello"
    assert isinstance(word.engine_, Ensemble)
    rows = {"case": [], "at": [], "what": []}
    for case in range(200):
        wait = 20 if case % 2 else 5000
        for at, what in ((0, "dial"), (wait, "call"), (wait + 9, "busy" if case % 2 else "free")):
            rows["case"].append(case)
            rows["at"].append(at)
            rows["what"].append(what)
    import polars as pl

    events = sa.read_events(pl.DataFrame(rows), case="case", time="at", activity="what")
    phone = sa.SymbolModel(hidden_size=8, epochs=10, ensemble=2).fit(events)
    assert phone.next(["dial", "call"], 1, times=[0, 20])[0][0] == "busy"
    stream = phone.stream()
    stream.push("dial", 0)
    stream.push("call", 5000)
    assert stream.next(1)[0][0] == "free"
    batch = phone.score(["dial", "call", "free"], times=[0, 5000, 5009]).bits
    assert stream.push("free", 5009) == pytest.approx(batch[2], abs=1e-6)


def test_progress_is_of_the_whole_work() -> None:
    reports = list[SymbolReport]()
    sa.SymbolModel(hidden_size=4, epochs=12, ensemble=3, batch_size=4, holdout=None).fit(
        WEATHER, progress=reports.append
    )
    steps = [one.step for one in reports]
    assert steps == sorted(set(steps))
    assert len({one.max_steps for one in reports}) == 1
    assert steps[-1] > reports[-1].max_steps * 0.9


# Six reports of each network, at every twentieth step of four epochs of thirty.
@pytest.mark.parametrize(("reports", "members"), [(1, 1), (7, 1), (9, 2)])
def test_an_interrupt_keeps_the_networks_that_have_learned(reports: int, members: int) -> None:
    corpus = sa.read_corpus(WEATHER)
    shape, plan = resolve(sa.SymbolModel(hidden_size=4, epochs=4, batch_size=4).get_params(), corpus)
    left = reports

    def interrupt(_: SymbolReport) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    found = learn_members(shape, [(corpus, None)] * 3, plan, interrupt)
    assert len(found) == members, [one.stopped for one in found]
    assert found[-1].stopped == "interrupted"
    assert all(one.weights for one in found)


@pytest.mark.parametrize("ensemble", [0, -1, 2.5, True, "5"])
def test_what_is_no_number_of_networks_is_refused(ensemble: object) -> None:
    with pytest.raises(ConfigError, match=r"ensemble=.* must be a whole number of at least 1"):
        sa.SymbolModel(ensemble=ensemble).fit("hello")
