"""A recipe with nothing left open: what training, forecasting and a model file go by.  Config <-> JSON values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stepahead.choices import column_name


@dataclass(frozen=True)
class Config:
    """A resolved recipe; saved with the model.

    window, horizon: rows. season_length: rows, or None. max_steps: optimizer steps. batch_size: windows,
    None for all of them at once. patience: checks of the validation loss without a gain before stopping, None for no
    validation. validation_size: fraction of each series' origins, its last ones. learning_rate, weight_decay: Adam's,
    decoupled decay. gradient_clip: largest norm, or None. ensemble: networks that differ by seed; combine: how their
    forecasts become one. zero_head: the head starts at zero, so the first forecast is the window's own base.
    shrink: the change that is forecast is scaled by what the validation part supports. blend: share of a simple
    forecast (panels/simple.py) in a point forecast of the panel network.
    memory: "window", or "carried": the network reads whole series, and window is how far its gradients reach back.
    backbone: "plain", a cell and a linear head; "panel", the network of nn/panel.py, which reads its window in patches
    of so many rows. seasons: all season lengths, the leading one is season_length. calendar: features of the stamps
    that are inputs known ahead; holidays: ISO dates. elapsed: the time since the row before is an input.
    """

    recipe: str
    cell: str
    window: int
    horizon: int
    season_length: int | None
    hidden_size: int
    num_layers: int
    dropout: float
    scaler: str | None
    difference: bool | str
    clip: float | None
    head: str
    quantiles: tuple[float, ...]
    learning_rate: float
    schedule: str
    weight_decay: float
    max_steps: int
    batch_size: int | None
    gradient_clip: float | None
    patience: int | None
    check_every: int
    validation_size: float
    ensemble: int
    combine: str
    zero_head: bool
    shrink: bool
    missing: str
    seed: int
    backbone: str = "plain"
    memory: str = "window"
    patch: int = 1
    seasons: tuple[int, ...] = ()
    calendar: tuple[str, ...] = ()
    holidays: tuple[str, ...] = ()
    elapsed: bool = False
    blend: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Config":
        """The inverse of to_json."""
        fitting: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**fitting)

    @property
    def name(self) -> str:
        """The output column: the cell in capitals."""
        return column_name(self.cell)
