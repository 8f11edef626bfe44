"""The oracle itself: it says the same every time, fails as told, and its journal tells what happened."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from star_agents.policy.verdicts import parse_verdict
from tests.faultd.answers import answer, fingerprint
from tests.faultd.faults import BLACK_HOLE, CATALOGUE, NO_REPLY, Chance, Script, Seen, first, never
from tests.faultd.journal import Journal, read_journal, sends, served
from tests.faultd.server import Faultd
from tests.loops import run_real


def body(number: int, text: str = "Say", **fields: object) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": f"{text} {number}"}], **fields}


async def post(url: str, sent: dict[str, Any]) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/chat/completions", data=json.dumps(sent)) as reply,
    ):
        said: dict[str, Any] = await reply.json()
        return said


def test_an_answer_depends_on_the_request_alone() -> None:
    """Not on the order of its keys, nor on how much of it may be said; on anything else it does."""
    said = answer(body(1, seed=5, temperature=0.7))
    assert said == answer(dict(reversed(body(1, seed=5, temperature=0.7).items())))
    assert said.text.startswith(answer(body(1, seed=5, temperature=0.7, max_tokens=5)).text)
    others = [body(2, seed=5, temperature=0.7), body(1, seed=6, temperature=0.7), body(1, seed=5, temperature=0.8)]
    assert said not in [answer(other) for other in others]


def test_a_judge_gets_a_verdict() -> None:
    """One that our own parser reads, and over many requests each of the three."""
    texts = [answer(body(number, "End with a line such as Verdict: A", max_tokens=8)).text for number in range(60)]
    assert {parse_verdict(text) for text in texts} == {"A", "B", "tie"}


def test_chance_goes_by_the_request_and_how_often_it_came() -> None:
    """So that two runs meet the same faults in whatever order they ask."""
    script = Chance(0.3, seed=4)
    seen = [Seen(number, fingerprint(body(number)), times, body(number)) for number in range(300) for times in (0, 1)]
    faults = {(each.fingerprint, each.times): script(each) for each in seen}
    assert all(script(each) is faults[each.fingerprint, each.times] for each in reversed(seen))
    assert 0.2 < sum(fault is not None for fault in faults.values()) / len(faults) < 0.4


@pytest.mark.parametrize("script", [never, first(1, NO_REPLY), first(1, BLACK_HOLE)])
def test_the_journal_tells_sent_from_served(script: Script, tmp_path: Path) -> None:
    """Every request is in it, served or not, in memory and in the file."""
    journal = Journal(tmp_path / "journal.jsonl")

    async def main() -> None:
        async with Faultd(script, journal=journal) as server:
            for number in (0, 1):
                try:
                    async with asyncio.timeout(0.1):
                        await post(server.base_url, body(number))
                except (aiohttp.ClientError, TimeoutError):
                    pass

    run_real(main())
    names = [fingerprint(body(number)) for number in (0, 1)]
    assert sends(journal.entries) == dict.fromkeys(names, 1)
    assert served(journal.entries) == dict.fromkeys(names if script is never else names[1:], 1)
    assert list(read_journal(tmp_path / "journal.jsonl")) == journal.entries


def test_a_stopped_server_listens_again_on_its_port() -> None:
    """Stopping cuts connections that are open; clients that come back find it where it was."""

    async def main() -> None:
        async with Faultd(first(1, BLACK_HOLE)) as server:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(expect_cut(server.base_url))
                while not server.num_requests:  # noqa: ASYNC110  # the server tells nobody that a request came
                    await asyncio.sleep(0.001)
                await server.stop()
            assert waiting.done()
            await server.listen()
            assert (await post(server.base_url, body(1)))["choices"]

    async def expect_cut(url: str) -> None:
        with pytest.raises(aiohttp.ClientError):
            await post(url, body(0))

    run_real(main())


def test_the_program(tmp_path: Path) -> None:
    """It writes its port once it listens, serves, journals, and ends on SIGTERM."""
    port_file, journal = tmp_path / "port", tmp_path / "journal.jsonl"
    arguments = ["--port-file", str(port_file), "--journal", str(journal), "--latency-ms", "1", "--models", "a,b"]
    with subprocess.Popen([sys.executable, "-m", "tests.faultd", *arguments], cwd=Path(__file__).parents[2]) as program:

        async def main() -> None:
            async with asyncio.timeout(20.0):
                while not port_file.exists():  # noqa: ASYNC110  # another process tells by a file
                    await asyncio.sleep(0.02)
            url = f"http://127.0.0.1:{port_file.read_text()}/v1"
            said = [await post(url, body(number)) for number in (1, 2, 1)]
            assert said[0] == said[2] != said[1]

        run_real(main())
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=10.0) == 0
    assert sends(read_journal(journal)).total() == 3


def test_every_fault_has_its_name() -> None:
    """The command line asks for them by it."""
    assert all(fault.name == name for name, fault in CATALOGUE.items())
