"""Streams over real sockets, on uvloop and on plain asyncio: deadlines, runaways, breaks, and kept connections."""

import asyncio
import itertools
import json
from dataclasses import replace

import pytest

from star_agents.core import clock
from star_agents.core.calls import Usage
from star_agents.core.errors import (
    CallError,
    ConnectFailedError,
    ConnectionLostError,
    EventTooLargeError,
    IncompleteReplyError,
    OverloadedError,
    RunawayReplyError,
    TimedOutError,
)
from star_agents.endpoints.formats import stream
from star_agents.endpoints.spec import EndpointSpec, Timeouts
from tests.endpoints.conftest import Run
from tests.endpoints.rawserver import HEAD, Answer, Line, ask, talking
from tests.endpoints.streams import ANTHROPIC, CANARY, CHAT, MESSAGE, SPEC, delta, sse

CHAT_BYTES = sse(*CHAT)


def saying(*chunks: bytes, ends: bool = True) -> Answer:
    """Stream these pieces, and end the body or go silent."""

    async def answer(line: Line) -> None:
        await line.write(HEAD)
        for chunk in chunks:
            await line.chunk(chunk)
        if ends:
            await line.chunk(b"")
        else:
            await line.closed()

    return answer


async def failure(answer: Answer, spec: EndpointSpec = SPEC) -> CallError:
    async with talking(answer, spec) as (_, client):
        with pytest.raises(CallError) as caught:
            await ask(client, spec)
        assert CANARY not in str(caught.value)
        return caught.value


def test_an_answer_is_streamed_over_a_connection_that_is_kept(run: Run) -> None:
    """What was asked for, in pieces of any size; the next call goes over the same connection."""

    async def main() -> None:
        for spec, events in ((SPEC, CHAT), (ANTHROPIC, MESSAGE)):
            written = sse(*events)
            pieces = [written[at : at + 7] for at in range(0, len(written), 7)]
            async with talking(saying(*pieces), spec) as (server, client):
                for _ in range(3):
                    assert await ask(client, spec) == "Iron oxide."
                assert server.connections == 1
                assert json.loads(server.asked[0].body)["stream"] is True
                assert server.asked[0].headers["accept"].startswith("text/event-stream")

    run(main())


def test_a_server_that_answers_in_one_piece_all_the_same(run: Run) -> None:
    """Its reply is read as what it is, and so is an error."""

    async def main() -> None:
        whole = json.dumps({"choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}]}).encode()

        async def answer(line: Line) -> None:
            await line.reply(whole, headers=["content-type: application/json"])

        async def refuse(line: Line) -> None:
            await line.reply(b'{"error": {"message": "later"}}', "503 Busy", ["content-type: text/event-stream"])

        async with talking(answer, SPEC) as (_, client):
            assert await ask(client, SPEC) == "Whole."
        assert type(await failure(refuse)) is OverloadedError

    run(main())


def test_when_the_first_text_came_is_known(run: Run) -> None:
    """Apart from when the last did."""

    async def main() -> None:
        async def answer(line: Line) -> None:
            await line.write(HEAD)
            await line.chunk(sse(*CHAT[:2]))
            await asyncio.sleep(0.1)
            await line.chunk(sse(*CHAT[2:]))
            await line.chunk(b"")

        async with talking(answer, SPEC) as (_, client):
            raw = await client.send(b"{}")
            assert raw.first_text_s is not None
            assert raw.first_text_s + 0.09 < raw.latency_s

    run(main())


@pytest.mark.fault("F-07")
def test_f07_a_slow_drip_of_comments(run: Run) -> None:
    """F-07: comments, pings and empty pieces keep a socket alive and a call not; text does."""
    spec = replace(SPEC, timeouts=Timeouts(idle_s=0.3))

    async def main() -> None:
        async def drip(line: Line) -> None:
            await line.write(HEAD + b"")
            await line.chunk(sse(*CHAT[:2]))
            for nothing in itertools.cycle((b": ping\n\n", b"event: ping\ndata: {}\n\n", sse(delta(content="")))):
                await line.chunk(nothing)
                await asyncio.sleep(0.05)

        async def write(line: Line) -> None:
            await line.write(HEAD)
            for _ in range(8):
                await line.chunk(sse(delta(content="x")))
                await asyncio.sleep(0.1)
            await line.chunk(sse(delta("stop")))
            await line.chunk(b"")

        began_at = clock.now()
        error = await failure(drip, spec)
        assert type(error) is TimedOutError
        assert "no more text for 0.3 s (timeouts.idle_s)" in str(error)
        assert error.wasted.is_estimated
        assert error.wasted.output_tokens == 1
        assert 0.3 <= clock.now() - began_at < 1.3
        async with talking(write, spec) as (_, client):
            assert await ask(client, spec) == "xxxxxxxx"

    run(main())


@pytest.mark.fault("F-06")
def test_f06_silence_before_the_first_text(run: Run) -> None:
    """F-06: a head and a role are no text; a deadline of the send's own stands in for the endpoint's."""

    async def main() -> None:
        spec = replace(SPEC, timeouts=Timeouts(first_byte_s=0.2))
        for answer in (saying(ends=False), saying(sse(CHAT[0]), ends=False)):
            error = await failure(answer, spec)
            assert type(error) is TimedOutError
            assert "no text within 0.2 s (timeouts.first_byte_s)" in str(error)
            assert error.wasted == Usage()
        async with talking(saying(ends=False), SPEC) as (_, client):
            with pytest.raises(TimedOutError, match=r"no text within 0\.1 s"):
                await ask(client, SPEC, first_byte_s=0.1)

    run(main())


@pytest.mark.fault("F-06")
def test_f06_a_stream_that_never_ends(run: Run) -> None:
    """F-06: text that comes for ever is ended by the total deadline, and it is named."""

    async def main() -> None:
        async def answer(line: Line) -> None:
            await line.write(HEAD)
            while True:
                await line.chunk(sse(delta(content="x")))
                await asyncio.sleep(0.02)

        error = await failure(answer, replace(SPEC, timeouts=Timeouts(total_s=0.3)))
        assert "no whole reply within 0.3 s (timeouts.total_s)" in str(error)
        assert error.wasted.output_tokens > 0

    run(main())


@pytest.mark.fault("F-33")
def test_f33_a_stream_cut_at_any_chunk(run: Run) -> None:
    """F-33: ended in good order before its reason, it is incomplete; broken off, lost. After it, it is whole."""

    async def main() -> None:
        pieces = [sse(event) for event in CHAT]
        for cut in range(len(pieces)):
            broken = saying(*pieces[:cut], b": ping\n\n")

            async def hang_up(line: Line, cut: int = cut) -> None:
                await line.write(HEAD)
                for each in pieces[:cut]:
                    await line.chunk(each)
                line.writer.close()

            if cut < 4:
                assert type(await failure(broken)) is IncompleteReplyError
                assert type(await failure(hang_up)) is ConnectionLostError
                continue
            for answer in (broken, hang_up):
                async with talking(answer, SPEC) as (_, client):
                    assert await ask(client, SPEC) == "Iron oxide."

    run(main())


def test_a_stream_whose_end_does_not_come(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is whole is not lost to a server that keeps the connection open; the connection is."""
    monkeypatch.setattr("star_agents.endpoints.client.TAIL_S", 0.1)

    async def main() -> None:
        async with talking(saying(CHAT_BYTES, ends=False), SPEC) as (server, client):
            for _ in range(2):
                assert await ask(client, SPEC) == "Iron oxide."
            assert server.connections == 2

    run(main())


@pytest.mark.fault("F-30")
def test_f30_an_error_in_band_ends_the_stream(run: Run) -> None:
    """F-30: it is not waited out."""

    async def main() -> None:
        died = {"error": {"message": f"died {CANARY}", "code": 500}}
        assert type(await failure(saying(sse(*CHAT[:3], died)))) is OverloadedError

    run(main())


@pytest.mark.fault("F-40")
def test_f40_a_runaway_is_cut_off_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-40: a repetition without end is closed within a second of the cap, and the server sees it."""
    monkeypatch.setattr(stream, "MAX_TEXT", 200_000)

    async def main() -> None:
        gone, begun = asyncio.Event(), clock.now()

        async def repeat(line: Line) -> None:
            await line.write(HEAD)
            try:
                while True:
                    await line.chunk(sse(delta(content="again and " * 100)))
            except ConnectionError:
                gone.set()
                raise

        async with talking(repeat, SPEC) as (_, client):
            with pytest.raises(RunawayReplyError) as caught:
                await ask(client, SPEC)
            async with asyncio.timeout(1.0):
                await gone.wait()
        assert caught.value.reason == "runaway"
        assert caught.value.wasted.output_tokens >= 50_000
        assert clock.now() - begun < 5.0

    run(main())


@pytest.mark.fault("F-11")
def test_f11_events_of_any_size(run: Run) -> None:
    """F-11: 5 MB in one line are taken; 50 MB are refused long before they are there."""

    async def main() -> None:
        half = "x" * (3 * 2**20)
        large = sse(delta(content=half), delta("stop"))
        async with talking(saying(*(large[at : at + 65_536] for at in range(0, len(large), 65_536))), SPEC) as (
            _,
            client,
        ):
            assert await ask(client, SPEC) == half
        huge = itertools.chain([b"data: "], itertools.repeat(b"x" * 65_536, 800))
        error = await failure(saying(*huge))
        assert type(error) is EventTooLargeError
        assert error.reason == "event_too_large"

    run(main())


@pytest.mark.fault("F-04")
def test_f04_a_kept_connection_that_was_closed(run: Run) -> None:
    """F-04: streamed or not, no byte on a used connection means that the request was not taken."""

    async def main() -> None:
        served = itertools.count()

        async def answer(line: Line) -> None:
            if next(served):
                line.writer.close()
            else:
                await saying(CHAT_BYTES)(line)

        async with talking(answer, SPEC) as (_, client):
            assert await ask(client, SPEC)
            with pytest.raises(ConnectFailedError, match="idle connection"):
                await ask(client, SPEC)
            with pytest.raises(ConnectionLostError):
                await ask(client, SPEC)

    run(main())
