"""What a SymbolModel says, held against torch, against counting by hand, and against itself in other ways."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

import stepahead as sa
from stepahead import store, symbol_holdout
from stepahead.data.symbols import read_corpus
from stepahead.errors import ConfigError, DataError, ModelFileError, NotFittedError
from stepahead.nn.symbol_network import SymbolNetwork
from stepahead.nn.symbols import batches, learn
from stepahead.runtime.symbols import Engine, Shape
from stepahead.symbol_recipe import SymbolPlan

RNG = np.random.default_rng(0)
WEATHER = ["".join(RNG.choice(list("sun rain"), RNG.integers(1, 12))) + "ab" * int(RNG.integers(4)) for _ in range(120)]


@pytest.fixture(scope="module")
def word() -> sa.SymbolModel:
    return sa.SymbolModel(cell="rnn", hidden_size=2).fit("hello")


@pytest.fixture(scope="module")
def lines() -> sa.SymbolModel:
    return sa.SymbolModel(cell="lstm", hidden_size=12, epochs=6).fit(WEATHER)


@pytest.fixture(scope="module")
def text() -> sa.SymbolModel:
    return sa.SymbolModel(hidden_size=12, epochs=3, num_layers=2).fit("the cat sat on the mat. " * 60)


def torch_log_probabilities(model: sa.SymbolModel, codes: list[int]) -> np.ndarray:
    """The same network in torch, all steps at once: [T, K]."""
    network = SymbolNetwork(model.shape_).eval()
    network.load_state_dict({name: torch.as_tensor(w) for name, w in model.weights_.items()})
    with torch.no_grad():
        hidden, _ = network(torch.as_tensor([codes]))
        return torch.log_softmax(network.head(hidden[0]), dim=-1).numpy()


@pytest.mark.parametrize("seed", range(10))
def test_hello_is_learned_whatever_the_seed(seed: int) -> None:
    model = sa.SymbolModel(cell="rnn", hidden_size=2, seed=seed).fit("hello")
    symbol, probability = model.next("hell", 1)[0]
    assert symbol == "o"
    assert probability > 0.8
    assert model.complete("h", 4) == "hello"


def test_hello_is_four_one_hot_columns_and_two_units(word: sa.SymbolModel) -> None:
    assert word.vocabulary_.symbols == ("h", "e", "l", "o")
    assert (word.shape_.inputs, word.shape_.classes, word.shape_.embedding) == (4, 4, 0)
    assert word.weights_["cell.weight_ih_l0"].shape == (2, 4)
    assert np.array_equal(word.engine_.embedding[0], [1, 0, 0, 0])
    assert word.hidden_states("hello").shape == (5, 2)
    assert sum(p for _, p in word.next("hell")) == pytest.approx(1)


def test_an_unseen_symbol_is_no_one_hot_column(word: sa.SymbolModel) -> None:
    assert np.array_equal(word.engine_.embedding[word.vocabulary_.encode("x")[0]], np.zeros(4))
    bias = word.weights_["cell.bias_ih_l0"] + word.weights_["cell.bias_hh_l0"]
    assert word.hidden_states("x")[0] == pytest.approx(np.tanh(bias), abs=1e-6)


@pytest.mark.parametrize("cell", ["rnn", "rnn_relu", "lstm", "gru"])
def test_prediction_without_torch_equals_torch(cell: str) -> None:
    model = sa.SymbolModel(cell=cell, hidden_size=8, num_layers=2, embedding=5, epochs=2).fit(WEATHER[:30])
    end = model.vocabulary_.end_code
    expected = torch_log_probabilities(model, [end, *model.vocabulary_.encode("sunab")])
    found = dict(model.next("sunab"))
    ours = np.array([found[model.vocabulary_.name(code)] for code in range(model.vocabulary_.classes)])
    # float32 in another order of sums.
    assert ours == pytest.approx(np.exp(expected[-1]), abs=1e-5)


def test_tied_weights_predict_as_torch_does() -> None:
    model = sa.SymbolModel(hidden_size=8, embedding=5, tied=True, epochs=2).fit(WEATHER[:60])
    network = SymbolNetwork(model.shape_).eval()
    network.load_state_dict({name: torch.as_tensor(w) for name, w in model.weights_.items()})
    codes = torch.as_tensor([[model.vocabulary_.end_code, *model.vocabulary_.encode("sun").tolist()]])
    with torch.no_grad():
        flat = network.projection(network(codes)[0][0])
        expected = torch.log_softmax(flat @ network.rows().T + network.head.bias, dim=-1)[-1].exp().numpy()
    found = dict(model.next("sun"))
    assert [found[model.vocabulary_.name(code)] for code in range(len(expected))] == pytest.approx(expected, abs=1e-5)
    assert "head.weight" not in model.weights_


def test_dropout_acts_in_a_single_layer_too() -> None:
    def weights(dropout: float, embedding: int) -> bytes:
        model = sa.SymbolModel(hidden_size=6, epochs=2, embedding=embedding, dropout=dropout).fit(WEATHER)
        return b"".join(w.tobytes() for _, w in sorted(model.weights_.items()))

    assert weights(0.5, 0) != weights(0.0, 0)
    assert weights(0.5, 4) != weights(0.0, 4)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    def weights(seed: int) -> bytes:
        model = sa.SymbolModel(hidden_size=6, epochs=2, dropout=0.3, seed=seed).fit(WEATHER)
        return b"".join(w.tobytes() for _, w in sorted(model.weights_.items()))

    torch.manual_seed(5)
    first = weights(1)
    assert torch.initial_seed() == 5, "the caller's random state was touched"
    assert first == weights(1)
    assert first != weights(2)


@pytest.mark.parametrize("which", ["word", "lines", "text"])
def test_a_saved_and_loaded_model_says_the_same_bits(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(which)
    model.save(tmp_path / "m.safetensors")
    loaded = sa.load(tmp_path / "m.safetensors")
    assert isinstance(loaded, sa.SymbolModel)
    assert loaded.get_params() == model.get_params()
    assert loaded.vocabulary_ == model.vocabulary_
    assert loaded.next("he") == model.next("he")
    assert np.array_equal(loaded.score("at ease").bits, model.score("at ease").bits, equal_nan=True)
    assert loaded.scores_ == model.scores_
    assert np.array_equal(loaded.clean_, model.clean_)


def test_a_file_with_a_foreign_configuration_is_refused(tmp_path: Path) -> None:
    store.save(tmp_path / "m", {}, {"kind": "symbols", "params": {"cellar": 1}})
    with pytest.raises(ModelFileError, match="does not hold what a model holds"):
        sa.load(tmp_path / "m")


@pytest.mark.parametrize("which", ["lines", "text"])
def test_streamed_surprise_equals_batch_surprise(which: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    sequence = "the sun sat on the rain, ab? ababab" * 20
    batch = model.score(sequence)
    stream = model.stream()
    pushed = np.array([stream.push(symbol) for symbol in sequence])
    difference = np.nanmax(np.abs(pushed - batch.bits[: len(pushed)]))
    assert difference < 1e-6, f"largest difference {difference}"


def test_many_sequences_are_scored_as_each_alone(lines: sa.SymbolModel) -> None:
    together = lines.surprise([*WEATHER, "", "x" * 3000])
    for sequence, bits in zip([*WEATHER, "", "x" * 3000], together, strict=True):
        assert bits == pytest.approx(lines.score(sequence).bits, abs=1e-6), sequence


def test_a_forked_stream_leaves_the_other_where_it_was(text: sa.SymbolModel) -> None:
    stream = text.stream("the c")
    before = stream.next(2)
    fork = stream.fork()
    fork.push("a")
    assert stream.next(2) == before
    assert dict(fork.next(2)) == pytest.approx(dict(text.stream("the ca").next(2)), abs=1e-6)


def test_nats_bits_perplexity_and_accuracy_are_those_of_the_surprises(lines: sa.SymbolModel) -> None:
    test = ["sun", "rains", "abab", "nnn"]
    scores = lines.evaluate(test)
    bits = np.concatenate([lines.score(one).bits for one in test])
    assert scores.n == sum(map(len, test)) + len(test)
    assert scores.bits == pytest.approx(bits.mean(), abs=1e-6)
    assert scores.nats == pytest.approx(bits.mean() * np.log(2), abs=1e-6)
    assert scores.perplexity == pytest.approx(2 ** bits.mean(), rel=1e-6)
    right = [lines.next(one[:i], 3) for one in test for i in range(len(one) + 1)]
    true = [symbol for one in test for symbol in [*one, "<end>"]]
    assert scores.top1 == np.mean([top[0][0] == t for top, t in zip(right, true, strict=True)])
    assert scores.top3 == np.mean([t in [s for s, _ in top] for top, t in zip(right, true, strict=True)])
    assert scores.top1 <= scores.top3 <= scores.top5


def test_without_the_end_it_cannot_be_the_answer(lines: sa.SymbolModel) -> None:
    scores = lines.evaluate(["sunab"], skip=2, end=False)
    expected = []
    for place, true in ((2, "n"), (3, "a"), (4, "b")):
        odds = dict(lines.next("sunab"[:place]))
        expected.append(-np.log(odds[true] / (1 - odds["<end>"])))
    assert scores.n == 3
    assert scores.nats == pytest.approx(np.mean(expected), abs=1e-6)


def test_a_symbol_never_seen_counts_as_one_in_all_symbols_and_one_more(word: sa.SymbolModel) -> None:
    assert word.score("hx").bits[1] == pytest.approx(np.log2(6))
    assert word.stream("h").push("x") == pytest.approx(np.log2(6))


def test_sampling_follows_the_probabilities(lines: sa.SymbolModel) -> None:
    odds = dict(lines.next("a"))
    drawn = [lines.complete("a", 1, temperature=1, seed=seed)[1:] or "<end>" for seed in range(2000)]
    for symbol, p in odds.items():
        # Five standard deviations of a share of 2,000 draws.
        assert drawn.count(symbol) / 2000 == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / 2000) + 1e-3), symbol
    first, second = (symbol for symbol, _ in lines.next("a", 2))
    few = {lines.complete("a", 1, temperature=5, top_k=2, seed=seed)[1:] or "<end>" for seed in range(60)}
    assert few == {first, second}
    assert {lines.complete("a", 1, temperature=1, top_p=1e-6, seed=s)[1:] or "<end>" for s in range(20)} == {first}


@pytest.mark.parametrize("which", ["lines", "text"])
def test_the_likeliest_completion_is_what_a_stream_says_step_by_step(
    which: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(which)
    stream, said = model.stream("at"), ""
    while len(said) < 50 and (symbol := stream.next(1)[0][0]) != "<end>":
        stream.push(symbol)
        said += symbol
    assert model.complete("at", 50) == "at" + said
    assert model.complete("at", 0) == "at"
    assert model.complete("at", 1) == "at" + said[:1]


def test_completion_ends_where_the_model_ends_it_and_repeats_by_seed(lines: sa.SymbolModel) -> None:
    texts = [lines.complete("", 40, temperature=1, seed=seed) for seed in range(20)]
    assert texts == [lines.complete("", 40, temperature=1, seed=seed) for seed in range(20)]
    assert len(set(texts)) > 10
    assert any(len(one) < 40 for one in texts)


def test_words_and_items_are_joined_by_spaces() -> None:
    sessions = [["open", "read file", "close"], ["open", "close"]] * 10
    model = sa.SymbolModel(hidden_size=8).fit(sessions)
    assert model.complete(["open", "read file"], 5) == "open read file close"
    assert model.stream().next() == model.next([])  # an empty text is no symbol
    words = sa.SymbolModel(tokens="words").fit("a b c a b c a b c")
    assert words.complete("a b", 2) == "a b c a"
    assert words.next("a", 1)[0][0] == "b"


def test_constructor_only_stores_and_clone_copies() -> None:
    model = sa.SymbolModel(cell="nonsense", hidden_size=-1)
    copy = clone(model.set_params(seed=3))
    assert copy.get_params() == model.get_params()
    assert repr(copy) == "SymbolModel(cell='nonsense', hidden_size=-1, seed=3)"
    assert model.clone().get_params() == model.get_params()
    with pytest.raises(ConfigError, match="SymbolModel has no parameter"):
        model.set_params(cellar=1)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"cell": "transformer"}, "is not one of 'auto', 'rnn', 'rnn_relu', 'lstm', 'gru'"),
        ({"hidden_size": 0}, "whole number of at least 1"),
        ({"num_layers": 1.5}, "whole number of at least 1"),
        ({"embedding": -1}, "whole number of at least 0"),
        ({"dropout": 1.0}, "must be a number of at least 0 and below 1"),
        ({"learning_rate": 0}, "must be a number above 0 and below 100"),
        ({"holdout": 1.5}, r"must lie in \(0, 1\)"),
        ({"tied": True, "embedding": 0}, "needs an embedding"),
        ({"tokens": "bytes"}, "must be one of chars, words, items"),
        ({"epochs": True}, "whole number of at least 1"),
        ({"seed": -1}, "whole number of at least 0"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sa.SymbolModel(**parameters).fit("hello")


@pytest.mark.parametrize("source", ["", "a", [], [""]])
def test_too_little_to_learn_from_is_refused(source: object) -> None:
    with pytest.raises(DataError, match=r"too few|at least one"):
        sa.SymbolModel().fit(source)


def test_questions_that_cannot_be_answered_are_refused(word: sa.SymbolModel, lines: sa.SymbolModel) -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        sa.SymbolModel().next("a")
    with pytest.raises(DataError, match="knows no beginning"):
        word.next("")
    with pytest.raises(DataError, match="knows no beginning"):
        word.complete("", 3)
    with pytest.raises(DataError, match="learned one text"):
        word.evaluate(["hello", "he"])
    with pytest.raises(DataError, match="one symbol at a time"):
        word.stream().push("he")
    with pytest.raises(DataError, match="no symbol is left"):
        lines.evaluate(["ab"], skip=10)
    for wrong in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0.0}, {"length": -1}, {"temperature": float("nan")}):
        with pytest.raises(ConfigError):
            word.complete("h", **wrong)


def test_the_held_back_part_is_scored_beside_ngrams(lines: sa.SymbolModel, word: sa.SymbolModel) -> None:
    assert word.scores_ is None
    assert lines.scores_ is not None
    assert lines.scores_.n == sum(len(one) + 1 for one in WEATHER[-6:])
    assert lines.scores_.baselines
    assert str(lines.verdict_).startswith("LSTM ")
    assert lines.verdict_ is not None
    assert lines.verdict_.beats == (lines.verdict_.skill > 0 and lines.verdict_.p_value < 0.05)


def test_where_nothing_is_held_back_the_ngrams_are_still_of_a_good_order() -> None:
    letters = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 4000))  # no order beyond 1 helps
    model = sa.SymbolModel(cell="rnn", hidden_size=4, epochs=1, holdout=None).fit(letters)
    assert model.ngrams_.order <= 2
    assert model.scores_ is None
    assert model.ngrams_.levels[0].counts.sum() == 3999  # counted over all of the text


def test_sequences_shorter_than_the_longest_ngram_are_counted() -> None:
    model = sa.SymbolModel(hidden_size=4, epochs=1).fit(["ab", "ba"] * 300)
    assert model.scores_ is not None
    assert model.scores_.baselines


def test_what_only_the_held_back_part_holds_is_unseen() -> None:
    model = sa.SymbolModel(hidden_size=4, epochs=1).fit("abc" * 400 + "xyz" * 20)
    assert model.vocabulary_.symbols == ("a", "b", "c")


def test_a_part_numbers_its_symbols_by_first_appearance_whatever_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = read_corpus("zyx" + "bca" * 400 + "yb" * 100)
    for size in (1, 2, 5, 1 << 22):
        monkeypatch.setattr(symbol_holdout, "CHUNK", size)
        own = symbol_holdout._own_vocabulary(corpus.part(3, 1300))
        assert own.vocabulary.symbols == ("b", "c", "a", "y"), size
        assert own.vocabulary.join(own.codes) == corpus.vocabulary.join(corpus.codes[3:1300])


def test_a_network_must_use_its_state_to_tell_what_counting_pairs_cannot() -> None:
    # After "c" comes what came before it: a bigram is at chance, a carried state knows.
    rng = np.random.default_rng(0)
    memory = ["".join(s + "c" + s for s in rng.choice(["a", "b"], 8)) for _ in range(600)]
    model = sa.SymbolModel(hidden_size=16, epochs=12).fit(memory)
    assert model.evaluate(memory[:40]).baselines
    assert dict(model.next("ac"))["a"] > 0.95
    assert dict(model.next("aacbc"))["b"] > 0.95


def test_ragged_batches_hold_every_symbol_once_with_its_own_past() -> None:
    corpus = read_corpus(["abc", "", "ca", "bbbbb", "a"] * 3)
    plan = SymbolPlan(epochs=1, rows=4, window=3, learning_rate=0.1)
    pairs = []
    for codes, targets, _ in batches(corpus, plan, np.random.default_rng(0)):
        known = targets >= 0
        pairs += list(zip(codes[known].tolist(), targets[known].tolist(), strict=True))
    inputs, targets, _ = corpus.steps()
    assert sorted(pairs) == sorted(zip(inputs.tolist(), targets.tolist(), strict=True))


def test_text_in_windows_with_carried_state_is_the_text_in_one_pass() -> None:
    corpus = read_corpus("hello world, how are you? " * 20)
    plan = SymbolPlan(epochs=1, rows=1, window=16, learning_rate=0.1)
    torch.manual_seed(0)
    network = SymbolNetwork(Shape("gru", corpus.vocabulary.unseen, corpus.vocabulary.classes, 8, embedding=4))
    with torch.no_grad():
        whole = network(torch.as_tensor(corpus.codes[:-1].astype(np.int64))[None])[0]
        pieces, state = [], None
        for codes, _, carry in batches(corpus, plan, np.random.default_rng(0)):
            hidden, state = network(codes, state if carry else None)
            pieces.append(hidden)
    assert torch.allclose(torch.cat(pieces, dim=1), whole, atol=1e-6)


def test_sampled_softmax_estimates_the_full_loss() -> None:
    torch.manual_seed(0)
    network = SymbolNetwork(Shape("rnn", 5000, 5000, 8, embedding=4))
    hidden, targets = torch.randn(2, 30, 8), torch.randint(0, 5000, (2, 30))
    with torch.no_grad():
        full = float(network.loss(hidden, targets)) / 60
        drawn = [float(network.loss(hidden, targets, torch.randperm(5000)[:1000])) / 60 for _ in range(20)]
    # The mean over draws; a single draw of 1,000 in 5,000 classes deviates by a few hundredths.
    assert np.mean(drawn) == pytest.approx(full, abs=0.03)


def test_training_with_sampled_softmax_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    from stepahead.nn import symbols

    monkeypatch.setattr(symbols, "FULL_SOFTMAX", 10)
    monkeypatch.setattr(symbols, "SAMPLED", 20)
    cycle = " ".join(f"w{i % 50}" for i in range(2000))
    model = sa.SymbolModel(tokens="words", hidden_size=32, epochs=20, learning_rate=0.02).fit(cycle)
    assert model.next("w3 w4", 1)[0][0] == "w5"


def test_a_loss_that_is_no_number_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from stepahead.errors import TrainingError

    monkeypatch.setattr(SymbolNetwork, "loss", lambda self, hidden, *_: hidden.sum() * float("nan"))
    with pytest.raises(TrainingError, match="no longer a number; lower learning_rate"):
        sa.SymbolModel().fit("hello")


def test_stopped_by_hand_keeps_the_best_so_far() -> None:
    def stop(report: object) -> None:
        raise KeyboardInterrupt

    corpus = read_corpus(WEATHER)
    shape = Shape("gru", corpus.vocabulary.unseen, corpus.vocabulary.classes, 4, embedding=4)
    plan = SymbolPlan(epochs=50, rows=8, window=32, learning_rate=0.01)
    learned = learn(shape, corpus, plan, None, stop)
    assert learned.stopped == "interrupted"
    Engine.build(shape, learned.weights)


def test_prediction_imports_no_torch(word: sa.SymbolModel, tmp_path: Path) -> None:
    word.save(tmp_path / "m")
    code = "import sys, stepahead as sa; m = sa.load(sys.argv[1]); m.next('h'); m.score('he'); m.stream('h')"
    code += "; sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "m")], env=os.environ, check=False)
    assert run.returncode == 0
