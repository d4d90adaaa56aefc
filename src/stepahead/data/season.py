"""Does the target repeat itself?  Panel -> season length in steps, or None.

A season is *found* where the changes of the target correlate with themselves one season earlier.  Candidates come from
the calendar (hourly 24 and 168, daily 7, monthly 12, ...); integer steps bring no calendar, so the usual lengths are
tried.  Only the rows of the panel that is given are seen: a caller cuts it with `until` first.
"""

import numpy as np

from stepahead.data.panel import Panel

STEP_SEASONS = (4, 7, 12, 24, 48, 52, 96, 168, 336)  # tried where time is counted in bare steps
CLEAR = 0.3  # an autocorrelation below this is no season that a forecaster would see
PANEL_SAMPLE = 100  # series looked at in a large panel: evenly spaced, so the answer repeats


def find_season(panel: Panel) -> int | None:
    """The season length in steps that most series agree on, or None.

    A candidate counts for a series of at least three seasons when the autocorrelation of its first differences at
    that lag is above 0.3, above three standard errors, and a peak among its neighbours. The calendar names two or three
    lengths, which are held against the error of white changes; the many that are tried on bare steps against
    Bartlett's, which a smooth season itself makes so wide that its lag needs some 9 (m + 1) rows.
    """
    calendar = bool(panel.frequency.seasons)
    candidates = panel.frequency.seasons or (STEP_SEASONS if panel.frequency.unit == "step" else ())
    if not candidates or panel.n_series == 0:
        return None
    chosen = np.unique(np.linspace(0, panel.n_series - 1, min(panel.n_series, PANEL_SAMPLE)).astype(int))
    strengths = np.array([season_strengths(panel.y[panel.rows(s)], candidates, calendar) for s in chosen])
    shared = (strengths > 0).mean(axis=0) >= 0.5
    if not shared.any():
        return None
    return int(candidates[int(np.argmax(np.where(shared, strengths.mean(axis=0), 0.0)))])


def season_strengths(y: np.ndarray, candidates: tuple[int, ...], calendar: bool) -> np.ndarray:
    """The autocorrelation at each candidate lag where it counts as a season, else 0: [candidates].

    calendar: whether the candidates come from the stamps.
    """
    known = y[~np.isnan(y)]
    usable = [m for m in candidates if len(known) >= 3 * m + 2]
    if not usable:
        return np.zeros(len(candidates))
    correlation = autocorrelation(np.diff(known), max(usable) + 1)
    errors = [1.0 if calendar else 1 + 2 * np.square(correlation[1:m]).sum() for m in candidates]
    return np.array(
        [
            strength(correlation, m, np.sqrt(variance / len(known))) if m in usable else 0.0
            for m, variance in zip(candidates, errors, strict=True)
        ]
    )


def strength(correlation: np.ndarray, lag: int, error: float) -> float:
    """correlation[lag] if it is clear, beyond three errors and a local peak, else 0."""
    here = correlation[lag]
    peak = here >= correlation[lag - 1] and here >= correlation[lag + 1]
    return float(here) if peak and here > CLEAR and here > 3 * error else 0.0


def autocorrelation(values: np.ndarray, lags: int) -> np.ndarray:
    """Autocorrelation at lags 0..lags by the Fourier transform: [lags + 1]; zeros for a constant."""
    centred = values - values.mean()
    size = 1 << int(np.ceil(np.log2(len(values) + lags + 1)))
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    covariance = np.fft.irfft(spectrum, size)[: lags + 1]
    return covariance / covariance[0] if covariance[0] > 0 else np.zeros(lags + 1)
