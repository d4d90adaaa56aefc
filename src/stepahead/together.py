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
from stepahead.holdout import earlier_rows, enough_rows, held_out, lighter, rows_to_keep, with_calibration
from stepahead.recipe import resolve

if TYPE_CHECKING:
    from stepahead.evaluate.result import Backtest
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


def judge(
    model: "Forecaster", panel: Panel, kept: np.ndarray, progress: Callable[[Any], None] | None
) -> tuple["Backtest", Any]:
    """Fit the probes of a model: its verdict, and the calibration that their errors give.  kept: as for probes_of.

    Ctrl-C ends all of the fit: the judge's weights are the model then. Raises: TrainingError, the last good weights are
    kept; DataError where there is too little to learn from, or to score.
    """
    probes, told = probes_of(model, panel, kept), []
    first = probes.judge.model
    try:
        first.fit(probes.judge.panel, progress=progress)
    except TrainingError:
        model.panel_, model.fitted_ = panel, first.fitted_
        raise
    judged = verdict_of(probes.judge, panel)
    model._interrupted = first._interrupted
    for probe in [] if model._interrupted else probes.measure:
        if probe is not probes.judge:
            try:
                model._interrupted = probe.model.fit(probe.panel, progress=progress)._interrupted
            except (DataError, TrainingError):
                continue  # too little to learn from: the others' errors do
        told += [] if model._interrupted else [probe]
    if model._interrupted:
        told = [probes.judge]
        model.panel_, model.history_, model.fitted_ = panel, first.history_, first.fitted_
        model.n_rows_ = first.n_rows_
    calibration = calibration_of_probes(told) if told else None
    if model._interrupted:
        model.fitted_ = with_calibration(model.fitted_, calibration)
    return judged, calibration


def fit_each(model: Model, panels: Sequence[Panel], progress: Callable[[Any], None] | None = None) -> list[Model]:
    """One fitted clone of the model for each panel: all of them, and their probes, train side by side."""
    models = [model.clone() for _ in panels]
    probes: list[Probes | None] = []
    for one, panel in zip(models, panels, strict=True):
        one._begin(panel)
        kept = rows_to_keep(panel, one.holdout, one.horizon)
        probes.append(None if kept is None else probes_of(one, panel, kept))
    asked: list[tuple[Forecaster, Panel]] = [
        (probe.model, probe.panel) for each in probes if each for probe in each.all
    ]
    for member, part in asked:
        member._begin(part)
    learn([*asked, *zip(models, panels, strict=True)], progress)
    for one, panel, each in zip(models, panels, probes, strict=True):
        if each:
            one.backtest_ = verdict_of(each.judge, panel)
            one.verdict_ = one.backtest_.verdict
            one.fitted_ = with_calibration(one.fitted_, calibration_of_probes(each.measure))
    return models


def learn(fits: "Sequence[tuple[Forecaster, Panel]]", progress: Callable[[Any], None] | None) -> None:
    """Train each model on its panel: those of one network together."""
    from stepahead.learn import learn_together

    configs = [resolve(model._asked(), panel) for model, panel in fits]
    for config in dict.fromkeys(configs):  # a season found in some panels alone makes another network
        group = [fit for fit, other in zip(fits, configs, strict=True) if other == config]
        panels, training = [panel for _, panel in group], group[0][0]._training(progress=progress)
        for (model, _), learned in zip(group, learn_together(panels, config, training), strict=True):
            model._keep(*learned)
