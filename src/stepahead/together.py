"""Many fits at once, and the probes beside each.  Forecaster, Panels -> fitted Forecasters.

A probe learns the earlier rows of a panel alone. The first one's forecasts of the held-out rows are the verdict; its
errors there, with those of a second probe on the rows before where they are few, are the intervals (holdout.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from stepahead.data.panel import Panel
from stepahead.errors import DataError, TrainingError
from stepahead.holdout import (
    earlier_rows,
    enough_rows,
    held_out,
    lighter,
    naming_holdout,
    rows_to_keep,
    with_calibration,
)
from stepahead.recipe import resolve

if TYPE_CHECKING:
    from stepahead.evaluate.result import Backtest
    from stepahead.evaluate.verdict import Verdict
    from stepahead.forecaster import Forecaster

Model = TypeVar("Model", bound="Forecaster")


@dataclass(frozen=True)
class Probe:
    """A model that learns the first kept [S] rows of each series of `known`, to be asked for the others of it."""

    model: "Forecaster"
    known: Panel
    kept: np.ndarray

    @property
    def panel(self) -> Panel:
        """The rows that it learns."""
        return self.known.head(self.kept)


@dataclass(frozen=True)
class Probes:
    """judge: its forecasts of the held-out rows are the verdict. measure: their errors make the intervals, the newest
    first; the judge among them, unless all rows show another season than those that it learns.
    """

    judge: Probe
    measure: tuple[Probe, ...]

    @property
    def all(self) -> list[Probe]:
        return [self.judge, *(probe for probe in self.measure if probe is not self.judge)]


@dataclass(frozen=True)
class Judged:
    """What held-out rows say of a fit.

    backtest: of the verdict. calibration: of the intervals, None where nothing measures them. stopped: the judge, where
    Ctrl-C ended all of the fit: what it learned is the model then.
    """

    backtest: "Backtest | None" = None
    calibration: Any = None
    stopped: "Forecaster | None" = None

    @property
    def verdict(self) -> "Verdict | None":
        return self.backtest.verdict if self.backtest else None


NOT_JUDGED = Judged()


def probes_of(model: "Forecaster", panel: Panel, kept: np.ndarray) -> Probes:
    """The unfitted probes of a model.  kept: [S] rows that stay when the holdout is taken away.

    The judge looks for a season in its own rows: the held-out ones must not choose it. Intervals are of the model that
    all rows get, so what measures them has its recipe and season.
    """
    asked = model._asked()
    whole = resolve(asked, panel)
    like_whole = {"recipe": whole.recipe, "season_length": list(whole.seasons) or None}
    first = probe_of(model, asked | like_whole, panel, kept)
    own = probe_of(model, asked, panel, kept)
    judge = first if resolve(own.model.get_params(), own.panel).seasons == whole.seasons else own
    earlier = earlier_rows(panel, first.kept, whole.horizon)
    if earlier is None:
        return Probes(judge, (first,))
    second = first.model.clone().set_params(**like_whole)
    return Probes(judge, (first, Probe(second, panel.head(first.kept), earlier)))


def probe_of(model: "Forecaster", asked: dict[str, Any], panel: Panel, kept: np.ndarray) -> Probe:
    """The probe with these parameters; one of the panel recipe is lighter, and few rows are held out of many series."""
    probe = model.clone().set_params(**asked | {"holdout": None})
    config = resolve(asked, panel.head(kept))
    if config.difference == "log" and (panel.y <= 0).any():
        probe.set_params(difference=True)  # the target as the model of all rows reads it: it has no logarithm
    if config.backbone == "panel":
        probe.set_params(**lighter(config))
        kept = np.maximum(kept, panel.lengths - enough_rows(panel, config)) if model.holdout == "auto" else kept
    return Probe(probe, panel, kept)


def verdict_of(judge: Probe, panel: Panel) -> "Backtest":
    """The fitted probe's forecasts of the held-out rows beside the baselines'."""
    from stepahead.evaluate.backtest import holdout_verdict

    return holdout_verdict(judge.model, panel, judge.kept)


def calibration_of_probes(probes: Sequence[Probe]) -> Any:
    """What the errors of fitted probes give: a calibration, or a correction of quantiles."""
    from stepahead.learn import calibration_of

    return calibration_of([held_out(probe.model.fitted_, probe.known, probe.kept) for probe in probes])


def judge(model: "Forecaster", panel: Panel, kept: np.ndarray, progress: Callable[[Any], None] | None) -> Judged:
    """Fit the probes of a model and ask them for the held-out rows.  kept: as for probes_of.

    Raises: TrainingError, which keeps what the judge had learned; DataError where there is too little to learn from,
    or to score.
    """
    probes = probes_of(model, panel, kept)
    with naming_holdout(model.holdout):
        first = probes.judge.model.fit(probes.judge.panel, progress=progress)
    backtest = verdict_of(probes.judge, panel)
    told = fitted_measures(probes, progress)
    if any(probe.model._interrupted for probe in probes.all):
        return Judged(backtest, calibration_of_probes([probes.judge]), stopped=first)
    return Judged(backtest, calibration_of_probes(told) if told else None)


def fitted_measures(probes: Probes, progress: Callable[[Any], None] | None) -> list[Probe]:
    """Fit what measures the errors beside the fitted judge, up to a Ctrl-C: those that learned."""
    told: list[Probe] = []
    for probe in probes.measure:
        if any(one.model._interrupted for one in probes.all):
            break
        if probe is not probes.judge:
            try:
                probe.model.fit(probe.panel, progress=progress)
            except (DataError, TrainingError):
                continue  # too little to learn from: the others' errors do
        told.append(probe)
    return told


def fit_each(model: Model, panels: Sequence[Panel], progress: Callable[[Any], None] | None = None) -> list[Model]:
    """One fitted clone of the model for each panel: all of them, and their probes, train side by side."""
    models = [model.clone() for _ in panels]
    probes = [begun(one, panel) for one, panel in zip(models, panels, strict=True)]
    asked = [(probe.model, probe.panel) for each in probes if each for probe in each.all]
    with naming_holdout(model.holdout):
        learn([*asked, *zip(models, panels, strict=True)], progress)
    for one, panel, each in zip(models, panels, probes, strict=True):
        if each:
            one.backtest_ = verdict_of(each.judge, panel)
            one.verdict_ = one.backtest_.verdict
            one.fitted_ = with_calibration(one.fitted_, calibration_of_probes(each.measure))
    return models


def begun(model: "Forecaster", panel: Panel) -> Probes | None:
    """The probes of a model, they and it ready to learn; None where nothing is held out."""
    model._begin(panel)
    kept = rows_to_keep(panel, model.holdout, model.horizon)
    if kept is None:
        return None
    probes = probes_of(model, panel, kept)
    for probe in probes.all:
        probe.model._begin(probe.panel)
    return probes


def learn(fits: "Sequence[tuple[Forecaster, Panel]]", progress: Callable[[Any], None] | None) -> None:
    """Train each model on its panel: those of one network together."""
    from stepahead.learn import learn_together

    configs = [resolve(model._asked(), panel) for model, panel in fits]
    for config in dict.fromkeys(configs):  # a season found in some panels alone makes another network
        group = [fit for fit, other in zip(fits, configs, strict=True) if other == config]
        panels, training = [panel for _, panel in group], group[0][0]._training(progress=progress)
        for (model, panel), learned in zip(group, learn_together(panels, config, training), strict=True):
            model._keep(panel, *learned)
