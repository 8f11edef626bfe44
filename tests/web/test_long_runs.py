"""The page of runs as they are: a hundred thousand rows, and one that is killed, goes on, and is drained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from star_agents.client.connection import ask
from tests.process.harness import PATIENCE_S, started
from tests.web.conftest import Watched
from tests.web.many_rows import many_rows
from tests.web.stage import address_when_ready, on_stage
from tests.web.test_page import text, wait
from tests.web.theatre import Theatre, played

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MANY = 100_000
PAGE_BYTES = 40_000
"""Of one page of rows: what is sent does not grow with what there is."""


@pytest.fixture(autouse=True)
def _end_runs() -> "Iterator[None]":
    yield
    while started:
        process = started.pop()
        process.kill()
        process.wait()


def test_a_hundred_thousand_rows_are_paged(tmp_path: Path, visit: "Callable[..., Page]") -> None:
    """The newest, the oldest, the middle and any seed, each by one small answer, whatever there is in all."""
    theatre = Theatre(tmp_path)
    many_rows(theatre.folder.database, MANY)
    theatre.shown = replace(theatre.shown, seeds_done=MANY, seeds_total=MANY)
    sizes: list[int] = []
    with played(theatre):
        page = visit(theatre.url())
        page.on("response", lambda reply: sizes.append(len(reply.body())) if "/rows/page" in reply.url else None)
        wait(page, "document.querySelector('#rows-note').textContent === '100,000 to 99,951 of 100,000'")
        page.click("#older")
        wait(page, "document.querySelector('#rows-note').textContent === '99,950 to 99,901 of 100,000'")
        for number, opened in ((1, "Row 1 · seed 0 "), (50_000, "Row 50,000 · seed 49,999 ")):
            page.fill("#goto", str(number))
            page.press("#goto", "Enter")
            wait(page, f"document.querySelector('#row-title').textContent.startsWith('{opened}')")
            page.keyboard.press("Escape")
        assert text(page, "#rows-note") == "50,025 to 49,976 of 100,000"
        page.fill("#goto-seed", "31337")
        page.press("#goto-seed", "Enter")
        wait(page, "document.querySelector('#row-title').textContent.startsWith('Row 31,338 · seed 31,337 ')")
        assert "Deep answer 31337" in text(page, "#row")
        page.close()
    assert sizes
    assert max(sizes) < PAGE_BYTES


def test_a_run_that_was_killed_goes_on_with_its_whole_history(
    tmp_path: Path, visit: "Callable[..., Page]", watched: Watched
) -> None:
    """Watched, paused by a click, killed, resumed, drained by a click; nothing of the first start is lost."""
    watched.expected = ("ERR_",)
    with on_stage(tmp_path, num_seeds=400, latency_ms=30, keep_alive=True) as run:
        process = run.start()
        address = address_when_ready(run, process)
        page = visit(address.page(token=address.token))
        wait(page, "document.querySelectorAll('#rows tbody tr').length >= 12")
        before = text(page, "#rows-note")
        wait(page, f"document.querySelector('#rows-note').textContent !== '{before}'")  # it follows
        page.click("#pause")
        wait(page, "document.querySelector('#phase').textContent === 'paused'")
        assert ask(address, "GET", "/api/v1/status")["phase"] == "paused"
        known = ask(address, "GET", "/api/v1/weights/history")["versions"]
        process.kill()
        process.wait()
        wait(page, "document.querySelector('#phase').textContent === 'not connected'")
        page.close()

        process = run.start()
        address = address_when_ready(run, process)
        page = visit(address.page(token=address.token))
        wait(page, "document.querySelectorAll('#rows tbody tr').length >= 12")
        assert ask(address, "GET", "/api/v1/weights/history")["versions"][: len(known)] == known
        samples = ask(address, "GET", "/api/v1/timeline")["samples"]
        assert [samples[0]["start"], samples[-1]["start"]] == [1, 2]
        wait(page, "document.querySelector('#throughput canvas') !== null")
        page.fill("#goto", "1")
        page.press("#goto", "Enter")
        wait(page, "document.querySelector('#row-title').textContent.startsWith('Row 1 ')")
        page.keyboard.press("Escape")
        page.click("#drain")
        page.click("#drain-yes")
        wait(page, "document.querySelector('#message').textContent.startsWith('The run has ended: stopped on request')")
        assert process.wait(PATIENCE_S) == 0, run.output()
        page.close()
