"""Can this forecast be believed?  A model or a function, a panel -> findings, each with its evidence and likely cause.

Everything is found by asking: values are changed, and the answers compared. Later rows must change no bit, the newest
row and each input must count, the same question must get the same answer, neighbours in a batch must not matter.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stepahead.data.panel import Panel, check_panel
from stepahead.errors import ConfigError, DataError
from stepahead.evaluate.case import Case, Finding, Skip
from stepahead.evaluate.checks import CHECKS, DECISIVE, SAME, echo
from stepahead.evaluate.subjects import subject_of
from stepahead.parameters import check_whole

DEPTH = 30  # rows back whose influence is asked for


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    findings: what is wrong; empty where nothing was found. measurements: numbers that are no findings by themselves:
    whether the forecast echoes. asked: the checks that were made. skipped: those that could not be, and why.
    """

    findings: tuple[Finding, ...]
    measurements: dict[str, Any] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.findings

    def __str__(self) -> str:
        if self.ok:
            return f"no finding in {len(self.asked)} checks: {', '.join(self.asked)}"
        return "\n".join(map(str, self.findings))

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {
            "ok": self.ok,
            "findings": [{"check": f.check, "evidence": f.evidence, "cause": f.cause} for f in self.findings],
            "measurements": self.measurements,
            "asked": list(self.asked),
            "skipped": self.skipped,
        }


def audit(
    x: Any,
    panel: Panel,
    *,
    horizon: int | None = None,
    window: int | None = None,
    cutoff: Any = None,
    seed: int = 0,
) -> Audit:
    """Look for leaks and other defects in how something forecasts.

    Args:
        x: a stepahead model, fitted or not (clones of it are trained); any callable `forecast(table, cutoff)` that
            returns a frame of unique_id, ds, forecast; a torch.nn.Module from (N, window, inputs) to (N, horizon).
        panel: from `stepahead.read`.
        horizon: steps ahead; the model's own, or 1 for a callable.
        window: rows that a module takes; for others, how many rows back the influence is asked for (30).
        cutoff: a time with rows before and after it; three quarters through the longest series by default.
        seed: of the values that replace others.

    Returns:
        Audit, `.ok` where nothing was found.

    Raises:
        ConfigError: something that cannot be audited, or a cutoff without rows around it; and whatever x raises.

    Example:
        >>> import numpy as np, stepahead as sa
        >>> panel = sa.Panel.from_arrays(np.cumsum(np.random.default_rng(0).normal(size=80)))
        >>> sa.audit(sa.Forecaster(recipe="classic", max_steps=3), panel).ok
        True
    """
    check_panel(panel, "audit")
    check_whole(**{n: (v, 1) for n, v in (("horizon", horizon), ("window", window)) if v is not None}, seed=(seed, 0))
    at = cutoff_in(panel, cutoff)
    subject = subject_of(x, panel, learned_until=at, horizon=horizon, window=window)
    case = Case(subject, panel, at, window or DEPTH, seed)
    findings: list[Finding] = []
    asked: list[str] = []
    skipped: dict[str, str] = {}
    for name, check in CHECKS.items():
        if any(f.check == SAME.get(name) for f in findings):
            skipped[name] = f"'{SAME[name]}' has a finding already"
            continue
        try:
            found = check(case)
        except Skip as reason:
            skipped[name] = str(reason)
            continue
        asked.append(name)
        findings += found
        if found and name in DECISIVE:  # without answers that repeat, a difference proves nothing
            asked = list(dict.fromkeys([*asked, found[0].check]))
            skipped |= dict.fromkeys([other for other in CHECKS if other not in asked], DECISIVE[found[0].check])
            return Audit(tuple(findings), {}, tuple(asked), skipped)
    return Audit(tuple(findings), echo(case), tuple(asked), skipped)


def cutoff_in(panel: Panel, cutoff: Any) -> Any:
    """The cutoff in the panel's own kind of time.

    Raises: ConfigError where no series has rows on both sides of it; DataError where there is one row alone.
    """
    longest = panel.times[panel.rows(int(np.argmax(panel.lengths)))]
    if cutoff is None:
        if len(longest) < 2:
            raise DataError(f"{panel.schema.source}: an audit needs at least 2 rows of a series; give more rows")
        return longest[min(len(longest) * 3 // 4, len(longest) - 2)]
    try:
        at = np.asarray(cutoff).astype(panel.times.dtype)[()]
    except (ValueError, TypeError) as error:
        example = panel.times[len(panel.times) // 2]
        raise ConfigError(f"cutoff={cutoff!r} is no time of {panel.schema.source}; they look like {example}") from error
    if not (panel.times <= at).any() or not (panel.times > at).any():
        raise ConfigError(f"cutoff={cutoff!r} has no rows before or after it in {panel.schema.source}")
    return at
