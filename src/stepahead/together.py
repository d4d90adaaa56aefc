"""Many fits at once, and the probes beside each.  Forecaster, Panels -> fitted Forecasters.

A probe learns the earlier rows of a panel alone. The first one's forecasts of the held-out rows are the verdict; its
errors there, with those of a second probe on the rows before where they are few, are the intervals (holdout.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from stepahead.data.panel import Panel
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


def probes_of(model: "Forecaster", panel: Panel, kept: np.ndarray) -> list[Probe]:
    """The unfitted probes of a model, the newest first.  kept: [S] rows that stay when the holdout is taken away."""
    probe = model.clone().set_params(holdout=None, window=model._asked()["window"])
    config = resolve(model._asked(), panel.head(kept))  # the held-out rows must not choose a season
    if config.backbone == "panel":
        probe.set_params(**lighter(config))
        kept = np.maximum(kept, panel.lengths - enough_rows(panel, config)) if model.holdout == "auto" else kept
    earlier = earlier_rows(panel, kept, config.horizon)
    found = [Probe(probe, panel, kept)]
    return found if earlier is None else [*found, Probe(probe.clone(), panel.head(kept), earlier)]


def verdict_of_probes(probes: Sequence[Probe], panel: Panel) -> "Backtest":
    """The first probe's forecasts of the held-out rows beside the baselines'."""
    from stepahead.evaluate.backtest import holdout_verdict

    return holdout_verdict(probes[0].model, panel, probes[0].kept)


def calibration_of_probes(probes: Sequence[Probe]) -> Any:
    """What the errors of fitted probes give: a calibration, or a correction of quantiles."""
    from stepahead.learn import calibration_of

    return calibration_of([held_out(probe.model.fitted_, probe.known, probe.kept) for probe in probes])


def fit_each(model: Model, panels: Sequence[Panel], progress: Callable[[Any], None] | None = None) -> list[Model]:
    """One fitted clone of the model for each panel: all of them, and their probes, train side by side."""
    models = [model.clone() for _ in panels]
    probes: list[list[Probe]] = []
    for one, panel in zip(models, panels, strict=True):
        one._begin(panel)
        kept = rows_to_keep(panel, one.holdout, one.horizon)
        probes.append([] if kept is None else probes_of(one, panel, kept))
    asked: list[tuple[Forecaster, Panel]] = [(probe.model, probe.panel) for each in probes for probe in each]
    for member, part in asked:
        member._begin(part)
    learn([*asked, *zip(models, panels, strict=True)], progress)
    for one, panel, each in zip(models, panels, probes, strict=True):
        if each:
            one.backtest_ = verdict_of_probes(each, panel)
            one.verdict_ = one.backtest_.verdict
            one.fitted_ = with_calibration(one.fitted_, calibration_of_probes(each))
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
