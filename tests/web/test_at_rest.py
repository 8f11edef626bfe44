"""The page of a run that nobody runs: read from its folder, which stays as it is; and orders are refused."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from star_agents.core.errors import PortTakenError
from star_agents.service.life.at_rest import how_it_stands, shown_at_rest, until_started
from star_agents.service.run.address import Address, read_address, write_address
from star_agents.service.run.ended import write_ended
from star_agents.service.run.timeline import TIMELINE_FILE, Timeline
from star_agents.service.view.status import Ending
from star_agents.storage.folder import RunFolder
from tests.loops import run_real
from tests.service.service_world import status
from tests.web.test_page import fill, text, wait
from tests.web.theatre import on_a_loop_of_its_own

if TYPE_CHECKING:
    from playwright.sync_api import Page

NUM_ROWS = 130
PATIENCE_S = 60
JSONL = {"Content-Type": "application/jsonl"}
NEW = Address(host="127.0.0.1", port=1, socket=None, token="t", read_token="r", pid=1)  # noqa: S106  # of nobody


async def lived(folder: RunFolder, ending: Ending | None) -> None:
    """What a run leaves behind."""
    await fill(folder.database, NUM_ROWS)
    timeline = Timeline(folder.path / TIMELINE_FILE)
    for _ in range(3):
        await timeline.note(status())
    if ending is not None:
        await asyncio.to_thread(write_ended, folder.path, ending)


def contents(folder: RunFolder) -> dict[str, bytes]:
    """Every file but those that SQLite makes for any reader: the index in memory, and a log that holds nothing."""
    files = {file.name: file.read_bytes() for file in folder.path.iterdir() if not file.name.endswith("-shm")}
    return {name: content for name, content in files.items() if content or not name.endswith("-wal")}


async def asked(address: Address, method: str, path: str, token: str = "", **parts: Any) -> tuple[int, Any]:  # noqa: ANN401
    headers = {"Authorization": f"Bearer {token or address.token}"} | parts.pop("headers", {})
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, address.url(path), headers=headers, **parts) as reply,
    ):
        is_json = "json" in reply.content_type and reply.content_type != "application/jsonl"
        return reply.status, await reply.json(content_type=None) if is_json else await reply.text()


def test_everything_that_a_run_left_is_shown(tmp_path: Path) -> None:
    """Status, rows, weights, scores and the time line, by the token alone; streams end by themselves."""

    async def main() -> None:
        folder = RunFolder(tmp_path)
        await lived(folder, Ending.COMPLETE)
        async with shown_at_rest(folder, port=0) as address:
            code, told = await asked(address, "GET", "/api/v1/status", address.read_token)
            assert (code, told["phase"], told["ending"]) == (200, "not running", "complete")
            assert (told["seeds_done"], told["seeds_total"], told["weights_version"]) == (NUM_ROWS, NUM_ROWS, 13)
            assert told["message"].startswith("The run is complete")
            assert (await asked(address, "GET", "/api/v1/rows/page?first=100&limit=5"))[1]["last"] == NUM_ROWS
            assert (await asked(address, "GET", "/api/v1/rows/7"))[1]["seq"] == 7
            assert (await asked(address, "GET", "/api/v1/seeds/7"))[1] == {"row": 8}
            assert len((await asked(address, "GET", "/api/v1/scores?rows=9"))[1]["base"]) == 9
            assert len((await asked(address, "GET", "/api/v1/weights/history"))[1]["versions"]) == 13
            samples = (await asked(address, "GET", "/api/v1/timeline?after=1"))[1]["samples"]
            assert [sample["number"] for sample in samples] == [2, 3]
            lines = (await asked(address, "GET", "/api/v1/rows?follow=true"))[1].splitlines()
            assert lines[-1] == f'{{"end":"complete","after":{NUM_ROWS}}}'
            assert (await asked(address, "GET", "/api/v1/events"))[1].count("event: status") == 1
            assert (await asked(address, "GET", "/api/v1/status", "guess"))[0] == 401
            assert (await asked(address, "GET", "/api/v1/status", headers={"Host": "evil.example"}))[0] == 403

    run_real(main())


def test_every_order_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Whatever the token may do, there is nobody to do it."""

    async def main() -> None:
        folder = RunFolder(tmp_path)
        await lived(folder, None)
        async with shown_at_rest(folder, port=0) as address:
            orders: list[tuple[str, str, dict[str, Any]]] = [
                *(("POST", f"/api/v1/{verb}", {}) for verb in ("pause", "resume", "drain")),
                (
                    "POST",
                    "/api/v1/seeds",
                    {"data": b'{"instruction": "a"}', "headers": JSONL},
                ),
                ("POST", "/api/v1/agents", {"json": {"retire": ["a"], "reason": "x"}}),
                ("POST", "/api/v1/retune", {"json": {"values": {"budget.usd": 5}}}),
                ("DELETE", "/api/v1/agents/a", {}),
                ("GET", "/api/v1/agents", {}),
            ]
            for method, path, parts in orders:
                code, told = await asked(address, method, path, **parts)
                assert code == 409, path
                assert told["title"].startswith("the run is not running"), path
            assert (await asked(address, "GET", "/readyz"))[0] == 503
            assert (await asked(address, "GET", "/healthz"))[0] == 200
            assert "the last start was killed" in (await asked(address, "GET", "/api/v1/status"))[1]["message"]

    run_real(main())


def test_it_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    """No address, no socket, no lock, and a time line that broke off stays broken off: a start may come at any time."""

    async def main() -> dict[str, bytes]:
        folder = RunFolder(tmp_path)
        await lived(folder, Ending.STOPPED)
        with (tmp_path / TIMELINE_FILE).open("ab") as file:
            file.write(b'{"number": 4, "st')
        before = contents(folder)
        async with shown_at_rest(folder, port=0) as address:
            assert len((await asked(address, "GET", "/api/v1/timeline"))[1]["samples"]) == 3
            await asked(address, "GET", "/api/v1/rows/page")
            assert read_address(tmp_path) is None
        assert contents(folder) == before
        return before

    assert run_real(main())


def test_a_port_that_is_taken_is_named_as_it_was_given(tmp_path: Path) -> None:
    """The option, not a key of a config that nobody gave."""

    async def main() -> None:
        folder = RunFolder(tmp_path)
        await lived(folder, None)
        async with shown_at_rest(folder, port=0) as address:
            assert address.port is not None
            with pytest.raises(PortTakenError, match=r"^--port: cannot listen"):
                async with shown_at_rest(folder, port=address.port):
                    pytest.fail("two services on one port")

    run_real(main())


@pytest.mark.parametrize("left_behind", [None, replace(NEW, pid=2)])
def test_a_start_is_noticed(tmp_path: Path, left_behind: Address | None) -> None:
    """By the new address in the folder, whether or not a killed start had left one."""

    async def main() -> None:
        if left_behind is not None:
            await asyncio.to_thread(write_address, tmp_path, left_behind)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(until_started(RunFolder(tmp_path), left_behind=left_behind))
            await asyncio.sleep(0)
            assert not waiting.done()
            await asyncio.to_thread(write_address, tmp_path, NEW)

    run_real(main())


@pytest.mark.parametrize(
    ("ending", "words"),
    [(Ending.COMPLETE, "is complete"), (Ending.BUDGET, "ended: budget reached"), (None, "was killed")],
)
def test_it_says_how_it_stands(ending: Ending | None, words: str) -> None:
    """And how to go on, where there is something to go on with."""
    said = how_it_stands(ending)
    assert words in said
    assert ("--resume" in said) == (ending is not Ending.COMPLETE)


@contextmanager
def served(folder: RunFolder) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`star-agents page` of it as a process of its own, and the address that it printed."""
    command = [sys.executable, "-m", "star_agents", "page", str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped_or_the_run_is_started(tmp_path: Path) -> None:
    """The address comes first, Ctrl-C ends it well, and a start of the run ends it with a word."""
    folder = RunFolder(tmp_path)
    run_real(lived(folder, Ending.COMPLETE))
    with served(folder) as (process, url):
        parts = urlsplit(url)
        assert (parts.scheme, parts.hostname, parts.fragment[:6]) == ("http", "127.0.0.1", "token=")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, "Traceback" in told) == (0, False)
        assert "is not running: its page is served" in told
    with served(folder) as (process, _):
        write_address(tmp_path, NEW)
        _, told = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, "Traceback" in told) == (0, False)
        assert "is running again" in told


@pytest.fixture
def resting(tmp_path: Path) -> Iterator[Address]:
    """The page of a run that was stopped."""
    folder = RunFolder(tmp_path)
    with on_a_loop_of_its_own() as loop:
        loop.run(lived(folder, Ending.STOPPED))
        opened = shown_at_rest(folder, port=0)
        address = loop.run(opened.__aenter__())
        try:
            yield address
        finally:
            loop.run(opened.__aexit__(None, None, None))


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_run_at_rest(resting: Address, visit: "Callable[..., Page]", scheme: str) -> None:
    """Everything is drawn, rows are turned and opened, and the buttons stand still and say why."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(resting.page(token=resting.token), scheme=scheme)
    wait(page, "document.querySelectorAll('#rows tbody tr').length === 50")
    wait(page, "document.querySelectorAll('#weights canvas, #throughput canvas, #scores canvas').length === 3")
    assert text(page, "#phase") == "not running"
    assert text(page, "#progress-text") == "130 seeds"  # of how many nobody knows
    assert not page.locator("#progress").is_visible()
    assert "the last start ended: stopped on request" in text(page, "#message")
    for verb in ("pause", "drain"):
        button = page.locator(f"#{verb}")
        assert button.is_visible()
        assert button.is_disabled()
        assert "serve-run --resume" in str(button.get_attribute("title"))
    assert not page.locator("#resume").is_visible()
    page.click("#older")
    wait(page, "document.querySelector('#rows-note').textContent === '80 to 31 of 130'")
    page.click("#rows tbody button")
    wait(page, "document.querySelector('#row').open")
    assert "Deep answer" in text(page, "#row")
    page.keyboard.press("Escape")
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.slow
def test_who_may_only_look_sees_no_buttons_at_rest(resting: Address, visit: "Callable[..., Page]") -> None:
    """As of a run that goes on."""
    page = visit(resting.page(token=resting.read_token))
    wait(page, "document.querySelectorAll('#rows tbody tr').length === 50")
    assert [page.locator(f"#{verb}").is_visible() for verb in ("pause", "resume", "drain")] == [False] * 3
