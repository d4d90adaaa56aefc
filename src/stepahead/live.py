"""From a model to its streams.  Fitted, panel -> Stream; and from a snapshot back.  No torch here."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError, ModelFileError, StepaheadError
from stepahead.fitted import Fitted, check_origins, checked_levels
from stepahead.fitted_file import pack
from stepahead.panels.fitted import PanelFitted
from stepahead.runtime.adaptive import Yardstick, make_yardstick, normal_yardstick
from stepahead.runtime.carried import CarriedHistory, states_in
from stepahead.runtime.cell import scan
from stepahead.runtime.history import PanelHistory, Tail
from stepahead.runtime.lane import Lane, LaneModel
from stepahead.runtime.network import recurrent
from stepahead.runtime.rows import Door
from stepahead.runtime.snapshot import unpack_snapshot
from stepahead.runtime.stream import Course, Stream
from stepahead.runtime.track import History, Together, Track
from stepahead.runtime.window import WindowHistory, WindowModel

LONGEST_GAP = 100_000  # steps that a line is drawn through, from the row before to the row behind
LEVELS = (80.0, 95.0)  # coverages of a stream, in percent, where the model can give them


class Live:
    """A model as its streams need it: what they have in common is made once."""

    def __init__(self, fitted: Fitted | PanelFitted) -> None:
        self.fitted = fitted
        self.digest = digest_of(fitted)
        self._courses: dict[tuple[tuple[float, ...], bool], Course] = {}
        self._windows: dict[tuple[float, ...], WindowModel] = {}
        self._lanes: dict[tuple[tuple[float, ...], bool], LaneModel | None] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy of a model makes its own: what streams share holds addresses."""
        return Live, (self.fitted,)

    def begin(self, panel: Panel, level: Sequence[float] | str, *, adaptive: bool) -> Stream:
        """A stream that has read the one series of a panel.

        level: coverages in percent; "auto" for those of 80 and 95 that the model can give.
        Raises: DataError where the rows are too few for a forecast; ConfigError for a level that cannot be.
        """
        auto = isinstance(level, str) and level == "auto"  # any other text is refused as no list
        levels = known_levels(self.fitted) if auto else checked_levels(level)
        course = self._course(levels, adaptive)
        cutoff = int(panel.times[-1:].view(np.int64)[0])
        return Stream(course, panel.ids[0], cutoff, self._track(panel, course))

    def restore(self, snapshot: bytes) -> Stream:
        """The stream that a snapshot holds.

        Raises: ModelFileError for bytes that cannot be trusted, or of another model.
        """
        try:
            values, arrays = unpack_snapshot(snapshot)
            if values["model"] != self.digest:
                raise ModelFileError("snapshot: is of another model; restore it with the model that it came from")
            course = self._course(checked_levels(values["level"]), bool(values["adaptive"]))
            track = self._track(self._panel(values, arrays), course, arrays)
            return Stream(course, str(values["series"]), int(values["cutoff"]), track)
        except ModelFileError:
            raise
        except (StepaheadError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            # Its checksum fits: something else than `Stream.snapshot` made it.
            raise ModelFileError(
                f"snapshot: does not hold what a stream of this model holds ({error!s:.80}); give what snapshot() gave"
            ) from error

    def _course(self, level: tuple[float, ...], adaptive: bool) -> Course:
        if (level, adaptive) not in self._courses:
            self._courses[level, adaptive] = course_of(self.fitted, self.digest, level, adaptive)
        return self._courses[level, adaptive]

    def _track(self, panel: Panel, course: Course, arrays: Mapping[str, np.ndarray] | None = None) -> Track:
        """What moves in a stream of a panel's one series; arrays: of its snapshot, if it comes from one."""
        model = self._lane_model(course)
        if model is not None:
            return Lane.begin(model, self._tail(panel), arrays)
        record = course.record()
        if arrays is not None:
            record.restore(arrays)
        return Together(self._history(panel, course.level, arrays), record, begins=not course.schema.future)

    def _lane_model(self, course: Course) -> LaneModel | None:
        """The native way, where it can do all that the model asks."""
        key = (course.level, course.adaptive)
        if key not in self._lanes:
            fitted = self.fitted
            can = fitted.config.memory == "window" and is_plain(fitted) and LaneModel.serves(self._window(course.level))
            self._lanes[key] = LaneModel(self._window(course.level), course.record()) if can else None
        return self._lanes[key]

    def _window(self, level: tuple[float, ...]) -> WindowModel:
        return self._windows.setdefault(level, WindowModel(self.fitted, level))

    def _tail(self, panel: Panel) -> Tail:
        """The last rows that a network over windows reads. Raises: DataError where they are too few."""
        assert isinstance(self.fitted, Fitted)
        last = panel.tail(self.fitted.config.window)
        check_origins(self.fitted.source(last), np.array([last.n_rows - 1]))
        return Tail(last.times.view(np.int64), last.past, last.future, last.static)

    def _history(
        self, panel: Panel, level: tuple[float, ...], arrays: Mapping[str, np.ndarray] | None = None
    ) -> History:
        """What a stream remembers of a panel's one series; arrays: of its snapshot, if it comes from one."""
        fitted = self.fitted
        if fitted.config.memory == "carried" and not is_plain(fitted):
            raise ConfigError("a stream of memory='carried' reads past inputs without gaps alone; use memory='window'")
        if not is_plain(fitted):
            return PanelHistory(fitted, panel, level)
        assert isinstance(fitted, Fitted)
        tail, model = self._tail(panel), self._window(level)
        rows = (model, tail.times, tail.past, tail.static)
        if fitted.config.memory == "window":
            return WindowHistory(*rows)
        if arrays is not None:
            return CarriedHistory(*rows, states_in(arrays, len(fitted.members)))
        read = fitted.source(panel).features[None]
        return CarriedHistory(*rows, [scan(fitted.config.cell, read, recurrent(w))[1] for w in fitted.members])

    def _panel(self, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Panel:
        """The rows that a snapshot holds."""
        return Panel.restored(
            self.fitted.schema,
            ids=(values["series"],),
            times=arrays["times"],
            past=arrays["past"],
            future=arrays["future"],
            static=np.asarray(values["static"], dtype=object),
        )


def one_series(panel: Panel, series: str | None) -> Panel:
    """The panel of the series asked for.  Raises: DataError where several are there and none is named."""
    if series is not None:
        return panel.select([series])
    if panel.n_series != 1:
        raise DataError(f"{panel.schema.source}: has {panel.n_series} series; name the one to stream with series=")
    return panel


def course_of(fitted: Fitted | PanelFitted, digest: str, level: tuple[float, ...], adaptive: bool) -> Course:
    """What all streams of a model have in common."""
    config, (logs, positive) = fitted.config, moves_of(fitted)
    return Course(
        name=config.name,
        horizon=config.horizon,
        schema=fitted.schema,
        digest=digest,
        level=level,
        adaptive=adaptive,
        door=Door(
            fitted.schema,
            fitted.frequency,
            config.horizon,
            gaps=config.missing != "error",
            reach=LONGEST_GAP if config.missing == "interpolate" else config.window + config.horizon,
        ),
        yard=yardstick_of(fitted, level),
        logs=logs,
        positive=positive,
        learned=learns_widths(fitted),
    )


def moves_of(fitted: Fitted | PanelFitted) -> tuple[bool, bool]:
    """How the bounds of a model's streams move, `logs` and `positive` of an Adaptive."""
    return isinstance(fitted, Fitted) and fitted.scale.log_target, isinstance(fitted, PanelFitted)


def is_plain(fitted: Fitted | PanelFitted) -> bool:
    """Whether the quick way serves: a cell and a head over complete past inputs, and nothing beside the window."""
    return (
        isinstance(fitted, Fitted)
        and fitted.own is None
        and fitted.config.missing == "error"
        and fitted.covariates.width(1) == 0
    )


def learns_widths(fitted: Fitted | PanelFitted) -> bool:
    """Whether the head itself says how wide intervals are."""
    return fitted.reading is not None and (isinstance(fitted, PanelFitted) or fitted.reading.has_quantiles)


def known_levels(fitted: Fitted | PanelFitted, levels: Sequence[float] = LEVELS) -> tuple[float, ...]:
    """Those of some coverages, in percent, that the model can give intervals of."""
    if learns_widths(fitted) and fitted.reading is not None:
        return tuple(level for level in levels if fitted.reading.reaches(level))
    known = fitted.calibration.scores.shape[1]
    return tuple(level for level in levels if known >= fitted.calibration.rank(level) > 0)


def yardstick_of(fitted: Fitted | PanelFitted, level: tuple[float, ...]) -> Yardstick | None:
    """The held-out one-step errors in units of the first level's interval; normal ones where the head gives it."""
    if not level:
        return None
    scores = fitted.calibration.scores[0]
    if len(scores) == 0:
        return normal_yardstick(level[0])
    reach = float(fitted.calibration.reach(level[:1])[0, 0])  # refuses a level that too few errors speak for
    return make_yardstick((scores / reach).tolist() if reach > 0 else [0.0] * len(scores))


def digest_of(fitted: Fitted | PanelFitted) -> str:
    """A digest of all that decides a model's forecasts: configuration, weights, scale."""
    tensors, config = pack(fitted)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, array in sorted(tensors.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
