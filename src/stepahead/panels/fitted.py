"""What the panel recipe learned, as one value: enough to forecast, and what a model file holds.  Panel, origins ->
Forecast.

It has the face of stepahead.fitted.Fitted.  No torch here.

Legend: N origins, H horizon, L levels, M members.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stepahead.config import Config
from stepahead.data.calendar import Frequency
from stepahead.data.clock import clock_values
from stepahead.data.covariates import Covariates, check_known
from stepahead.data.elapsed import elapsed_ahead, elapsed_steps
from stepahead.data.panel import Panel, Schema, preview
from stepahead.errors import ConfigError, DataError
from stepahead.fitted import check_inputs, checked_levels
from stepahead.forecast import Forecast
from stepahead.panels.held_out import NOTHING_HELD, HeldOut, Split, of_distribution, of_point
from stepahead.panels.reading import Arrays, look_ahead, reading
from stepahead.panels.shares import EQUAL, Shares
from stepahead.panels.simple import SIMPLE
from stepahead.panels.statics import statics_of
from stepahead.panels.windows import Rows, Windows, prepare_rows
from stepahead.runtime import normal
from stepahead.runtime.conformal import Calibration
from stepahead.runtime.marginals import Counts, Knots, Marginals
from stepahead.runtime.network import combine_members
from stepahead.runtime.panel import in_scale, last_state, member_output
from stepahead.runtime.panel_heads import PanelReading

CHUNK = 2048  # windows that are gathered and forecast at once
LEAST_MOVE = 1e-3  # of its size: a window that moves by less stands still
ENOUGH_PAIRS = 3  # neighbouring rows that tell how much a series moves: one that begins has none


@dataclass(frozen=True)
class PanelFitted:
    """A trained panel forecaster.

    members: weights of each network by the names of nn/panel.py; kinds: how each reads its windows, "linear" | "log".
    back: rows that the baseline repeats. simple: the forecast of panels/simple.py that theirs is averaged with, where
    config.blend says so. reading: how the head's distribution is read, None for a point. held: what
    held-out rows say. shares: how far each member is believed on each series, where config.combine is "by_series".
    """

    config: Config
    schema: Schema
    frequency: Frequency
    covariates: Covariates
    members: tuple[Mapping[str, np.ndarray], ...]
    kinds: tuple[str, ...]
    back: int
    reading: PanelReading | None = None
    held: HeldOut = NOTHING_HELD
    shares: Shares = EQUAL
    simple: str = "carried_on"

    @property
    def calibration(self) -> Calibration:
        """How far a point head's intervals reach."""
        return self.held.calibration

    def source(self, panel: Panel) -> Rows:
        """The rows of a panel, prepared as this model reads them.

        Raises: DataError when the panel has other inputs than the model was trained on.
        """
        check_inputs(panel.schema, self.schema)
        check_known(panel)
        panel = with_clock(panel, self.config, self.frequency, self.schema.time_zone)
        return rows_of(panel, self.config, self.covariates, self.back)

    def forecast(
        self,
        source: Rows,
        origins: np.ndarray,
        *,
        level: Sequence[float] = (),
        future: np.ndarray | None = None,
    ) -> Forecast:
        """Forecast at these rows, each from its own series up to it, however short.

        source: of the panel. origins: [N] row positions. level: coverages in percent.
        future: [N, H, K] known-ahead inputs of the rows to come; None takes them from the panel's own later rows.
        Raises: DataError when a window holds no value at all, or an input known ahead is missing.
        """
        panel, levels = source.panel, checked_levels(level)
        check_rows(source, origins, future)
        cutoffs = panel.times[origins]
        times = self.frequency.after(cutoffs, self.config.horizon)
        mean = np.empty((len(origins), self.config.horizon))
        bounds = np.empty((2, *mean.shape, len(levels)))
        for part, windows, given in self._said(source, origins, times, future, CHUNK):
            mean[part] = not_below(windows, given.point)
            if levels:
                bounds[:, part] = [not_below(windows, bound) for bound in self.interval(given, levels)]
        return Forecast(
            name=self.config.name,
            ids=np.asarray(panel.ids, dtype=object)[panel.series_of(origins)],
            cutoffs=cutoffs,
            times=times,
            mean=mean,
            level=levels,
            lo=bounds[0],
            hi=bounds[1],
            schema=panel.schema,
        )

    def _said(
        self, source: Rows, origins: np.ndarray, times: np.ndarray, future: np.ndarray | None, size: int
    ) -> Iterator[tuple[slice, Windows, Marginals]]:
        """What is said at so many origins at a time: which they are, their windows, the distributions.

        times: [N, H] of the steps ahead. future: the user's inputs known ahead.
        Raises: DataError where a window holds no value at all.
        """
        future = self._with_clock_ahead(source, origins, times, future)
        for start in range(0, len(origins), size):
            part = slice(start, start + size)
            windows = source.windows(origins[part])
            if not windows.share.all():
                raise unseen(source, origins)
            ahead = None if future is None else future[part]
            yield part, windows, self.marginals(source, windows, origins[part], ahead)

    def _with_clock_ahead(
        self, source: Rows, origins: np.ndarray, times: np.ndarray, future: np.ndarray | None
    ) -> np.ndarray | None:
        """The user's inputs known ahead and those of the stamps: [N, H, K]; what was given where there are none."""
        config, n_given = self.config, len(self.schema.future)
        if not (config.calendar or config.elapsed):
            return future
        if future is None:
            rows, inside = source.ahead(origins)
            # Beyond the last row nothing is known: the usual, as without these, which is 0 when it is scaled.
            future = np.where(
                inside[..., None], source.panel.future[rows][..., :n_given], self.covariates.center[:n_given]
            )
        parts = [future]
        if config.calendar:
            parts.append(clock_values(times, config.calendar, self.schema.time_zone, config.holidays))
        if config.elapsed:
            parts.append(elapsed_ahead(source.panel.times[origins], times, self.frequency)[..., None])
        return np.concatenate(parts, axis=2)

    def draw(
        self, source: Rows, origins: np.ndarray, scores: np.ndarray, *, future: np.ndarray | None = None
    ) -> np.ndarray:
        """Paths that have these normal scores in each step's distribution: scores [N, H, K] -> [N, H, K].

        Raises: as `forecast`; ConfigError for a point head without held-out errors.
        """
        check_rows(source, origins, future)
        times = self.frequency.after(source.panel.times[origins], self.config.horizon)
        drawn = np.empty(scores.shape)
        if self.reading is None:
            self.calibration.reach([50])  # says what is missing where nothing was held out
        for part, windows, given in self._said(source, origins, times, future, CHUNK // 8):
            drawn[part] = not_below(windows, given.quantile(self.held.recalibration.apply(scores[part])))
        return drawn

    def marginals(
        self, source: Rows, windows: Windows, origins: np.ndarray, future: np.ndarray | None = None
    ) -> Marginals:
        """The members' forecasts as one distribution a step, in the target's units, as they were learned."""
        ahead, head, config = look_ahead(source, self.covariates, origins, future), self.reading, self.config
        read = {
            kind: reading(getattr(windows, kind)(), windows, ahead, config.patch, spread=head is not None)
            for kind in set(self.kinds)
        }
        still: np.ndarray = np.logical_not(windows.x.any(axis=1))
        if head is not None:
            members = zip(self.members, self.kinds, strict=True)
            said = [head.said(config.cell, weights, read[kind], logs=kind == "log") for weights, kind in members]
            return head.marginals(said, config.combine, windows.scale, still)
        points = self.points(read)
        if config.combine == "by_series":
            panel = source.panel
            parts = self.shares.of([panel.ids[s] for s in panel.series_of(origins)], len(points))  # [N, M]
            point = sum(part[:, None] * not_below(windows, said) for part, said in zip(parts.T, points, strict=True))
        else:
            point = combine_members(points, config.combine)
        size = np.where(still, 0.0, windows.scale)  # where all is zero, zero goes on
        point = point * size[:, None]
        if config.blend > 0:
            point = (1 - config.blend) * point + config.blend * SIMPLE[self.simple](windows)
        moved = movement(windows, self.held.usual)
        return Split(point, moved, standing(windows, moved), self.held)

    def points(self, read: Mapping[str, Arrays]) -> list[np.ndarray]:
        """Each member's forecasts in units of the windows' scales: [N, H]. read: what each kind of member reads."""
        return [
            in_scale(member_output(self.config.cell, weights, read[kind]), read[kind], logs=kind == "log")
            for weights, kind in zip(self.members, self.kinds, strict=True)
        ]

    def interval(self, given: Marginals, levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of these coverages: lo, hi [N, H, L].

        Raises: ConfigError for a level that the head, or the held-out errors, cannot speak for.
        """
        if isinstance(given, Split):
            reach = given.radius(levels)
            return given.point[..., None] - reach, given.point[..., None] + reach
        assert self.reading is not None
        self.reading.check(levels)
        score = normal.score(0.5 + np.asarray(levels) / 200)
        asked = np.tile(np.concatenate([-score, score]), (given.point.shape[1], 1))  # [H, 2L]
        found = given.quantile(self.held.recalibration.apply(asked)[None])
        lo, hi = found[..., : len(levels)], found[..., len(levels) :]
        if isinstance(given, Counts):
            return lo, hi
        middle = given.point[..., None]
        return np.minimum(lo, middle), np.maximum(hi, middle)

    def hidden(self, source: Rows, origin: int) -> np.ndarray:
        """The hidden units of the first member after its window that ends at this row: [D]."""
        windows = source.windows(np.array([origin]))
        ahead = look_ahead(source, self.covariates, np.array([origin]))
        read = reading(getattr(windows, self.kinds[0])(), windows, ahead, self.config.patch)
        return last_state(self.config.cell, self.members[0], read)[0]

    def held_out_at(self, source: Rows, origins: np.ndarray) -> HeldOut:
        """What errors at origins that the model never saw say about its intervals and its paths."""
        y, there = source.targets(origins)
        if len(origins) == 0 or not there.any(axis=0).all():
            return NOTHING_HELD
        y = np.where(there, y, np.nan)
        if self.reading is None:
            windows = source.windows(origins)
            usual = usual_movement(windows)
            moved = movement(windows, usual)
            return of_point(y - self.forecast(source, origins).mean, moved, standing(windows, moved), usual)
        rng, scores = np.random.default_rng([self.config.seed, 3]), np.empty(y.shape)
        for start in range(0, len(origins), CHUNK):
            part = slice(start, start + CHUNK)
            given = self.marginals(source, source.windows(origins[part]), origins[part])
            assert isinstance(given, Knots | Counts)
            scores[part] = given.score(y[part], rng)
        return of_distribution(scores)


def rows_of(panel: Panel, config: Config, covariates: Covariates, back: int) -> Rows:
    """A panel's rows as a model of this configuration reads them."""
    return prepare_rows(
        panel,
        window=config.window,
        horizon=config.horizon,
        season=leading_season(config),
        back=back,
        missing=config.missing,
        known=covariates.row_features(panel),
        opening=float(-covariates.center[-1] / covariates.spread[-1]) if config.elapsed else None,
        statics=statics_of(panel, covariates) if covariates.statics else None,
    )


def with_clock(panel: Panel, config: Config, frequency: Frequency, zone: str | None) -> Panel:
    """The panel with what its stamps say behind its inputs known ahead: the calendar, the time since the row before.

    zone: of the clocks that the model learned by; a table may write the same moments in another one. The schema keeps
    to the user's.
    """
    parts = [panel.future]
    if config.calendar:
        parts.append(clock_values(panel.times, config.calendar, zone, config.holidays))
    if config.elapsed:
        parts.append(elapsed_steps(panel.times, panel.offsets, frequency)[:, None])
    return panel if len(parts) == 1 else replace(panel, future=np.concatenate(parts, axis=1))


def leading_season(config: Config) -> int:
    """m: the first season that the window holds, 1 for none."""
    return next((season for season in config.seasons if season <= config.window), 1)


def not_below(windows: Windows, values: np.ndarray) -> np.ndarray:
    """Nothing below zero where the window is not: values [N, H] or [N, H, L]."""
    positive = windows.x.min(axis=1) >= 0  # what is masked is zero, which changes no sign
    return np.where(positive.reshape(-1, *[1] * (values.ndim - 1)), np.maximum(values, 0.0), values)


def movement(windows: Windows, usual: float) -> np.ndarray:
    """How much the target moves from row to row within each window, in its own units: [N]; its size where it stands.

    usual: from `usual_movement`, which a window of fewer than ENOUGH_PAIRS is drawn towards; 0 for nothing.
    """
    moved, pairs = changes(windows)
    if usual > 0:
        few = (pairs < ENOUGH_PAIRS) & windows.x.any(axis=1)  # where all is zero, the scale says nothing
        share = pairs / ENOUGH_PAIRS
        moved = np.where(few, share * moved + (1 - share) * usual * windows.scale, moved)
    return np.maximum(moved, LEAST_MOVE * windows.scale)


def standing(windows: Windows, moved: np.ndarray) -> np.ndarray:
    """Which windows stand still, by their movement [N]: [N] bool."""
    return moved <= LEAST_MOVE * windows.scale


def usual_movement(windows: Windows) -> float:
    """How much windows of ENOUGH_PAIRS move from row to row, of their scales: the median; 0 where there are none."""
    moved, pairs = changes(windows)
    known = pairs >= ENOUGH_PAIRS
    return float(np.median((moved / windows.scale)[known])) if known.any() else 0.0


def changes(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """The mean absolute change from row to row, 0 where there is none to see, and of how many pairs: [N], [N]."""
    both = windows.mask[:, 1:] & windows.mask[:, :-1]
    pairs = both.sum(axis=1)
    return (np.abs(np.diff(windows.x, axis=1)) * both).sum(axis=1) / np.maximum(pairs, 1), pairs


def check_rows(source: Rows, origins: np.ndarray, future: np.ndarray | None) -> None:
    """Raise for an origin that is no row, or that lacks what should be known ahead of it."""
    panel = source.panel
    outside = (origins < 0) | (origins >= panel.n_rows)
    if outside.any():
        raise ConfigError(f"origin {origins[outside][0]} is no row of the panel: rows are 0 to {panel.n_rows - 1}")
    names = panel.schema.future
    if not names or future is not None:
        return
    alone = ~source.ahead(origins)[1][:, 0]
    if alone.any():
        series = panel.ids[panel.series_of(origins[alone])[0]]
        raise DataError(
            f"series '{series}': the forecast needs {preview(names)} for each of the next {source.horizon} steps; pass "
            f"future="
        )


def unseen(source: Rows, origins: np.ndarray) -> DataError:
    """What to say where some of the windows that end at these rows hold no value at all: of which series they are."""
    panel, schema = source.panel, source.panel.schema
    chunks = (origins[start : start + CHUNK] for start in range(0, len(origins), CHUNK))
    blind = np.concatenate([chunk[source.windows(chunk).share == 0] for chunk in chunks])
    names = [panel.ids[s] for s in np.unique(panel.series_of(blind))]
    said = f"no value of '{schema.target}' in the {source.window} rows up to"
    if len(names) == 1:
        found = f"series {preview(names)} has {said} {schema.time} {panel.times[blind[0]]}"
    else:
        found = f"{len(names)} series have {said} a forecast: {preview(names)}"
    return DataError(f"{schema.source}: {found}; leave them out of the table, or name the others with ids=")


def reading_of(config: Config, t_table: np.ndarray | None) -> PanelReading | None:
    """How the head's distribution is read; None for a point."""
    return None if t_table is None else PanelReading(config.head, config.quantiles, t_table)
