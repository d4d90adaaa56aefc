"""The facade for symbols: learn from text, lines or event logs, then say what comes next.

Training is PyTorch (`nn.symbols`); everything after it runs without (`runtime.symbols`).
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stepahead import store
from stepahead.data.symbols import MAX_SYMBOLS, Corpus, Source, Vocabulary, read_corpus
from stepahead.errors import ConfigError, DataError, ModelFileError, NotFittedError, require
from stepahead.evaluate.ngrams import NGrams, best_order, count_ngrams
from stepahead.evaluate.symbols import (
    SymbolScores,
    judge_symbols,
    ngram_name,
    of_metrics,
    score_symbols,
    scores_from_json,
)
from stepahead.runtime.anomalies import Anomalies, find_anomalies, sequence_scores
from stepahead.runtime.symbols import Engine, Sampling, Shape, Told, check_sampling, generate, pick, tell
from stepahead.symbol_recipe import is_word, resolve
from stepahead.symbol_stream import Look, NamedStream, Surprise, top

Array = NDArray[Any]
Prefix = str | Sequence[Any]

LONGEST = 1_000_000  # symbols that one call completes at most
HELD_BACK = 400_000  # symbols held back at most: more would not make the scores any surer
COUNTED = 2_000_000  # symbols that n-grams are counted over at most, the last ones: their memory grows with each


class SymbolModel:
    """Predict the next symbol of a sequence with a recurrent network.

    Args:
        cell: "rnn", "rnn_relu", "lstm", "gru", or "auto".
        hidden_size, num_layers, dropout: of the recurrent stack.
        embedding: width of the vector of a symbol, 0 for one-hot.
        tied: predict with the embedding's own vectors.
        tokens: "chars" or "words", how texts are cut; lists of symbols are taken as they are.
        max_symbols: so many of the most frequent symbols are kept, the rest counts as unseen.
        epochs, learning_rate, batch_size, window: of the training; "auto" fits them to the data.
        holdout: fraction that is held back (of one text, its tail; of sequences, the last ones; at most 400,000
            symbols): one half stops the training, the other is scored beside n-grams. None trains on all.
        seed: the same seed gives the same model, bit for bit, on CPU.

    Attributes:
        vocabulary_: the Vocabulary. shape_: the resolved network. weights_: arrays by name.
        scores_: SymbolScores of the held-back part, or None. verdict_: SymbolVerdict, or None.

    Example:
        >>> word = SymbolModel(cell="rnn", hidden_size=2).fit("hello")  # doctest: +SKIP
        >>> word.next("hell", 1), word.complete("h", 4)  # doctest: +SKIP
        ([('o', 0.99)], 'hello')
    """

    def __init__(
        self,
        *,
        cell: str = "auto",
        hidden_size: int | str = "auto",
        num_layers: int | str = "auto",
        embedding: int | str = "auto",
        tied: bool = False,
        dropout: float | str = "auto",
        tokens: str = "chars",
        max_symbols: int = MAX_SYMBOLS,
        epochs: int | str = "auto",
        learning_rate: float | str = "auto",
        batch_size: int | str = "auto",
        window: int | str = "auto",
        holdout: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.embedding = embedding
        self.tied = tied
        self.dropout = dropout
        self.tokens = tokens
        self.max_symbols = max_symbols
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.window = window
        self.holdout = holdout
        self.seed = seed

    @classmethod
    def parameters(cls) -> list[str]:
        """Names of the constructor's arguments."""
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as scikit-learn asks for them."""
        return {name: getattr(self, name) for name in self.parameters()}

    def set_params(self, **parameters: Any) -> Self:
        """Change arguments of the constructor; takes effect at the next fit."""
        for name, value in parameters.items():
            if name not in self.parameters():
                raise ConfigError(f"{name}: no parameter of SymbolModel; choose from {', '.join(self.parameters())}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        changed = (f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name])
        return f"SymbolModel({', '.join(changed)})"

    @property
    def name(self) -> str:
        """The cell in capitals."""
        return (self.shape_.cell if hasattr(self, "shape_") else self.cell).upper()

    def fit(
        self,
        sequences: Source,
        *,
        validation: Source | None = None,
        progress: Callable[[Any], None] | None = None,
    ) -> Self:
        """Learn a text, a file (Path), a list of sequences, or a Corpus from `read_corpus` or `read_events`.

        Args:
            validation: held-back sequences of the caller's choice, in place of the `holdout` part.
            progress: called with a SymbolReport now and then.

        Raises:
            DataError: fewer than two symbols, or nothing that can be cut into symbols.
            ConfigError: a parameter that cannot be.
            TrainingError: the loss is no longer a number.
        """
        require("torch", extra="train", purpose="fit")
        from stepahead.nn.symbols import learn

        corpus = read_corpus(sequences, tokens=self.tokens, max_symbols=self.max_symbols)
        if len(corpus.steps()[1]) < 1 or not len(corpus.codes):
            raise DataError(f"text: {len(corpus.codes)} symbols are too few to learn from; give at least two")
        train, stop, rest = self._split(corpus, validation)
        shape, plan = resolve(self.get_params(), train)
        if stop is None and plan.patience is not None:
            plan = replace(plan, patience=None)
        learned = learn(shape, train, plan, stop, progress)
        self.vocabulary_, self.shape_ = train.vocabulary, shape
        self.n_symbols_ = len(train.codes)
        self.history_, self.stopped_ = learned.history, learned.stopped
        self._settle(learned.weights)
        self.ngrams_ = self._count(train, stop)
        self.clean_ = np.empty(0)
        self.scores_, self.verdict_ = None, None
        if stop is not None and rest is not None:
            self.scores_ = self.evaluate(rest)
            self.verdict_ = self.scores_.verdict
            self.calibrate(rest if not rest.vocabulary.end else _both(stop, rest))
        return self

    def evaluate(self, sequences: Source, *, skip: int = 0, end: bool = True) -> SymbolScores:
        """Score how well each symbol of unseen sequences is foreseen, beside n-grams of the training part.

        Args:
            sequences: as for `fit`.
            skip: symbols at the start of each sequence that are read but not asked for.
            end: whether the end of each sequence is asked for, too. Where it is not, it cannot be the answer either:
                the question is then what comes next, given that something does.

        Returns:
            SymbolScores. A symbol never seen in N training symbols counts as one of probability 1 / (N + 1).
        """
        if skip < 0:
            raise ConfigError(f"skip={skip}: must be at least 0")
        corpus = self._read(sequences)
        inputs, targets, offsets = corpus.steps()
        asked = np.arange(len(inputs)) - np.repeat(offsets[:-1], np.diff(offsets)) >= skip
        out = self.vocabulary_.end_code if self.vocabulary_.end and not end else -1
        asked &= targets != out
        if not asked.any():
            raise DataError(f"sequences: no symbol is left to ask for after skip={skip}; give longer ones")
        told = tell(self.engine_, inputs, targets, offsets, unseen=self._unseen, skip=out)
        scores = score_symbols(told, targets, asked)
        if getattr(self, "ngrams_", None) is None:
            return scores
        orders = dict.fromkeys((self.ngrams_.order, 1))
        counted = {o: self.ngrams_.at(o).tell(corpus, unseen=self._unseen, skip=out) for o in orders}
        best = counted[self.ngrams_.order]
        verdict = judge_symbols(told, best, offsets, asked, name=self.name, order=self.ngrams_.order, seed=self.seed)
        baselines = {ngram_name(o): of_metrics(score_symbols(one, targets, asked)) for o, one in counted.items()}
        return replace(scores, baselines=baselines, verdict=verdict)

    def next(self, prefix: Prefix = "", k: int | None = None) -> list[tuple[str, float]]:
        """The likeliest next symbols after a prefix, with their probabilities.

        Args:
            prefix: text, or a list of symbols; may be empty where sequences have an end.
            k: how many; None gives all.
        """
        stream = self.stream(prefix)
        if stream.log_probabilities is None:
            raise DataError("prefix: is empty, and a model of one text knows no beginning; give at least one symbol")
        return top(stream.log_probabilities, self.vocabulary_, k)

    def complete(
        self,
        prefix: Prefix = "",
        length: int = 100,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> str:
        """Go on after a prefix.

        Args:
            prefix: where to begin.
            length: symbols to add; fewer if the sequence ends.
            temperature: 0 always takes the likeliest, 1 draws as learned, more is wilder.
            top_k, top_p: draw among the k likeliest, or among the fewest whose probabilities reach p.
            seed: of the draws.

        Returns:
            The prefix and what follows; characters side by side, words and items with a space between.
        """
        sampling = Sampling(temperature, top_k, top_p)
        check_sampling(sampling)
        if not 0 <= length <= LONGEST:
            raise ConfigError(f"length={length}: must lie between 0 and {LONGEST:,} symbols")
        if seed < 0:
            raise ConfigError(f"seed={seed}: must be a whole number of at least 0")
        stream = self.stream(prefix)
        if stream.log_probabilities is None and length:
            raise DataError("prefix: is empty, and a model of one text knows no beginning; give at least one symbol")
        added: Sequence[int] = ()
        if length and stream.log_probabilities is not None:
            end = self.vocabulary_.end_code if self.vocabulary_.end else -1
            uniforms = np.random.default_rng(seed).random(length)
            first = pick(stream.log_probabilities, float(uniforms[0]), sampling)
            if first != end:
                added = [first, *generate(self.engine_, stream.state, first, uniforms[1:], end, sampling).tolist()]
        glue = "" if self.vocabulary_.tokens == "chars" else " "
        return glue.join([*self.vocabulary_.cut(prefix), *map(self.vocabulary_.name, added)])

    def score(self, sequence: Prefix) -> Surprise:
        """The surprise of each symbol of one sequence, in bits, and of the whole."""
        corpus = self._read([sequence] if self.vocabulary_.end else sequence)
        told = tell(self.engine_, *corpus.steps(), unseen=self._unseen)
        bits = told.surprise / np.log(2)
        symbols = self.vocabulary_.cut(sequence)
        if self.vocabulary_.end:
            return Surprise((*symbols, "<end>"), bits, float(bits.sum()))
        return Surprise(tuple(symbols), np.concatenate([[np.nan], bits])[: len(symbols)], float(bits.sum()))

    def surprise(self, sequences: Source) -> list[Array]:
        """The surprise of every symbol of many sequences in bits: [N] of each, as `score` gives it."""
        told, offsets = self._told(sequences)
        return np.split(told.surprise / np.log(2), offsets[1:-1])

    def stream(self, prefix: Prefix = "") -> NamedStream:
        """A sequence that goes on: `push(symbol)` costs the same however much came before."""
        self._check_fitted()
        stream = NamedStream(self.engine_, self.vocabulary_, self._unseen)
        if self.vocabulary_.end:
            stream.push_code(self.vocabulary_.end_code)
        codes = self.vocabulary_.encode(prefix)
        if len(codes):
            hidden, stream.state = self.engine_.run(codes[None], stream.state)
            stream.log_probabilities = self.engine_.log_probabilities(hidden[0, -1])
        return stream

    def hidden_states(self, sequence: Prefix) -> Array:
        """The last layer's hidden state after each symbol: [T, D]."""
        return self.look(sequence).hidden

    def look(self, sequence: Prefix, k: int = 3) -> Look:
        """Hidden units through time, the most telling first, and what the network expected at each step.

        A unit tells the more, the more its movement moves the predictions: its deviation over time times the length
        of its column in the head.
        """
        self._check_fitted()
        engine, vocabulary = self.engine_, self.vocabulary_
        codes = vocabulary.encode(sequence)
        if not len(codes):
            raise DataError("sequence: is empty; give at least one symbol to look at")
        state = engine.run(np.array([[vocabulary.end_code]]))[1] if vocabulary.end else None
        hidden = engine.run(codes[None], state)[0][0]
        telling = hidden.std(axis=0) * np.linalg.norm(engine.head, axis=0)
        expected = tuple(tuple(top(row, vocabulary, k)) for row in engine.log_probabilities(hidden))
        return Look(tuple(vocabulary.cut(sequence)), hidden, np.argsort(-telling, kind="stable"), expected)

    def calibrate(self, clean: Source) -> Self:
        """Learn from clean sequences how surprising normal ones are; `fit` does it with its held-back part."""
        self.clean_ = sequence_scores(*self._told(clean))
        return self

    def anomalies(
        self,
        sequences: Source,
        *,
        false_alarms: float = 0.01,
        top_g: int | None = None,
        level: float | None = None,
    ) -> Anomalies:
        """Which sequences are not like those learned, and where.

        Args:
            sequences: several sequences.
            false_alarms: share of clean sequences that may raise an alarm; the level follows by conformal calibration.
            top_g: alarm instead where a symbol is not among the g likeliest.
            level: alarm instead where the score exceeds this many bits.

        Raises:
            ConfigError: more than one rule, or too few clean sequences to calibrate so rare an alarm.
        """
        told, offsets = self._told(sequences)
        return find_anomalies(told, offsets, self.clean_, false_alarms=false_alarms, top_g=top_g, level=level)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one file; see `store.save`."""
        self._check_fitted()
        config = {
            "kind": "symbols",
            "params": self.get_params(),
            "vocabulary": asdict(self.vocabulary_),
            "shape": asdict(self.shape_),
            "n_symbols": self.n_symbols_,
            "scores": self.scores_.to_json() if self.scores_ else None,
            "stopped": self.stopped_,
        }
        store.save(path, {**self.weights_, "calibration": self.clean_}, config)

    def _split(self, corpus: Corpus, validation: Source | None) -> tuple[Corpus, Corpus | None, Corpus | None]:
        """The part to learn from, the part that stops the training, the part to score."""
        if validation is not None:
            held = read_corpus(validation, vocabulary=corpus.vocabulary)
            train = corpus
        else:
            if self.holdout is not None and not 0 < self.holdout < 1:
                raise ConfigError(f"holdout={self.holdout!r}: must lie in (0, 1), or be None")
            units = corpus.n_sequences if corpus.vocabulary.end else len(corpus.codes)
            most = HELD_BACK * units / max(len(corpus.codes), 1)
            kept = units - round(min(units * (self.holdout or 0), most))
            if self.holdout is None or is_word(corpus) or units - kept < 4:
                return corpus, None, None
            # The vocabulary is the training part's own: what only the held-back part has is unseen.
            train = _own_vocabulary(corpus.part(0, kept), self.max_symbols)
            held = read_corpus(corpus.part(kept, units), vocabulary=train.vocabulary)
        units = held.n_sequences if held.vocabulary.end else len(held.codes)
        if units < 4:
            raise DataError(f"validation: {units} are too few; give at least 4 sequences or symbols, or none")
        return train, held.part(0, units // 2), held.part(units // 2, units)

    def _count(self, train: Corpus, stop: Corpus | None) -> NGrams:
        """N-grams of the order that foresees best what was held back, or else the last tenth of the training part."""
        counted = count_ngrams(_last(train, COUNTED))
        if stop is None:
            units = train.n_sequences if train.vocabulary.end else len(train.codes)
            if is_word(train) or units < 10:
                return counted
            cut = units - max(1, min(units // 10, HELD_BACK))
            before, stop = _last(train.part(0, cut), COUNTED), train.part(cut, units)
            return counted.at(best_order(count_ngrams(before), stop, unseen=self._unseen).order)
        return best_order(counted, stop, unseen=self._unseen)

    def _settle(self, weights: Mapping[str, Array]) -> None:
        self.weights_ = dict(weights)
        self.engine_ = Engine.build(self.shape_, weights)

    @property
    def _unseen(self) -> float:
        """Surprise in nats of a symbol that never came: as if seen once in one symbol more."""
        return float(np.log(self.n_symbols_ + 1))

    def _read(self, sequences: Source) -> Corpus:
        self._check_fitted()
        return read_corpus(sequences, vocabulary=self.vocabulary_)

    def _told(self, sequences: Source) -> tuple[Told, Array]:
        corpus = self._read(sequences)
        steps = corpus.steps()
        return tell(self.engine_, *steps, unseen=self._unseen), steps[2]

    def _check_fitted(self) -> None:
        if not hasattr(self, "engine_"):
            raise NotFittedError("SymbolModel: not fitted yet; call fit() first, or load a saved model")


def load_symbols(tensors: Mapping[str, Array], config: Mapping[str, Any]) -> SymbolModel:
    """A model from what `store.load` read."""
    try:
        model = SymbolModel(**config["params"])
        stored = config["vocabulary"]
        model.vocabulary_ = Vocabulary(tuple(stored["symbols"]), stored["tokens"], stored["end"], stored["rare"])
        model.shape_ = Shape(**config["shape"])
        model.n_symbols_, model.stopped_ = config["n_symbols"], config["stopped"]
        model.scores_, model.verdict_ = scores_from_json(config["scores"])
        model.clean_ = tensors["calibration"]
        model._settle({name: array for name, array in tensors.items() if name != "calibration"})
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"model file: its configuration is not a SymbolModel's ({error}); train anew") from error
    return model


def _own_vocabulary(part: Corpus, max_symbols: int) -> Corpus:
    """The same symbols, numbered anew in order of their first appearance in this part."""
    old = part.vocabulary
    seen, first = np.unique(part.codes, return_index=True)
    order = [int(code) for code in seen[np.argsort(first)] if code < len(old.symbols)]
    if order == list(range(len(old.symbols))):
        return part
    new = Vocabulary(tuple(old.symbols[code] for code in order), old.tokens, old.end, old.rare)
    return read_corpus(part, vocabulary=new)


def _last(corpus: Corpus, most: int) -> Corpus:
    """The last sequences, or the tail of one text, with about so many symbols."""
    if len(corpus.codes) <= most:
        return corpus
    if not corpus.vocabulary.end:
        return corpus.part(len(corpus.codes) - most, len(corpus.codes))
    first = int(np.searchsorted(corpus.offsets, len(corpus.codes) - most))
    return corpus.part(min(first, corpus.n_sequences - 1), corpus.n_sequences)


def _both(first: Corpus, second: Corpus) -> Corpus:
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    return Corpus(np.concatenate([first.codes, second.codes]), offsets, first.vocabulary)
