"""N-grams, held against a slow count in dictionaries, and the scores and tests that stand beside them."""

from collections import Counter, defaultdict
from unittest.mock import Mock

import numpy as np
import pytest

from stepahead.data.symbols import read_corpus
from stepahead.errors import ConfigError
from stepahead.evaluate.ngrams import best_order, count_ngrams
from stepahead.evaluate.symbols import judge_symbols, macro_f1, paired_bootstrap, score_symbols
from stepahead.runtime.anomalies import conformal_level, find_anomalies, outranked
from stepahead.runtime.repairs import Repair
from stepahead.runtime.symbols import Told

TRAIN = ["banana", "bandana", "anna", "nab", "cab", "ananas"]
TEST = ["banal", "cabana", "", "sax"]


def slow(train: list[str], test: list[str], order: int, classes: int) -> list[float]:
    """Witten-Bell by the formula, one dictionary a context; None is the start and the end."""
    followers: dict[tuple, Counter] = defaultdict(Counter)
    for line in train:
        padded = [None, *line, None]
        for place in range(1, len(padded)):
            for k in range(min(order, place + 1)):
                followers[tuple(padded[place - k : place])][padded[place]] += 1

    def probability(context: tuple, symbol: object) -> float:
        lower = 1 / classes if not context else probability(context[1:], symbol)
        seen = followers.get(context)
        if not seen:
            return lower
        return (seen[symbol] + len(seen) * lower) / (seen.total() + len(seen))

    found = []
    for line in test:
        padded = [None, *line, None]
        for place in range(1, len(padded)):
            found.append(probability(tuple(padded[max(0, place - order + 1) : place]), padded[place]))
    return found


@pytest.mark.parametrize("order", [1, 2, 3, 5, 7])
def test_ngrams_equal_a_slow_count_in_dictionaries(order: int) -> None:
    train = read_corpus(TRAIN)
    test = read_corpus(TEST, vocabulary=train.vocabulary)
    told = count_ngrams(train, 7).at(order).tell(test, unseen=9.0)
    expected = np.array(slow(TRAIN, TEST, order, train.vocabulary.classes))
    _, targets, _ = test.steps()
    known = targets < train.vocabulary.classes
    assert np.exp(-told.surprise[known]) == pytest.approx(expected[known], rel=1e-12)
    assert (told.surprise[~known] == 9.0).all()


def test_probabilities_of_every_step_sum_to_one() -> None:
    train = read_corpus(TRAIN)
    for _, odds in count_ngrams(train, 4).probabilities(read_corpus(TEST, vocabulary=train.vocabulary)):
        assert odds.sum(axis=1) == pytest.approx(np.ones(len(odds)))


def test_one_text_is_counted_without_an_end() -> None:
    train = read_corpus("abab")
    told = count_ngrams(train, 2).tell(train, unseen=9.0)
    # After a: b twice of N + T = 3, the rest from the unigram: b twice in three targets and two kinds, (2 + 2/2) / 5.
    assert np.exp(-told.surprise[0]) == pytest.approx((2 + 1 * 3 / 5) / 3)


def test_the_best_order_is_the_one_that_foresees_held_back_symbols_best() -> None:
    train, held = read_corpus("abcd" * 50), read_corpus("abcd" * 5)
    found = best_order(count_ngrams(train), held, unseen=9.0)
    losses = [count_ngrams(train, k).tell(held, unseen=9.0).surprise.mean() for k in range(1, 8)]
    assert found.order == 1 + int(np.argmin(losses))


def test_surprises_of_all_orders_are_those_told_one_by_one() -> None:
    train = read_corpus(TRAIN)
    test = read_corpus(TEST, vocabulary=train.vocabulary)
    for order, found in enumerate(count_ngrams(train).surprises(test, unseen=9.0), start=1):
        wanted = count_ngrams(train, order).tell(test, unseen=9.0).surprise
        np.testing.assert_allclose(found, wanted, rtol=1e-12, err_msg=str(order))


def told_of(surprise: list[float], rank: list[int] | None = None, best: list[int] | None = None) -> Told:
    zeros = [0] * len(surprise)
    return Told(np.array(surprise), np.array(rank or zeros), np.array(best or zeros))


def test_scores_are_the_means_worked_by_hand() -> None:
    told = told_of([1.0, 2.0, 3.0, 9.0], [0, 2, 4, 0], [0, 0, 1, 1])
    scores = score_symbols(told, np.array([0, 1, 1, 1]), np.array([True, True, True, False]))
    assert scores.nats == 2.0
    assert scores.bits == pytest.approx(2 / np.log(2))
    assert (scores.top1, scores.top3, scores.top5) == pytest.approx((1 / 3, 2 / 3, 1.0))
    assert scores.most_frequent == pytest.approx(2 / 3)
    # Symbol 0: precision 1/2, recall 1. Symbol 1: precision 1, recall 1/2. Both F1 are 2/3.
    assert scores.macro_f1 == pytest.approx(2 / 3)


def test_macro_f1_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    true, said = rng.integers(0, 6, 200), rng.integers(0, 5, 200)
    assert macro_f1(true, said) == pytest.approx(f1_score(true, said, average="macro"))


def test_the_verdict_needs_a_better_score_and_more_than_luck() -> None:
    rng = np.random.default_rng(0)
    base, offsets = rng.uniform(1, 3, 400), np.arange(0, 401, 4)
    asked = np.ones(400, bool)

    def judged(ours: np.ndarray) -> object:
        return judge_symbols(told_of(list(ours)), told_of(list(base)), offsets, asked, name="GRU", order=4)

    better = judged(base - 0.1)
    assert better.beats
    assert "GRU foresees better than counting" in str(better)
    assert "4-gram" in str(better)
    lucky = judged(base + rng.normal(-0.01, 1, 400))
    assert not lucky.beats
    assert not judged(base + 0.1).beats
    assert "worse than counting" in str(judged(base + 0.1))
    same = judged(base)
    assert (same.p_value, same.beats, same.skill) == (1.0, False, 0.0)


def test_a_p_value_is_not_rounded_over_the_border_of_what_it_proves(monkeypatch: pytest.MonkeyPatch) -> None:
    base, offsets = np.full(40, 2.0), np.arange(0, 41, 4)
    for p_value, shown, word in ((0.0496, "p = 0.0496", "better"), (0.0504, "p = 0.05", "luck")):
        monkeypatch.setattr("stepahead.evaluate.symbols.paired_bootstrap", Mock(return_value=(p_value, (0.0, 0.0))))
        ours = told_of(list(base - 0.1))
        found = judge_symbols(ours, told_of(list(base)), offsets, np.ones(40, bool), name="GRU", order=4)
        assert (shown in str(found), word in str(found)) == (True, True)


def test_the_bootstrap_rarely_cries_wolf_where_nothing_differs() -> None:
    rng = np.random.default_rng(1)
    ps = [paired_bootstrap(rng.normal(0, 1, 60), np.ones(60), seed=s)[0] for s in range(100)]
    # 5 of 100 are expected below .05; 14 or more have a chance below 0.1 %.
    assert sum(p < 0.05 for p in ps) < 14


def test_one_clear_difference_is_found() -> None:
    p_value, (low, high) = paired_bootstrap(np.linspace(0.5, 1.5, 40), np.full(40, 2))
    assert p_value < 0.002
    assert low < 0.5 < high


def test_the_conformal_level_keeps_the_false_alarms_asked_for() -> None:
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(300):
        level = conformal_level(rng.normal(size=99), 0.05)
        rates.append((rng.normal(size=200) > level).mean())
    # The mean over calibrations is at most 5 %, and at least 5 % - 1 / 100; 300 draws of 99 deviate by 0.2 points.
    assert 0.04 - 0.006 < np.mean(rates) < 0.05 + 0.006


def test_too_few_clean_sequences_for_so_rare_an_alarm_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes 99 clean sequences to calibrate, found 98"):
        conformal_level(np.zeros(98), 0.01)
    assert conformal_level(np.arange(99.0), 0.01) == 98.0
    with pytest.raises(ConfigError, match=r"must lie in \(0, 1\)"):
        conformal_level(np.zeros(98), 0.0)


def test_anomalies_by_level_and_by_rank() -> None:
    told = told_of(list(np.log(2) * np.array([1, 5, 1, 4, 1, 2.0])), [0, 7, 0, 3, 0, 1])
    offsets = np.array([0, 4, 6])
    repairs = (Repair("drop", 1, 3), None)
    found = find_anomalies(told, offsets, np.array([9.0, 3.0]), repairs, np.empty(0), false_alarms=0.1, level=5.0)
    assert found.alarm.tolist() == [True, False]
    assert found.where.tolist() == [1, 1]
    assert found.repairs == repairs
    ranked = outranked(told, offsets, 7)
    assert ranked.alarm.tolist() == [True, False]
    assert ranked.score.tolist() == [8, 2]
    assert ranked.repairs == (None, None)
