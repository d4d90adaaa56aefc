"""Logs as JSON lines on standard error: time, level, event, and what belongs to it.  Never a token, never a body."""

import json
import logging
import sys
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

LOG = logging.getLogger("stepahead.server")
LEVELS = ("debug", "info", "warning", "error", "critical")
REFUSED = frozenset({401, 403, 421})  # by token, origin, host
SLOW = 1.0  # seconds from which a request is logged
MOST_REFUSED = 20  # of these are logged a minute; a flood of them must not fill the disk
LONGEST_PATH = 200
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """One record, one line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in PLAIN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def log_to_stderr(level: str = "info") -> None:
    """Send the server's records, and uvicorn's warnings, to standard error as JSON lines.

    level: of LEVELS; with "debug" uvicorn says more, too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.captureWarnings(True)
    other = level.upper() if level in ("debug", "error", "critical") else "WARNING"
    for name, lowest in (("stepahead.server", level.upper()), ("uvicorn", other), ("py.warnings", other)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(lowest)
    logging.getLogger("uvicorn.error").addFilter(without_websockets)


def without_websockets(record: logging.LogRecord) -> bool:
    """WebSockets are off on purpose: no advice on how to have them."""
    return not any(part in record.getMessage() for part in ("WebSocket", "upgrade request"))


class Requests:
    """What the log says of requests: of failed, slow and refused ones, or of every one.

    every: whether each request has its line. Refusals are warnings; unless every request is logged, so many a minute.
    """

    def __init__(self, *, every: bool = False) -> None:
        self.every = every
        self.left_out = self.refused = 0
        self.minute = -1.0

    def told(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        """Log one request, if it is worth a line."""
        if status >= 500:
            level = logging.ERROR
        elif status in REFUSED:
            level = logging.WARNING
            if not self.every and not self._has_room():
                return
        elif self.every or seconds > SLOW:
            level = logging.INFO
        else:
            return
        said = {
            "method": scope["method"],
            "path": scope["path"][:LONGEST_PATH],  # without the query, where a token may stand that belongs elsewhere
            "route": scope.get("stepahead.route", "other"),
            "status": status,
            "seconds": round(seconds, 4),
            "client": (scope.get("client") or ("",))[0],
        }
        if status in REFUSED:
            said["why"] = scope.get("stepahead.refusal", "")
            if self.left_out:
                said["left_out"], self.left_out = self.left_out, 0
        LOG.log(level, "request", extra=said)

    def _has_room(self) -> bool:
        """Whether this refusal is among the first of its minute."""
        now = time.monotonic()
        if self.minute < 0 or now - self.minute >= 60:
            self.minute, self.refused = now, 0
        self.refused += 1
        if self.refused <= MOST_REFUSED:
            return True
        self.left_out += 1
        return False
