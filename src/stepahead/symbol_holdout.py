"""What a SymbolModel keeps back and what it counts.  Corpus -> the parts that train, stop and score; n-grams."""

from dataclasses import dataclass

import numpy as np

from stepahead.data.symbols import Corpus, Source, Vocabulary, read_corpus
from stepahead.errors import ConfigError, DataError
from stepahead.evaluate.ngrams import NGrams, best_order, count_ngrams
from stepahead.parameters import is_number
from stepahead.symbol_recipe import is_word

HELD_BACK = 400_000  # symbols held back at most: more would not make the scores any surer
CHUNK = 1 << 22
CALIBRATED = 2000  # held-back sequences that set the level of alarms at most: it then errs by .2 points at 1 %
COUNTED = 2_000_000  # symbols that n-grams are counted over at most, the last ones: their memory grows with each


@dataclass(frozen=True)
class Parts:
    """train: to learn from. stop: ends the training, or None. rest: is scored, or None.

    turned: whether the networks of an ensemble take turns at what ends their training.
    """

    train: Corpus
    stop: Corpus | None = None
    rest: Corpus | None = None
    turned: bool = False

    @property
    def learned(self) -> Corpus:
        """All that any network learns from."""
        return both(self.train, self.stop) if self.turned and self.stop is not None else self.train

    def of_members(self, ensemble: int) -> list[tuple[Corpus, Corpus | None]]:
        """What each network learns from, and what ends its training.

        If turned, of each another part of the same size ends it: so the networks differ by more than their seed, and
        together they learn from all. Source: the ensembles of Krogh and Vedelsby 1995.
        """
        if not self.turned or self.stop is None:
            return [(self.train, self.stop)] * ensemble
        whole, size = self.learned, self.stop.n_sequences
        units = whole.n_sequences
        ends = [units - round((units - size) * m / ensemble) for m in range(ensemble)]
        return [(both(whole.part(0, e - size), whole.part(e, units)), whole.part(e - size, e)) for e in ends]

    @property
    def clean(self) -> Corpus | None:
        """What no network learned from, to calibrate with: the last sequences, or the tail of one text."""
        if self.stop is None or self.rest is None or not self.rest.vocabulary.end:
            return self.rest
        kept = self.rest if self.turned else both(self.stop, self.rest)
        return kept.part(max(kept.n_sequences - CALIBRATED, 0), kept.n_sequences)

    def count(self, *, unseen: float) -> NGrams:
        """N-grams of what was learned, of the order that foresees best what ends the training."""
        best = count_best(self.train, self.stop, unseen=unseen)
        return count_ngrams(_last(self.learned, COUNTED)).at(best.order) if self.turned else best


def split(corpus: Corpus, validation: Source | None, *, holdout: float | None, ensemble: int = 1) -> Parts:
    """The parts of a corpus; a validation of the caller's choice ends the training of all networks, and is scored."""
    if validation is not None:
        held = read_corpus(validation, vocabulary=corpus.vocabulary)
        units = held.n_sequences if held.vocabulary.end else len(held.codes)
        if units < 4:
            raise DataError(f"validation: {units} are too few; give at least 4 sequences or symbols, or none")
        return Parts(corpus, held.part(0, units // 2), held.part(units // 2, units))
    if holdout is not None and not (is_number(holdout) and 0 < holdout < 1):
        raise ConfigError(f"holdout={holdout!r}: must lie in (0, 1), or be None")
    units = corpus.n_sequences if corpus.vocabulary.end else len(corpus.codes)
    most = HELD_BACK * units / max(len(corpus.codes), 1)
    kept = units - round(min(units * (holdout or 0), most))
    if holdout is None or is_word(corpus) or units - kept < 4:
        return Parts(corpus)
    turned = ensemble > 1 and corpus.vocabulary.end
    middle = kept + (units - kept) // 2
    # The vocabulary is that of what is learned: what only the other parts have is unseen.
    own = _own_vocabulary(corpus.part(0, middle if turned else kept))
    stop, rest = (read_corpus(corpus.part(*of), vocabulary=own.vocabulary) for of in ((kept, middle), (middle, units)))
    return Parts(own.part(0, kept), stop, rest, turned)


def count_best(train: Corpus, stop: Corpus | None, *, unseen: float) -> NGrams:
    """N-grams of the order that foresees best what was held back, or else the last tenth of the training part."""
    counted = count_ngrams(_last(train, COUNTED))
    if stop is None:
        units = train.n_sequences if train.vocabulary.end else len(train.codes)
        if is_word(train) or units < 10:
            return counted
        cut = units - max(1, min(units // 10, HELD_BACK))
        before, stop = _last(train.part(0, cut), COUNTED), train.part(cut, units)
        return counted.at(best_order(count_ngrams(before), stop, unseen=unseen).order)
    return best_order(counted, stop, unseen=unseen)


def _own_vocabulary(part: Corpus) -> Corpus:
    """The same symbols, numbered anew in order of their first appearance in this part."""
    old = part.vocabulary
    known, order = np.zeros(len(old.symbols) + 2, bool), list[int]()
    for start in range(0, len(part.codes), CHUNK):  # a sort of the whole would hold 8 bytes and more a symbol
        piece = part.codes[start : start + CHUNK]
        fresh, first = np.unique(piece[~known[piece]], return_index=True)
        known[fresh] = True
        order += [int(code) for code in fresh[np.argsort(first)] if code < len(old.symbols)]
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


def both(first: Corpus, second: Corpus) -> Corpus:
    """The sequences of one and then of the other."""
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    gaps = None
    if first.gaps is not None and second.gaps is not None:
        gaps = np.concatenate([first.gaps, second.gaps])
    return Corpus(np.concatenate([first.codes, second.codes]), offsets, first.vocabulary, gaps=gaps)
