"""The facade for symbols: learn from text, lines or event logs, then say what comes next.

Training is PyTorch (`nn.symbols`); everything after it runs without (`runtime.symbols`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stepahead import store
from stepahead.choices import column_name
from stepahead.data.gaps import bucket_count, buckets, fit_edges, gaps_of, moment
from stepahead.data.symbols import MAX_SYMBOLS, Corpus, Source, read_corpus
from stepahead.errors import ConfigError, DataError, NotFittedError, require
from stepahead.evaluate.symbols import (
    SymbolScores,
    judge_symbols,
    ngram_name,
    of_metrics,
    score_symbols,
)
from stepahead.parameters import Parameters, check_whole
from stepahead.runtime.anomalies import Anomalies, find_anomalies, outranked
from stepahead.runtime.repairs import Repair, best_repairs
from stepahead.runtime.symbol_ensemble import build_reader, join_members
from stepahead.runtime.symbols import Sampling, Told, check_sampling, tell
from stepahead.symbol_holdout import split
from stepahead.symbol_recipe import reads_times, resolve
from stepahead.symbol_stream import Look, NamedStream, Surprise, go_on, look_inside, top

Array = NDArray[Any]
Prefix = str | Sequence[Any]
Times = Sequence[Any]  # a stamp, a number or None for each symbol
Steps = tuple[Array, Array, Array]  # inputs [N], targets [N], offsets [S+1]

LONGEST = 1_000_000  # symbols that one call completes at most


class SymbolModel(Parameters):
    """Predict the next symbol of a sequence with a recurrent network.

    Args:
        cell: "rnn", "rnn_relu", "lstm", "gru", or "auto".
        hidden_size, num_layers: of the recurrent stack.
        dropout: in [0, 1), on the symbols' embeddings, between layers, and on what the head reads.
        embedding: width of the vector of a symbol, 0 for one-hot.
        tied: predict with the embedding's own vectors.
        tokens: "chars" or "words", how texts are cut; lists of symbols are taken as they are.
        max_symbols: so many of the most frequent symbols are kept, the rest counts as unseen.
        epochs, learning_rate, batch_size, window: of the training; "auto" fits them to the data.
        times: whether to read the time since the symbol before, too: True, False, or "auto": of events
            that were read with a time column, if there are 500 or more.
        ensemble: networks that differ by seed; their probabilities are averaged. 5 pays where there is little data.
        holdout: fraction that is held back (of one text, its tail; of sequences, the last ones; at most 400,000
            symbols): one half stops the training, the other is scored beside n-grams. None trains on all.
        seed: the same seed gives the same model, bit for bit, on CPU.

    Attributes:
        vocabulary_: the Vocabulary. shape_: the resolved network. weights_: arrays by name. edges_: bounds between the
            buckets of time that are read, or None. history_: (step, loss, validation) of each epoch, of one network of
            an ensemble after another.
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
        times: bool | str = "auto",
        ensemble: int = 1,
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
        self.times = times
        self.ensemble = ensemble
        self.holdout = holdout
        self.seed = seed

    @property
    def name(self) -> str:
        """The cell in capitals."""
        return column_name(self.shape_.cell if hasattr(self, "shape_") else self.cell)

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
        from stepahead.nn.symbols import learn_members

        check_whole(ensemble=(self.ensemble, 1))
        corpus = read_corpus(sequences, tokens=self.tokens, max_symbols=self.max_symbols)
        if len(corpus.steps()[1]) < 1 or not len(corpus.codes):
            raise DataError(f"text: {len(corpus.codes)} symbols are too few to learn from; give at least two")
        parts = split(corpus, validation, holdout=self.holdout, ensemble=self.ensemble)
        train = parts.train
        edges = fit_edges(train.gaps) if reads_times(self.times, train) and train.gaps is not None else None
        shape, plan = resolve(self.get_params(), train, 0 if edges is None else bucket_count(edges))
        if parts.stop is None and plan.patience is not None:
            plan = replace(plan, patience=None)
        members = [
            (of if edges is None else of.timed(edges), until if until is None or edges is None else until.timed(edges))
            for of, until in parts.of_members(self.ensemble)
        ]
        learned = learn_members(shape, members, plan, progress)
        self.vocabulary_, self.shape_, self.edges_ = train.vocabulary, shape, edges
        self.n_symbols_ = len(parts.learned.codes)
        self.history_, self.stopped_ = list(chain(*(one.history for one in learned))), learned[-1].stopped
        self._settle(join_members([one.weights for one in learned]))
        self.ngrams_ = parts.count(unseen=self._unseen)
        self.clean_ = np.empty(0)
        self.scores_, self.verdict_ = None, None
        if parts.rest is not None and parts.clean is not None:
            self.scores_ = self.evaluate(parts.rest)
            self.verdict_ = self.scores_.verdict
            self.calibrate(parts.clean)
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
        check_whole(skip=(skip, 0))
        corpus = self._read(sequences)
        inputs, targets, offsets = self._steps(corpus)
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

    def next(self, prefix: Prefix = "", k: int | None = None, *, times: Times | None = None) -> list[tuple[str, float]]:
        """The likeliest next symbols after a prefix, with their probabilities.

        Args:
            prefix: text, or a list of symbols; may be empty where sequences have an end.
            k: how many; None gives all.
            times: when each symbol of the prefix came, as `stream` takes them.
        """
        stream = self.stream(prefix, times=times)
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
        times: Times | None = None,
    ) -> str:
        """Go on after a prefix. When the symbols that are added come is not known, and is read as that.

        Args:
            prefix: where to begin.
            length: symbols to add; fewer if the sequence ends.
            temperature: 0 always takes the likeliest, 1 draws as learned, more is wilder.
            top_k, top_p: draw among the k likeliest, or among the fewest whose probabilities reach p.
            seed: of the draws.
            times: when each symbol of the prefix came, as `stream` takes them.

        Returns:
            The prefix and what follows; characters side by side, words and items with a space between.
        """
        sampling = Sampling(temperature, top_k, top_p)
        check_sampling(sampling)
        check_whole(length=(length, 0), seed=(seed, 0))
        if length > LONGEST:
            raise ConfigError(f"length={length}: must be at most {LONGEST:,} symbols")
        added = go_on(self.stream(prefix, times=times), length, sampling, seed)
        glue = "" if self.vocabulary_.tokens == "chars" else " "
        return glue.join([*self.vocabulary_.cut(prefix), *map(self.vocabulary_.names.__getitem__, added)])

    def score(self, sequence: Prefix, *, times: Times | None = None) -> Surprise:
        """The surprise of each symbol of one sequence, in bits, and of the whole; times as `stream` takes them."""
        self._check_fitted()
        symbols = self.vocabulary_.cut(sequence)
        corpus = self._read([symbols] if self.vocabulary_.end else sequence)
        if times is not None:
            corpus = replace(corpus, gaps=self._gaps(times, corpus.codes)[0])
        told = tell(self.engine_, *self._steps(corpus), unseen=self._unseen)
        bits = told.surprise / np.log(2)
        if self.vocabulary_.end:
            return Surprise((*symbols, "<end>"), bits, float(bits.sum()))
        return Surprise(tuple(symbols), np.concatenate([[np.nan], bits])[: len(symbols)], float(bits.sum()))

    def surprise(self, sequences: Source) -> list[Array]:
        """The surprise of every symbol of many sequences in bits: [N] of each, as `score` gives it.

        Of one text nothing foresees the first symbol, which is left out here.
        """
        told, (_, _, offsets) = self._told(sequences)
        return np.split(told.surprise / np.log(2), offsets[1:-1])

    def stream(self, prefix: Prefix = "", *, times: Times | None = None) -> NamedStream:
        """A sequence that goes on: `push(symbol, time)` costs the same however much came before.

        times: when each symbol of the prefix came, for a model that reads times: stamps, or numbers in the unit of the
            time column (for stamps: seconds since 1970), None for one that is not known. None: no time is known.
        """
        self._check_fitted()
        stream = NamedStream(self.engine_, self.vocabulary_, self._unseen, self.edges_)
        if self.vocabulary_.end:
            stream.push_code(self.vocabulary_.end_code)
        codes = self.vocabulary_.encode(prefix)
        if times is not None:
            gaps, edges = self._gaps(times, codes)
            codes = codes + buckets(gaps, edges) * (self.vocabulary_.unseen + 1)
            stream.moment = float("nan") if not len(codes) or times[-1] is None else moment(times[-1])
        if len(codes):
            hidden, stream.state = self.engine_.run(codes[None], stream.state)
            stream.log_probabilities = self.engine_.log_probabilities(hidden[0, -1])
        return stream

    def _gaps(self, times: Times, codes: Array) -> tuple[Array, Array]:
        """The time between the symbols of one sequence, and the edges of its buckets."""
        if self.edges_ is None:
            raise ConfigError("times: the model reads none; leave them out, or fit on events with a time column")
        if len(times) != len(codes):
            raise DataError(f"times: {len(times)} for {len(codes)} symbols; give one each, None where it is not known")
        return gaps_of(times), self.edges_

    def hidden_states(self, sequence: Prefix) -> Array:
        """The last layer's hidden state after each symbol: [T, D]."""
        return self.look(sequence).hidden

    def look(self, sequence: Prefix, k: int = 3) -> Look:
        """Hidden units through time, the most telling first, and what the network expected at each step.

        A unit tells the more, the more its movement moves the predictions: its deviation over time times the length
        of its column in the head. Of an ensemble the first network is shown, and what it alone expected.
        """
        self._check_fitted()
        return look_inside(self.engine_, self.vocabulary_, sequence, k)

    def calibrate(self, clean: Source) -> Self:
        """Learn from clean sequences what repairs save normal ones; `fit` does it with its held-back part."""
        told, steps = self._told(clean)
        self.clean_, _ = self._repairs(told, steps)
        return self

    def anomalies(
        self,
        sequences: Source,
        *,
        false_alarms: float = 0.01,
        top_g: int | None = None,
        level: float | None = None,
    ) -> Anomalies:
        """Which sequences are not like those learned, where, and what would put them right.

        The score of a sequence is what its best repair (a symbol dropped, put in, replaced, or swapped with the next)
        saves of its surprise, less what it takes to name that fault, in bits. Steps are counted from 0; of one text
        from its second symbol on, for nothing foresees the first.

        Args:
            sequences: several sequences.
            false_alarms: share of clean sequences that may raise an alarm; the level follows by conformal calibration.
            top_g: alarm instead where a symbol is not among the g likeliest.
            level: alarm instead where the score exceeds this many bits.

        Raises:
            ConfigError: more than one rule, or too few clean sequences to calibrate so rare an alarm.
            DataError: one text of less than two symbols.
        """
        if top_g is not None and level is not None:
            raise ConfigError("top_g and level are two rules; pass one of them, or neither and false_alarms")
        told, steps = self._told(sequences)
        if not len(steps[1]):
            raise DataError("text: nothing foresees its first symbol; give at least two")
        if top_g is not None:
            return outranked(told, steps[2], top_g)
        score, repairs = self._repairs(told, steps)
        return find_anomalies(told, steps[2], score, repairs, self.clean_, false_alarms=false_alarms, level=level)

    def _repairs(self, told: Told, steps: Steps) -> tuple[Array, list[Repair | None]]:
        """Bits that the best repair of each sequence saves, and that repair, in the names of symbols."""
        end = self.vocabulary_.end_code if self.vocabulary_.end else -1
        nats, found = best_repairs(self.engine_, *steps, told.surprise, end=end, unseen=self._unseen)
        name = self.vocabulary_.name
        return nats / np.log(2), [one and replace(one, symbol=name(int(one.symbol))) for one in found]

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one file; see `store.save`."""
        self._check_fitted()
        from stepahead.symbol_file import pack_symbols

        store.save(path, *pack_symbols(self))

    def _settle(self, weights: Mapping[str, Array]) -> None:
        self.weights_ = dict(weights)
        self.engine_ = build_reader(self.shape_, weights)

    @property
    def _unseen(self) -> float:
        """Surprise in nats of a symbol that never came: as if seen once in one symbol more."""
        return float(np.log(self.n_symbols_ + 1))

    def _read(self, sequences: Source) -> Corpus:
        self._check_fitted()
        return read_corpus(sequences, vocabulary=self.vocabulary_)

    def _steps(self, corpus: Corpus) -> Steps:
        """What the network reads, with times where it reads them, and what it must say."""
        return corpus.steps() if self.edges_ is None else corpus.timed(self.edges_).steps()

    def _told(self, sequences: Source) -> tuple[Told, Steps]:
        steps = self._steps(self._read(sequences))
        return tell(self.engine_, *steps, unseen=self._unseen), steps

    def _check_fitted(self) -> None:
        if not hasattr(self, "engine_"):
            raise NotFittedError("SymbolModel: not fitted yet; call fit() first, or load a saved model")
