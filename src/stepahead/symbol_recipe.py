"""What "auto" means for symbols.  A SymbolModel's parameters and a Corpus -> Shape and SymbolPlan, nothing left open.

Three sizes. A word (below 500 symbols): one-hot, full batch, 300 steps, no part held back. Sequences and texts: an
embedding, one cycle of AdamW, the running mean of the weights, stopped on held-back symbols.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stepahead.cell_names import GATES
from stepahead.data.symbols import Corpus
from stepahead.errors import ConfigError
from stepahead.parameters import check_whole
from stepahead.runtime.symbols import Shape

MOST_ONE_HOT = 4096  # symbols: their identity matrix takes 64 MiB
WORD = 500  # symbols up to which a corpus is learned by heart


@dataclass(frozen=True)
class SymbolPlan:
    """How the training goes.

    epochs: passes over the symbols. rows: sequences side by side. window: steps that gradients reach back.
    learning_rate: its peak, of one cycle over all steps. patience: epochs without a gain on the held-back part before
    stopping, None where none is held back. average: weight of the past in the running mean of the weights, which is
    what is kept (0: the last weights). unseen: fraction of symbols hidden from the input in training. untimed: fraction
    of sequences whose times are hidden in it from some step on. clip: largest norm of the gradient. good: a loss in
    nats below which no restart is needed; restarts: how often to begin anew otherwise, the best is kept.
    """

    epochs: int
    rows: int
    window: int
    learning_rate: float
    weight_decay: float = 0.0
    patience: int | None = None
    average: float = 0.0
    unseen: float = 0.0
    untimed: float = 0.1
    clip: float = 1.0
    good: float = float("inf")
    restarts: int = 0
    seed: int = 0


def is_word(corpus: Corpus) -> bool:
    """Whether a corpus is too small to hold anything back."""
    return len(corpus.codes) < WORD


def reads_times(times: bool | str, corpus: Corpus) -> bool:
    """Whether the network reads when symbols came.

    Raises: ConfigError for what is no choice, or where times are asked for and there are none.
    """
    if times not in (True, False, "auto"):
        raise ConfigError(f"times={times!r}: must be True, False or auto")
    if times is True and corpus.gaps is None:
        raise ConfigError("times=True: the sequences carry no times; read them with read_events(..., time=...)")
    return times is True or (times == "auto" and corpus.gaps is not None and not is_word(corpus))


def resolve(parameters: Mapping[str, Any], corpus: Corpus, times: int = 0) -> tuple[Shape, SymbolPlan]:
    """Fill in every "auto".

    times: buckets of time that the network reads beside each symbol.

    Raises:
        ConfigError: an unknown cell, or a number that cannot be.
    """
    small = is_word(corpus)
    steps = len(corpus.codes) + corpus.n_sequences
    vocabulary = corpus.vocabulary
    auto: dict[str, Any] = (
        {"cell": "rnn", "hidden_size": 16, "embedding": 0, "dropout": 0.0, "epochs": 300, "learning_rate": 0.1}
        if small
        else {
            # On held-back cases of an event log an LSTM that reads times was ahead of a GRU by .005 nats.
            "cell": "lstm" if times else "gru",
            "hidden_size": 64 if steps < 30_000 else 128 if steps < 100_000 else 256,
            "embedding": 32 if vocabulary.unseen < 200 else 64 if vocabulary.unseen < 5000 else 128,
            "dropout": 0.2 if steps < 1_000_000 else 0.1,
            "epochs": int(min(40, max(3, (3_400_000 if vocabulary.end else 14_000_000) // steps))),
            "learning_rate": 5e-3,
        }
    )
    auto |= {"num_layers": 1, "batch_size": _rows(corpus, small), "window": 64 if not vocabulary.end else 256}
    chosen = {name: value if parameters[name] == "auto" else parameters[name] for name, value in auto.items()}
    _check(chosen)
    check_whole(ensemble=(parameters["ensemble"], 1), seed=(parameters["seed"], 0))
    shape = Shape(
        cell=chosen["cell"],
        inputs=vocabulary.unseen,
        classes=vocabulary.classes,
        hidden_size=chosen["hidden_size"],
        num_layers=chosen["num_layers"],
        embedding=chosen["embedding"],
        tied=parameters["tied"],
        dropout=float(chosen["dropout"]),
        times=times,
    )
    if shape.tied and not shape.embedding:
        raise ConfigError("tied=True: needs an embedding to be tied to; pass embedding=64, say")
    if not shape.embedding and shape.inputs > MOST_ONE_HOT:
        raise ConfigError(
            f"embedding=0: one-hot is for up to {MOST_ONE_HOT:,} symbols, found {shape.inputs:,};"
            " pass embedding=64, say"
        )
    plan = SymbolPlan(
        epochs=chosen["epochs"],
        rows=chosen["batch_size"],
        window=chosen["window"],
        learning_rate=float(chosen["learning_rate"]),
        weight_decay=0.0 if small else 0.01,
        average=0.0 if small else 0.998,
        # Few held-back sequences tell a pause from the end only after a while.
        patience=None if small else 6 if steps < 30_000 else 3,
        good=0.05 if small else float("inf"),
        restarts=3 if small else 0,
        seed=parameters["seed"],
    )
    return shape, plan


def _rows(corpus: Corpus, small: bool) -> int:
    """Sequences side by side: 64 streams of one text; of sequences about 1,500 symbols, fewer where they are few."""
    if small:
        return max(corpus.n_sequences, len(corpus.codes) // 64, 1)
    steps = len(corpus.codes) + corpus.n_sequences
    if not corpus.vocabulary.end:
        return min(64, max(1, steps // 2000))
    return int(min(256, max(8, min(1500, steps / 40) / (steps / corpus.n_sequences))))


def _check(chosen: Mapping[str, Any]) -> None:
    if chosen["cell"] not in GATES:
        raise ConfigError(f"cell={chosen['cell']!r}: must be one of {', '.join(GATES)}, or auto")
    for name in ("hidden_size", "num_layers", "epochs", "batch_size", "window", "embedding"):
        least = 0 if name == "embedding" else 1
        value = chosen[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name}={value!r}: must be a whole number of at least {least}, or auto")
    if not 0 <= chosen["dropout"] < 1:
        raise ConfigError(f"dropout={chosen['dropout']!r}: must lie in [0, 1)")
    if not 0 < chosen["learning_rate"] < 100:
        raise ConfigError(f"learning_rate={chosen['learning_rate']!r}: must be above 0 and below 100")
