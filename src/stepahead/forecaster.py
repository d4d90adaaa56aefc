"""The Forecaster: a panel in, a trained network and its verdict out; then forecasts.

model = Forecaster(window=7).fit(panel)
print(model.verdict_)
model.predict(level=[80, 95])
"""

import warnings
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np

from stepahead import store
from stepahead.config import Config
from stepahead.data.grid import at_each_step
from stepahead.data.panel import Panel, check_panel, check_size
from stepahead.errors import ConfigError, DataError, NotFittedError, TrainingError
from stepahead.fitted import Fitted, check_inputs
from stepahead.forecast import Forecast
from stepahead.holdout import UNJUDGED, naming_holdout, rows_to_keep, with_calibration
from stepahead.live import Live, one_series
from stepahead.panels.fitted import PanelFitted
from stepahead.panels.seasons import seasons_beyond
from stepahead.parameters import Parameters
from stepahead.recipe import resolve
from stepahead.runtime.stream import Stream
from stepahead.together import NOT_JUDGED, Judged, fit_each, judge

SEARCH = "search"  # a window that is to be searched for


class Forecaster(Parameters):
    """Predict the next values of many series with one recurrent network.

    What is left at "auto" the recipe fills in; an explicit parameter wins. The constructor only stores.

    Args:
        recipe: "classic" | "price" | "panel" | "auto": price at horizon 1 without a season, else panel.
        cell: "rnn" (tanh) | "rnn_relu" | "lstm" | "gru".
        window: rows that a forecast looks back on; "search" tries lengths inside the training part (choose_window).
        horizon: steps ahead, all from one pass.
        hidden_size, num_layers: of the recurrent stack.
        dropout: in [0, 1). Of the panel recipe's network on the cell's last output and on the layer behind it; else
            between recurrent layers, so that a single one has none.
        scaler: "minmax" | "standard" | "robust" (by the training part), "window" (each by its own level), or None.
        difference: learn levels (False), differences (True) or log-returns ("log").
        clip: scaled inputs are held within +-clip, or None.
        head: "mse" | "mae" | "huber" for a point; "quantile", "student_t" or, for counts, "negative_binomial" for a
            distribution.
        quantiles: ascending probabilities of the "quantile" head, 0.5 among them; given alone, they ask for it.
        learning_rate, schedule, weight_decay, gradient_clip: of AdamW; schedule "constant" | "one_cycle".
        max_steps, batch_size: optimizer steps; windows of a batch, None for all of them.
        patience, check_every, validation_size: stop after so many checks without a gain on the last share of each
            series' windows, a check every so many steps; patience None validates nothing.
        ensemble, combine: networks that differ by seed, and how they become one: "mean" | "median" | "by_series", the
            mean by their errors on each series' last rows, the panel recipe's.
        zero_head, shrink: start at "no change"; scale the forecast change by what the validation part supports.
        blend: the most that a simple forecast gets of a point forecast of the panel recipe, in [0, 1): the last season
            and its drift, the mean season, or halfway, whichever erred least; "auto" takes the more the fewer the rows.
        missing: "error" | "ffill" | "interpolate" | "mask", what to do with missing values inside a series.
        season_length: rows of a season, or several, [24, 168]; None for none; "auto" looks for one.
        calendar: True for inputs from the stamps (hour, weekday, month), or the dates of holidays to know these too.
        elapsed: the time since the row before is an input, for rows at irregular times; the panel recipe's.
        holdout: what `fit` holds out at the end of each series for the verdict and the intervals: a share in (0, 1), a
            number of rows, or None to skip both.
        seed: the same seed gives the same bits on a CPU.
        device: "cpu" | "cuda" | "cuda:0" ..., for the training.
        network: your own torch.nn.Module from (N, window, inputs) to (N, horizon), trained in the recipe's place.
        memory: "window": a forecast looks back on `window` rows. "carried": the network reads whole series, its state
            carried from row to row, and is trained by truncated back-propagation, `window` rows back, with a loss at
            every row.

    After `fit`: config_ (the recipe, resolved), verdict_ and backtest_ (of the held-out rows, or None), season_length_,
    history_ (step, loss and validation loss of each network), panel_ (the rows it was given), n_rows_ (how many of them
    the network learned: fewer where Ctrl-C came before those held out), window_choice_ (what window="search" found, or
    None).

    Example:
        >>> import numpy as np, stepahead as sa
        >>> panel = sa.Panel.from_arrays(np.sin(np.arange(200) / 3))
        >>> model = sa.Forecaster(recipe="classic", max_steps=20, holdout=None).fit(panel)
        >>> model.predict().columns
        ['unique_id', 'ds', 'LSTM']
    """

    fitted_: Fitted | PanelFitted
    history_: list[Any]
    backtest_: Any  # a Backtest, or None where nothing was held out
    n_rows_: int | None = None  # of a model that was loaded nobody knows
    _interrupted: bool = False  # Ctrl-C ended the training
    _unjudged: DataError | None = None  # why nothing could be held out, where that was left to `fit`
    _over_series: Any = None  # the verdict over the series, once it was asked for or loaded

    def __init__(
        self,
        recipe: str = "auto",
        *,
        cell: str = "auto",
        window: int | str = "auto",
        horizon: int = 1,
        hidden_size: int | str = "auto",
        num_layers: int | str = "auto",
        dropout: float | str = "auto",
        scaler: str | None = "auto",
        difference: bool | str = "auto",
        clip: float | str | None = "auto",
        head: str = "auto",
        quantiles: Sequence[float] | str = "auto",
        learning_rate: float | str = "auto",
        schedule: str = "auto",
        weight_decay: float | str = "auto",
        max_steps: int | str = "auto",
        batch_size: int | str | None = "auto",
        gradient_clip: float | str | None = "auto",
        patience: int | str | None = "auto",
        check_every: int | str = "auto",
        validation_size: float | str = "auto",
        ensemble: int | str = "auto",
        combine: str = "auto",
        zero_head: bool | str = "auto",
        shrink: bool | str = "auto",
        blend: float | str = "auto",
        missing: str = "error",
        season_length: int | Sequence[int] | str | None = "auto",
        calendar: bool | Sequence[Any] = False,
        elapsed: bool = False,
        holdout: float | str | None = "auto",
        seed: int = 0,
        device: str = "cpu",
        network: Any = None,
        memory: str = "window",
    ) -> None:
        self.recipe = recipe
        self.cell = cell
        self.window = window
        self.horizon = horizon
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.scaler = scaler
        self.difference = difference
        self.clip = clip
        self.head = head
        self.quantiles = quantiles
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.gradient_clip = gradient_clip
        self.patience = patience
        self.check_every = check_every
        self.validation_size = validation_size
        self.ensemble = ensemble
        self.combine = combine
        self.zero_head = zero_head
        self.shrink = shrink
        self.blend = blend
        self.missing = missing
        self.season_length = season_length
        self.calendar = calendar
        self.elapsed = elapsed
        self.holdout = holdout
        self.seed = seed
        self.device = device
        self.network = network
        self.memory = memory

    def fit(
        self,
        panel: Panel,
        *,
        checkpoint: str | PathLike[str] | None = None,
        progress: Callable[[Any], None] | None = None,
    ) -> Self:
        """Learn from a panel: first without its held-out last stretch, for the verdict, then from all rows.

        panel: from `stepahead.read`. checkpoint: a file that holds the run of all rows; a killed fit goes on with it
        and ends in the same bits. progress: called with a `train.Report` after each check.
        Returns: self. Ctrl-C ends the training early and keeps the best weights so far, those of the held-out fit where
        it came during that one. Where holdout="auto" can hold out or score nothing, a warning says why, and there are
        neither verdict nor intervals; another warns of a season longer than every series.
        Raises:
            DataError: too few rows, or missing values that `missing` does not allow.
            ConfigError: parameters that cannot be.
            TrainingError: the loss is no longer a number; the last good weights are kept, so `predict` works, without a
                verdict, intervals or a history.
            Whatever else is raised, and Ctrl-C before the first step, leaves the model as it was.
        """
        before = dict(vars(self))
        try:
            self._begin(panel)
            judged = self._judge(panel, progress)
            self.backtest_, self.verdict_ = judged.backtest, judged.verdict
            self._learn(panel, judged, checkpoint, progress)
        except BaseException as error:
            vars(self).clear()
            vars(self).update(before)  # a fit that failed leaves the model as it was
            if isinstance(error, TrainingError) and error.kept:  # nothing where it is a forecast that is no number
                self._fall_back(panel, error.kept)
            raise
        if self._unjudged:
            warnings.warn(f"{UNJUDGED}: no last rows could be held out and scored ({self._unjudged})", stacklevel=2)
        if too_long := seasons_beyond(panel, self._need_fit().config.seasons):
            warnings.warn(too_long, stacklevel=2)
        return self

    def fit_each(self, panels: Sequence[Panel], *, progress: Callable[[Any], None] | None = None) -> list[Self]:
        """One fitted clone for each panel, trained together; each is, to the last bit, as if it were fitted alone.

        Returns: as many Forecasters as panels. Raises: DataError where a part held out cannot be learned without or
        scored; `fit` alone, with holdout="auto", then does without it.
        """
        return fit_each(self, panels, progress)

    def predict(
        self,
        panel: Any = None,
        *,
        level: Sequence[float] | None = None,
        future: Any = None,
        ids: str | int | Sequence[str | int] | None = None,
    ) -> Any:
        """Forecast what follows the last row of each series.

        panel: a Panel, or a table as `stepahead.read` takes it, with the inputs of the training; None goes on from the
        rows that the model learned from. level: coverages in percent, [80, 95]. future: a table of the known-ahead
        inputs for the next `horizon` rows of each series. ids: only these series, or the name of one.
        Returns: a frame of the kind that came in: unique_id, ds, LSTM, LSTM-lo-95, ..., one row a step. Series and time
        have the table's names, unless one of these is a column of the answer.
        Raises: NotFittedError, DataError, ConfigError.
        """
        fitted, given, ahead = self._asked_for(panel, future, ids)
        levels = () if level is None else level
        return fitted.forecast(fitted.source(given), given.offsets[1:] - 1, level=levels, future=ahead).frame()

    def sample(
        self,
        paths: int = 100,
        panel: Any = None,
        *,
        seed: int = 0,
        future: Any = None,
        ids: str | int | Sequence[str | int] | None = None,
    ) -> Any:
        """Draw what may follow the last row of each series: whole paths, whose steps belong together.

        The draws of a step have the quantiles of its intervals; over the horizon they hang together as the held-out
        errors did, so that sums, maxima and waiting times over a path can be read off them.
        paths: how many of each series. seed: the same seed, the same paths. panel, future, ids: as for `predict`.
        Returns: a frame of the kind that came in: unique_id, ds, path (1, 2, ...), LSTM; one row a path and step.
        Raises: NotFittedError, DataError, ConfigError.
        """
        from stepahead.sampled import sample_frame

        fitted, given, ahead = self._asked_for(panel, future, ids)
        return sample_frame(fitted, fitted.source(given), given.offsets[1:] - 1, paths, seed, ahead)

    def forecast(self, panel: Panel, origins: np.ndarray, *, level: Sequence[float] = ()) -> Forecast:
        """Forecast at given rows of a panel, each from the rows of its own series up to it.

        origins: [N] row positions, the last row that each forecast may know. level: coverages in percent.
        Returns: Forecast of N origins and `horizon` steps.
        Raises: NotFittedError; DataError for a panel that the model cannot read, or an origin with too few rows behind
            it; ConfigError for an origin that is no row of the panel, or a level that the model cannot give.
        """
        fitted = self._need_fit()
        return fitted.forecast(fitted.source(panel), np.asarray(origins, dtype=np.int64), level=level)

    def ready_at(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """At which of these rows `forecast` can answer: a full window lies behind, and what is known ahead is there.

        origins: [N] row positions. Returns: [N] bool. Raises: NotFittedError, DataError for a panel that the model
        cannot read.
        """
        return np.isin(origins, self._need_fit().source(panel).answerable())

    def stream(
        self,
        panel: Any = None,
        *,
        series: str | None = None,
        level: Sequence[float] | str = "auto",
        adaptive: bool = True,
    ) -> Stream:
        """Go live: a Stream that has read the rows of one series; each `push` of a new row gives the next forecast.

        panel: a Panel or a table with the rows up to now, as for `predict`; None goes on from the rows that the model
        learned from. series: which of its series, where there are several. level: coverages in percent; "auto" for
        those of 80 and 95 that the model can give. adaptive: whether intervals learn from each row that comes; without
        it they are those of `predict`.
        Raises: NotFittedError, DataError, ConfigError.
        """
        fitted = self._need_fit()
        given = one_series(self._as_panel(panel), series)
        check_inputs(given.schema, fitted.schema)
        return self._live().begin(given, level, adaptive=adaptive)

    def restore(self, snapshot: bytes) -> Stream:
        """The Stream that `Stream.snapshot` put into bytes, in this process or another.

        Raises: ModelFileError for bytes that are damaged, or of a stream of another model.
        """
        self._need_fit()
        return self._live().restore(snapshot)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model as one safetensors file: weights, configuration, checksum, and the rows to go on from.

        A model of your own `network=` keeps its weights; give the module again to `stepahead.load`.
        Raises: NotFittedError; ModelFileError where the file cannot be written, an older one then stays as it was.
        """
        from stepahead.forecaster_file import pack_forecaster

        self._need_fit()
        store.save(path, *pack_forecaster(self))

    @property
    def name(self) -> str:
        """The output column: the cell in capitals."""
        return self._need_fit().config.name

    @property
    def config_(self) -> Config:
        """Every number of the recipe that was used, nothing left open."""
        return self._need_fit().config

    @property
    def season_length_(self) -> int | None:
        """Rows of the (leading) season, None where there is none."""
        return self._need_fit().config.season_length

    @property
    def series_verdict_(self) -> Any:
        """The verdict over the series, of the held-out rows: a SeriesVerdict, or None where nothing was held out."""
        self._need_fit()
        if self._over_series is None and self.backtest_ is not None:
            from stepahead.evaluate.over_series import over_series

            self._over_series = over_series(self.backtest_)
        return self._over_series

    def _need_fit(self) -> Any:  # Fitted or PanelFitted: each takes the source that it made
        if not hasattr(self, "fitted_"):
            raise NotFittedError("this Forecaster has not learned anything yet: call fit(panel) first")
        return self.fitted_

    def _asked_for(self, panel: Any, future: Any, ids: Any) -> tuple[Any, Panel, np.ndarray | None]:
        """What was learned, the rows to go on from, and the inputs known ahead of them: [S, H, K] or None."""
        fitted = self._need_fit()
        given = self._as_panel(panel)
        if ids is not None:
            given = given.select(ids)
        if fitted.schema.future:
            from stepahead.data.future import read_future

            return fitted, given, read_future(future, given, fitted.frequency, fitted.config.horizon)
        if future is not None:
            raise ConfigError("future= was given, but the model was trained without inputs known ahead")
        return fitted, given, None

    def _live(self) -> Live:
        """The model as its streams need it, made once for what was learned."""
        live: Live | None = getattr(self, "_streams", None)
        if live is None or live.fitted is not self.fitted_:
            live = self._streams = Live(self.fitted_)
        return live

    def _as_panel(self, table: Any) -> Panel:
        if table is None:
            return self.panel_
        if not isinstance(table, Panel):
            from stepahead.data.read import read_like

            table = read_like(table, self._need_fit().schema)
        check_size(table)
        grid = self._need_fit().schema.grid
        return table if grid is None or table.schema.grid is not None else at_each_step(table, grid)

    def _begin(self, panel: Panel) -> None:
        """What is known of a fit before anything is learned."""
        check_panel(panel, "fit")
        check_size(panel)
        self.backtest_, self.verdict_, self._over_series = None, None, None
        self._interrupted, self._unjudged = False, None
        self.window_choice_ = self._search(panel)

    def _search(self, panel: Panel) -> Any:
        """What a window search says where one is asked for, else None; the held-out rows have no say in it."""
        if self.window != SEARCH:
            return None
        from stepahead.evaluate.choose import choose_window

        kept = rows_to_keep(panel, self.holdout, self.horizon)
        with naming_holdout(self.holdout):
            return choose_window(self, panel if kept is None else panel.head(kept))

    def _asked(self) -> dict[str, Any]:
        """The parameters, with the window that was found in place of "search"."""
        return self.get_params() | ({} if self.window_choice_ is None else {"window": self.window_choice_.chosen})

    def _judge(self, panel: Panel, progress: Callable[[Any], None] | None) -> Judged:
        """Fit without the held-out stretch and score on it; NOT_JUDGED where nothing is, or can be, held out."""
        kept = rows_to_keep(panel, self.holdout, self.horizon)
        if kept is None:
            return NOT_JUDGED
        try:
            return judge(self, panel, kept, progress)
        except DataError as error:
            if self.holdout != "auto":
                raise
            self._unjudged = error.with_traceback(None)
            return NOT_JUDGED

    def _learn(self, panel: Panel, judged: Judged, checkpoint: Any, progress: Callable[[Any], None] | None) -> None:
        """Learn from all rows, or take what the judge learned where Ctrl-C ended all of the fit."""
        if judged.stopped is None:
            from stepahead.learn import learn

            config = resolve(self._asked(), panel)
            self._keep(panel, *learn(panel, config, self._training(checkpoint, progress)))
        else:
            self.panel_, self._interrupted = panel, True
            self.fitted_, self.history_ = judged.stopped.fitted_, judged.stopped.history_
            self.n_rows_ = judged.stopped.n_rows_
        if judged.calibration is not None:
            self.fitted_ = with_calibration(self.fitted_, judged.calibration)

    def _fall_back(self, panel: Panel, kept: Any) -> None:
        """The last good weights of a training that failed, and nothing else of it."""
        self.panel_, self.fitted_, self.history_ = panel, kept, []
        self.backtest_, self.verdict_, self._over_series, self.n_rows_ = None, None, None, None
        self._interrupted = False

    def _training(self, checkpoint: Any = None, progress: Callable[[Any], None] | None = None) -> Any:
        from stepahead.learn import Training

        if not isinstance(checkpoint, str | PathLike | None):
            raise ConfigError(f"checkpoint={checkpoint!r} must be the name of a file")
        return Training(self.device, self.network, None if checkpoint is None else Path(checkpoint), progress)

    def _keep(self, panel: Panel, fitted: Fitted | PanelFitted, results: Sequence[Any]) -> None:
        self.panel_, self.fitted_ = panel, fitted
        self.history_ = [result.history for result in results]
        self.n_rows_ = self.panel_.n_rows
        self._interrupted = any(result.stopped == "interrupted" for result in results)
