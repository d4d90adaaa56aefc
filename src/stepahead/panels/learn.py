"""From a panel and a Config to a PanelFitted.  Everything here sees the training part alone.

seasons, window (recipe) -> baseline -> yardsticks -> linear starts -> members, trained together -> their shares in each
series -> PanelFitted.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepahead.checkpoint import Trained
from stepahead.config import Config
from stepahead.data.covariates import fit_covariates
from stepahead.data.panel import Panel, TooFewRows
from stepahead.errors import DataError, require
from stepahead.learn import t_table
from stepahead.panels.descend import descend, make_team
from stepahead.panels.draw import Origins, choose_baseline, measure, origins_of
from stepahead.panels.feed import Source
from stepahead.panels.fitted import PanelFitted, reading_of, rows_of, with_clock
from stepahead.panels.learn_shares import learn_shares
from stepahead.panels.simple import choose_simple, share_of_simple
from stepahead.panels.start import Lines, fit_lines
from stepahead.runtime.panel_heads import DISTRIBUTIONS

SAMPLE = 4000  # windows that the baseline and the yardsticks are chosen by


@dataclass(frozen=True)
class Plan:
    """What the members learn from and how they see it. kinds: "linear" | "log", the linear ones first; lines: where
    their linear parts start. simple: what their forecast is averaged with, see panels/simple.py.
    """

    config: Config
    source: Source
    origins: Origins
    kinds: tuple[str, ...]
    lines: tuple[Lines, ...]
    simple: str

    def fitted(self, members: list[dict[str, np.ndarray]]) -> PanelFitted:
        """Trained weights and what was learned around them, as one value."""
        panel = self.source.rows.panel
        found = PanelFitted(
            config=self.config,
            schema=panel.schema,
            frequency=panel.frequency,
            covariates=self.source.covariates,
            members=tuple(members),
            kinds=self.kinds,
            back=self.source.rows.back,
            simple=self.simple,
            reading=reading_of(self.config, t_table(self.config, members) if self.source.spread else None),
        )
        return replace(found, shares=learn_shares(found, self.source)) if self.config.combine == "by_series" else found


def learn_panel(panel: Panel, config: Config, training: Any) -> tuple[PanelFitted, list[Trained]]:
    """Train the panel recipe on all rows of a panel.

    training: a stepahead.learn.Training, how to train beside what the Config says.
    Returns: the fitted model, and how each member's training went. Ctrl-C ends it early and keeps the weights so far.
    Raises: DataError where there is too little to learn from; TrainingError where the loss is no longer a number, with
    the last good weights.
    """
    loop = require("stepahead.train", extra="train", purpose="fit")
    rng = np.random.default_rng([config.seed, 0])
    plan = make_plan(panel, config, rng)
    with loop.torch_seeded(config.seed):
        team = make_team(plan, training.device)
        with team.alone():
            results = descend(plan, team, loop, training)
    loop.warn_interrupted(results)
    return plan.fitted([r.weights for r in results]), results


def make_plan(panel: Panel, config: Config, rng: np.random.Generator) -> Plan:
    """Choose the baseline and the yardsticks of a training part, and how the members see it.

    Raises: DataError when no series has two rows.
    """
    if config.head == "negative_binomial":
        check_counts(panel)
    panel = with_clock(panel, config, panel.frequency, panel.schema.time_zone)
    covariates = fit_covariates(panel)
    rows = rows_of(panel, config, covariates, back=1)
    if panel.lengths.max(initial=0) < 2 or not rows.true.any():
        raise TooFewRows(f"{panel.schema.source}: no series has two rows to learn from; give more history")
    origins = origins_of(rows)
    sample = origins.draw(rng, SAMPLE, ahead=config.horizon)
    rows = rows_of(panel, config, covariates, back=choose_baseline(rows, sample, config.seasons))
    source = Source(
        rows,
        covariates,
        measure(rows, sample),
        config.patch,
        spread=config.head in DISTRIBUTIONS,
        from_zeros=config.head == "negative_binomial",
    )
    pools = require("threadpoolctl", extra="train", purpose="fit")
    with pools.threadpool_limits(1, user_api="blas"):  # its sums depend on the number of threads
        lines = fit_lines(source, origins, able_kinds(panel), rng)
    kinds = kinds_of(tuple(lines), config.ensemble)
    simple = choose_simple(rows, sample) if config.blend else "carried_on"
    share = share_of_simple(config.blend, float(np.mean([line.left for line in lines.values()])))
    return Plan(replace(config, blend=share), source, origins, kinds, tuple(lines[kind] for kind in kinds), simple)


def check_counts(panel: Panel) -> None:
    """Raise DataError where the target holds something that is no count."""
    odd = np.flatnonzero((panel.y < 0) | (panel.y != np.round(panel.y)) & ~np.isnan(panel.y))
    if len(odd):
        series = int(panel.series_of(odd[0]))
        raise DataError(
            f"{panel.schema.source}: column '{panel.schema.target}', series '{panel.ids[series]}', {panel.schema.time} "
            f"{panel.times[odd[0]]}: {panel.y[odd[0]]:g} is no count; head='negative_binomial' is for counts, pass "
            f"head='quantile' or 'student_t'"
        )


def able_kinds(panel: Panel) -> tuple[str, ...]:
    """How members may read their windows: as they are, or in logarithms; as they are where values are negative."""
    return ("linear",) if bool((panel.y < 0).any()) else ("linear", "log")


def kinds_of(able: tuple[str, ...], members: int) -> tuple[str, ...]:
    """How each member reads its windows: half of them as they are, half in logarithms, where these are able."""
    n_log = members // 2 if "log" in able else 0
    return ("linear",) * (members - n_log) + ("log",) * n_log
