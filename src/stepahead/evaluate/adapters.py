"""Models of other kinds as Subjects of an audit: torch modules, NeuralForecast, Darts.  Imported late, if at all.

Nothing is imported that the object given has not imported already.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepahead.data.fill import fill
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.evaluate.peers import DartsSubject, NeuralForecastSubject
from stepahead.evaluate.subjects import Subject, last_rows


class ModuleSubject:
    """A torch.nn.Module from (N, window, inputs) to (N, horizon), as it is: in the mode that it is in.

    Its windows are the past inputs, each standardised by its rows up to `learned_until`.
    """

    retrains, takes_columns = False, True

    def __init__(self, module: Any, panel: Panel, learned_until: Any, window: int) -> None:
        self.module, self.window = module, window
        parameter = next(iter(module.parameters()), None)
        self.kind: dict[str, Any] = {"dtype": sys.modules["torch"].float32}
        if parameter is not None:
            self.kind = {"dtype": parameter.dtype, "device": parameter.device}
        known = panel.until(learned_until).past
        self.center = np.nanmean(known, axis=0)
        spread = np.nanstd(known, axis=0)
        self.spread = np.where(spread > 0, spread, 1.0)

    def forecast(self, panel: Panel, cutoff: Any) -> np.ndarray:
        return self.together(panel, [cutoff])[0]

    def together(self, panel: Panel, cutoffs: Sequence[Any]) -> np.ndarray:
        x, ready, shape = self.windows(panel, cutoffs)
        output = self.answer(x)
        found = np.full((shape[0] * shape[1], output.shape[1]), np.nan)
        found[ready] = output * self.spread[-1] + self.center[-1]
        return found.reshape(*shape, -1)

    def windows(self, panel: Panel, cutoffs: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Standardised windows [N, window, P] of those cutoffs and series that have one, which, and (C, S)."""
        origins = np.stack([last_rows(panel, cutoff) for cutoff in cutoffs])
        ready = np.flatnonzero((origins - panel.offsets[:-1] + 1 >= self.window).ravel())
        if len(ready) == 0:
            raise ConfigError(f"audit: no series has {self.window} rows up to {cutoffs[0]}; pass a smaller window=")
        rows = origins.ravel()[ready][:, None] + np.arange(1 - self.window, 1)
        filled = fill(panel, "ffill").values
        return (filled[rows] - self.center) / self.spread, ready, (origins.shape[0], origins.shape[1])

    def gradients(self, panel: Panel, cutoff: Any) -> np.ndarray:
        """How steeply the first forecast answers each row of the window, newest first, over all series: [window]."""
        torch, rows = sys.modules["torch"], self.windows(panel, [cutoff])[0]
        x = torch.tensor(rows, **self.kind).requires_grad_()
        first = self.module(x)
        first = (first[0] if isinstance(first, tuple) else first).reshape(len(rows), -1)[:, 0]
        if not first.requires_grad:
            return np.zeros(self.window)
        (slope,) = torch.autograd.grad(first.sum(), x)
        return slope.abs().amax(dim=(0, 2)).cpu().numpy().astype(np.float64)[::-1]

    def answer(self, x: np.ndarray) -> np.ndarray:
        """The module's output in numbers: x [N, window, P] -> [N, H]; of a tuple its first part."""
        torch = sys.modules["torch"]
        with torch.no_grad():
            output = self.module(torch.tensor(x, **self.kind))
        output = output[0] if isinstance(output, tuple) else output
        values = output.detach().cpu().numpy().astype(np.float64)
        return values.reshape(len(x), -1)


def adapt(x: Any, panel: Panel, *, learned_until: Any, horizon: int | None, window: int | None) -> Subject | None:
    """The Subject for an object of another package, or None where it is none of these.

    Raises: ConfigError where a module comes without its window.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.nn.Module):
        if window is None:
            raise ConfigError("audit: a torch module needs window=, the rows that it takes")
        return ModuleSubject(x, panel, learned_until, window)
    package = type(x).__module__.split(".")[0]
    if package == "neuralforecast":
        return NeuralForecastSubject(x, panel, learned_until)
    if package == "darts":
        steps = horizon or int(getattr(x, "output_chunk_length", None) or 1)
        return DartsSubject(x, panel, learned_until, steps)
    return None
