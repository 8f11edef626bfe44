"""What reaches a log file: no secret, no flood, and JSON where it is asked for."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.cli.logs import LogStyle, start_logging
from star_agents.core.secret import Mask, Secret
from star_agents.service.life.log_lines import BURST, JsonFormatter, TextFormatter, Throttle

KEY = "canary 51b7e0d2aa, with a space"
MASK = Mask([Secret(KEY, origin="env:X")])


def record(message: str, *args: object, exception: BaseException | None = None) -> logging.LogRecord:
    info = None if exception is None else (type(exception), exception, exception.__traceback__)
    return logging.LogRecord("star_agents.test", logging.WARNING, __file__, 1, message, args, info)


def fail_twice(first: str, second: str) -> None:
    raise RuntimeError(second) from ValueError(first)


@pytest.fixture
def _package_logger() -> Iterator[None]:
    """The package's logger as it was, when the test is over."""
    package = logging.getLogger("star_agents")
    before = (list(package.handlers), package.level, package.propagate)
    yield
    for handler in package.handlers:
        if handler not in before[0]:
            handler.close()
    package.handlers[:], package.level, package.propagate = before


@pytest.mark.parametrize("formatter", [TextFormatter(MASK), JsonFormatter(MASK)], ids=["text", "json"])
@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_no_secret_is_in_a_line(formatter: logging.Formatter, before: str, after: str) -> None:
    """Not in the message, not in what fills it, not in an exception or in what that came of."""
    with pytest.raises(RuntimeError) as caught:
        fail_twice(f"{before}{KEY}", f"{KEY}{after}")
    filled = record(f"%s {before.replace('%', '')}{KEY}", f"{KEY}{after}", exception=caught.value)
    line = formatter.format(filled)
    assert KEY not in line
    assert "51b7e0d2aa" not in line


@pytest.mark.parametrize(
    "text",
    ["Authorization: Bearer abcdefgh12345678", "the key sk-abcdefghijklmnop1234 is wrong", "hf_abcdefghijklmnopqrst"],
)
def test_what_looks_like_a_key_is_blotted_out(text: str) -> None:
    """A server may quote a key that is none of ours."""
    masked = Mask()(text)
    assert "***" in masked
    assert "abcdefgh" not in masked


def test_a_json_line_is_json() -> None:
    """With the fields that a log collector looks for; half a surrogate pair does not break it."""
    with pytest.raises(RuntimeError) as caught:
        fail_twice("\udc00", "no space left")
    line = json.loads(JsonFormatter(Mask()).format(record("odd %s", "\ud800", exception=caught.value)))
    assert line.keys() == {"at", "level", "logger", "message", "exception"}
    assert (line["level"], line["logger"]) == ("warning", "star_agents.test")
    assert "no space left" in line["exception"]


@pytest.mark.fault("F-90")
@pytest.mark.usefixtures("_package_logger")
def test_a_flood_is_counted_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred thousand errors of one kind `BURST` reach the file; the next that is written tells of the others."""
    monkeypatch.setattr(sys, "stderr", (tmp_path / "stderr").open("w"))
    start_logging(tmp_path / "logs", to_stderr=True)
    log = logging.getLogger("star_agents.endpoints")
    for number in range(100_000):
        log.error("call %d failed", number)
    log.error("something else")
    throttle = next(one for one in logging.getLogger("star_agents").handlers[-1].filters if isinstance(one, Throttle))
    for window in throttle._windows.values():
        window.began_at -= 3600
    log.error("call %d failed", 100_000)
    for file in (tmp_path / "logs" / "star-agents.log", tmp_path / "stderr"):
        sys.stderr.flush()
        lines = file.read_text().splitlines()
        assert len(lines) == BURST + 2
        assert lines[-1].endswith(f"call 100000 failed (and {100_000 - BURST} more like it before)")
    sys.stderr.close()


@pytest.mark.parametrize(("style", "name"), [("text", "star-agents.log"), ("json", "star-agents.jsonl")])
@pytest.mark.usefixtures("_package_logger")
def test_logs_are_files_of_the_run(tmp_path: Path, style: LogStyle, name: str) -> None:
    """In the style that is asked for, in a folder that only the owner can open."""
    start_logging(tmp_path / "logs", to_stderr=False, style=style, secrets=[Secret(KEY, origin="env:X")])
    logging.getLogger("star_agents.x").warning("said %s", KEY)
    content = (tmp_path / "logs" / name).read_text()
    assert "said ***" in content
    assert (tmp_path / "logs").stat().st_mode & 0o077 == 0
