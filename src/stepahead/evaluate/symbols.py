"""How well symbols were foreseen, and whether that beats counting.  Told -> SymbolScores, SymbolVerdict.

Legend: N steps, S sequences, R resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.evaluate.significance import SIGNIFICANT, p_words
from stepahead.runtime.symbols import Told

Array = NDArray[Any]

BLOCK = 500  # steps of one text that are resampled together: what stands close by is not independent
RESAMPLES = 2000
METRICS = ("nats", "bits", "perplexity", "top1", "top3", "top5", "macro_f1")


@dataclass(frozen=True)
class SymbolScores:
    """Means over all symbols that were asked for, the end of each sequence included if it was.

    nats, bits: surprise a symbol. perplexity: exp(nats). top1, top3, top5: share whose symbol was among the likeliest.
    macro_f1: mean over the symbols that occur or were said, each counting the same. most_frequent: share of the most
    frequent symbol, which always saying it would get right. n: symbols asked for. baselines: the same metrics of the
    best n-grams and of the most frequent symbol, where the counts are at hand (a model file holds none).
    """

    nats: float
    bits: float
    perplexity: float
    top1: float
    top3: float
    top5: float
    macro_f1: float
    most_frequent: float
    n: int
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    verdict: "SymbolVerdict | None" = None

    def to_json(self) -> dict[str, Any]:
        """Numbers and words that JSON can hold."""
        scores: dict[str, Any] = {name: getattr(self, name) for name in (*METRICS, "most_frequent", "n")}
        scores["baselines"] = {name: dict(of) for name, of in self.baselines.items()}
        if self.verdict is not None:
            v = self.verdict
            scores |= {"verdict": v.sentence, "beats": v.beats, "skill": v.skill, "p_value": v.p_value}
            scores |= {"interval": list(v.interval), "baseline": v.baseline}
        return scores


@dataclass(frozen=True)
class SymbolVerdict:
    """Does the network foresee better than counting?

    sentence: the answer in words, also `str(verdict)`. beats: skill above 0 and p below .05. skill: 1 - nats / nats of
    the n-grams. p_value: two-sided, paired bootstrap. interval: 95 % of the difference in nats (negative: better).
    """

    sentence: str
    beats: bool
    skill: float
    p_value: float
    interval: tuple[float, float]
    baseline: str

    def __str__(self) -> str:
        return self.sentence


def scores_from_json(stored: Mapping[str, Any] | None) -> tuple[SymbolScores | None, SymbolVerdict | None]:
    """What `SymbolScores.to_json` gave, as it was."""
    if stored is None:
        return None, None
    words = {name: stored[name] for name in ("beats", "skill", "p_value", "interval", "baseline")}
    words["interval"] = tuple(words["interval"])
    verdict = SymbolVerdict(sentence=stored["verdict"], **words)
    rest = {name: value for name, value in stored.items() if name not in (*words, "verdict")}
    return SymbolScores(**rest, verdict=verdict), verdict


def score_symbols(told: Told, targets: Array, asked: Array) -> SymbolScores:
    """Scores over the steps that were asked for.

    targets: [N] codes. asked: [N] bool.
    """
    surprise, rank = told.surprise[asked], told.rank[asked]
    nats = float(surprise.mean())
    return SymbolScores(
        nats=nats,
        bits=nats / float(np.log(2)),
        perplexity=float(np.exp(min(nats, 700.0))),
        top1=float((rank < 1).mean()),
        top3=float((rank < 3).mean()),
        top5=float((rank < 5).mean()),
        macro_f1=macro_f1(targets[asked], told.best[asked]),
        most_frequent=float(np.bincount(targets[asked].astype(np.int64)).max() / asked.sum()),
        n=int(asked.sum()),
    )


def of_metrics(scores: SymbolScores) -> dict[str, float]:
    """The metrics of scores by name, without baselines and verdict."""
    return {name: getattr(scores, name) for name in METRICS}


def rows_of(name: str, scores: SymbolScores) -> tuple[list[str], list[list[Any]]]:
    """Scores beside their baselines as a table: its header and its rows.  name: of the model."""
    rows = {name: of_metrics(scores), **scores.baselines}
    return ["model", *METRICS], [[who, *(of[metric] for metric in METRICS)] for who, of in rows.items()]


def ngram_name(order: int) -> str:
    """What counting up to `order` symbols is called."""
    return f"{order}-gram" if order > 1 else "most frequent symbol"


def macro_f1(targets: Array, said: Array) -> float:
    """Mean of the F1 of every symbol that occurs or was said; targets, said: [N] codes."""
    size = int(max(targets.max(), said.max())) + 1
    claims = [np.bincount(codes.astype(np.int64), minlength=size) for codes in (targets, said)]
    right = np.bincount(targets[targets == said].astype(np.int64), minlength=size)
    either = claims[0] + claims[1]
    return float((2 * right[either > 0] / either[either > 0]).mean())


def judge_symbols(
    told: Told, baseline: Told, offsets: Array, asked: Array, *, name: str, order: int, seed: int = 0
) -> SymbolVerdict:
    """Compare two accounts of the same symbols.

    offsets: [S+1] starts of the sequences, which are resampled whole; one text is resampled in blocks of 500 steps.
    name: of the network, such as "GRU". order: of the n-grams.
    """
    differences = np.where(asked, told.surprise, 0) - np.where(asked, baseline.surprise, 0)
    difference, counts = _by_unit(differences, offsets, asked)
    p_value, interval = paired_bootstrap(difference, counts, seed=seed)
    ours, theirs = (float(one.surprise[asked].mean()) for one in (told, baseline))
    skill = 1 - ours / theirs if theirs > 0 else 0.0
    other = ngram_name(order)
    sure = p_value < SIGNIFICANT
    if skill > 0:
        word = "foresees better than counting" if sure else "is ahead of counting, but that may be luck"
    else:
        word = "is worse than counting" if sure and skill < 0 else "does not beat counting"
    figures = f"{ours:.3f} nats a symbol against {theirs:.3f} of the {other} ({skill:+.1%}, {p_words(p_value)})"
    sentence = f"{name} {word}: {figures}."
    return SymbolVerdict(sentence, bool(skill > 0 and sure), skill, p_value, interval, other)


def paired_bootstrap(difference: Array, counts: Array, *, seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Is the mean difference a symbol other than 0?

    difference: [S] summed over each unit. counts: [S] symbols of each unit.
    Returns: two-sided p (1 where nothing differs or there are fewer than 2 units) and the 95 % interval of the mean.
    Source: Efron and Tibshirani 1993; Koehn 2004 for the paired form.
    """
    mean = float(difference.sum() / counts.sum())
    if len(difference) < 2 or not np.any(difference):
        return 1.0, (mean, mean)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = rng.integers(len(counts), size=len(counts))
        means[i] = difference[drawn].sum() / counts[drawn].sum()
    tail = min(float((means <= 0).mean()), float((means >= 0).mean()))
    low, high = np.quantile(means, [0.025, 0.975])
    # One is added: a p of 0 would claim more than so many resamples can show.
    return float(min(1.0, 2 * (tail * RESAMPLES + 1) / (RESAMPLES + 1))), (float(low), float(high))


def _by_unit(values: Array, offsets: Array, asked: Array) -> tuple[Array, Array]:
    """Sums and counts of the asked steps, by sequence, or by block where there is but one."""
    if len(offsets) == 2:
        offsets = np.append(np.arange(0, len(values), BLOCK), len(values))
    unit = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[asked]
    sums = np.bincount(unit, weights=values[asked], minlength=len(offsets) - 1)
    counts = np.bincount(unit, minlength=len(offsets) - 1)
    return sums[counts > 0], counts[counts > 0]
