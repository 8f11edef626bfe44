"""What becomes of a log record on its way to a file: no secret in it, no flood, and JSON where it is asked for.

Laws: whatever a line says, exception and all, is masked after it was put together, so nothing can slip past; of one
message more than `BURST` in `WINDOW_S` are counted and not written, and the count is told with the next that is.
"""

import logging
from dataclasses import dataclass

import orjson

from star_agents.core.secret import Mask

BURST = 50
WINDOW_S = 10.0
MAX_KEYS = 1000
_VERDICT = "is_let_through"

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class TextFormatter(logging.Formatter):
    """Plain lines, masked."""

    def __init__(self, mask: Mask) -> None:
        super().__init__(TEXT)
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """The line, or the lines where an exception is told."""
        return self._mask(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `message`, and `exception` where there is one; masked."""

    default_msec_format = "%s.%03d"

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """The object."""
        line = {
            "at": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._mask(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = self._mask(self.formatException(record.exc_info))
        return orjson.dumps({key: value.encode("utf-8", "replace").decode() for key, value in line.items()}).decode()


@dataclass(slots=True)
class _Window:
    began_at: float
    told: int = 0
    left_out: int = 0


class Throttle(logging.Filter):
    """Lets so many records of one message through in so long; the message is its template, not what fills it."""

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, str], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; one that is tells how many like it were left out before.

        Several handlers may share a throttle: a record is judged once.
        """
        verdict: bool | None = getattr(record, _VERDICT, None)
        if verdict is None:
            verdict = self._judge(record)
            setattr(record, _VERDICT, verdict)
        return verdict

    def _judge(self, record: logging.LogRecord) -> bool:
        key, at = (record.name, str(record.msg)), record.relativeCreated / 1000
        window = self._windows.get(key)
        if window is None or at - window.began_at > WINDOW_S:
            left_out = window.left_out if window else 0
            if len(self._windows) >= MAX_KEYS:
                self._windows.clear()
            self._windows[key] = _Window(at, told=1)
            if left_out:
                record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it before)", None
            return True
        if window.told >= BURST:
            window.left_out += 1
            return False
        window.told += 1
        return True
