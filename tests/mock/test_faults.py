"""Every fault of the table on the wire, seen by a client of raw sockets."""

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from star_agents.mock.answers import answer
from star_agents.mock.catalogue import CATALOGUE, KINDS
from star_agents.mock.catalogue.content import DEPTH, DIGITS
from star_agents.mock.catalogue.status import ERRORS_INSIDE
from star_agents.mock.dialects import DIALECTS
from star_agents.mock.faults import Fault
from star_agents.mock.script import always, first
from star_agents.mock.server import MockServer
from star_agents.traffic.retry_after import parse_retry_after
from tests.loops import run_real
from tests.mock.wire import Client, Heard, chat

SMALL = {"giant_event": "0.3", "gzip_bomb": "3", "slow": "0.01", "trickle": "0.001", "drip": "0.01"}
"""Arguments that make a fault quick to look at."""
WHOLE, STREAM = chat(1), chat(1, stream=True, stream_options={"include_usage": True})
RIGHT = answer(WHOLE)


def small(name: str) -> Fault:
    return KINDS[name].made(SMALL.get(name))


def with_fault(fault: Fault, body: Callable[[MockServer, Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with MockServer(always(fault)) as server:
            client = await Client.of(server)
            async with asyncio.timeout(10.0):
                await body(server, client)
            await client.close()

    run_real(main())


def hear(fault: Fault, asked: dict[str, object], path: str = "/v1/chat/completions") -> Heard:
    """The one reply to a request."""
    replies: list[Heard] = []

    async def body(_: MockServer, client: Client) -> None:
        replies.append(await client.ask(asked, path))

    with_fault(fault, body)
    return replies[0]


def events_of(stream: bytes) -> list[str]:
    """The data of a stream's events, read as the standard says."""
    text = stream.decode("utf-8-sig")
    found, data = [], []
    for line in re.split("\r\n|\r|\n", text):
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            found.append("\n".join(data))
            data = []
    return found


def text_of(heard: Heard, *, streams: bool) -> str:
    """What choice 0 says."""
    if not streams:
        text: str = heard.json["choices"][0]["message"]["content"]
        return text
    payloads = [json.loads(data) for data in events_of(heard.body) if data != "[DONE]"]
    choices = [choice for payload in payloads for choice in payload["choices"] if choice["index"] == 0]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", [name for name, fault in CATALOGUE.items() if fault.keeps_right])
def test_a_fault_that_keeps_right_keeps_the_answer(name: str, streams: bool) -> None:
    """Who reads as the standards say gets every word of it, and the books say that it was served."""

    async def body(server: MockServer, client: Client) -> None:
        heard = await client.ask(STREAM if streams else WHOLE)
        assert text_of(heard, streams=streams) == answer(STREAM if streams else WHOLE).text
        assert heard.is_whole
        assert server.stats.served == 1

    with_fault(small(name), body)


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", CATALOGUE)
def test_no_fault_brings_the_server_down(name: str, streams: bool, path: str) -> None:
    """In every API, streamed or not: what it holds is given back, and the next request is answered."""

    async def main() -> None:
        async with MockServer(first(1, small(name))) as server:
            client = await Client.of(server)
            try:
                async with asyncio.timeout(0.15):
                    await client.ask(chat(1, stream=streams, max_tokens=20), path)
            except (ConnectionError, TimeoutError):
                pass
            await client.close()
            async with asyncio.timeout(5.0):
                await again(server, path)
            assert (server.stats.requests, server.stats.served) == (2, 1 + small(name).keeps_right)
            assert {entry.fault for entry in server.journal.entries} == {None, name}

    async def again(server: MockServer, path: str) -> None:
        await server.listen()
        client = await Client.of(server)
        assert (await client.ask(chat(2), path)).status == 200
        await client.close()
        while server.in_flight:  # noqa: ASYNC110  # the first connection's end brings it about
            await asyncio.sleep(0.001)

    run_real(main())


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no_reply", ConnectionAbortedError),
        ("reset", ConnectionResetError),
        ("reset_mid_body", ConnectionResetError),
        ("short_body", None),
        ("half_chunked", None),
    ],
)
def test_broken_connections(name: str, error: type[Exception] | None, streams: bool) -> None:
    """No byte, or some and not all; never a whole reply."""

    async def body(server: MockServer, client: Client) -> None:
        if error is None:
            assert not (await client.ask(STREAM if streams else WHOLE)).is_whole
        else:
            with pytest.raises(error):
                await client.ask(STREAM if streams else WHOLE)
        assert server.stats.served == 0

    with_fault(small(name), body)


def test_bytes_before_the_end_arrive() -> None:
    """As many as the fault says."""
    heard = hear(KINDS["short_body"].made("120"), WHOLE)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
    assert abs(len(heard.body) + len(head) - 120) <= 1


@pytest.mark.parametrize("name", ["black_hole", "drip", "endless"])
@pytest.mark.parametrize("streams", [False, True])
def test_what_never_ends_ends_with_the_client(name: str, streams: bool) -> None:
    """Until then it is in flight, and comments are all that drips."""

    async def body(server: MockServer, client: Client) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.ask(STREAM if streams else WHOLE)
        assert server.in_flight == 1
        await client.close()
        while server.in_flight:  # noqa: ASYNC110  # the connection's end brings it about
            await asyncio.sleep(0.001)
        assert server.journal.entries[-1].event == "gone"

    with_fault(small(name), body)


def test_a_listening_socket_that_goes_away_comes_back() -> None:
    """Refused for as long as the argument says."""

    async def main() -> None:
        async with MockServer(first(1, KINDS["refused"].made("0.1"))) as server:
            client = await Client.of(server)
            with pytest.raises(ConnectionError):
                await client.ask(WHOLE)
            await client.close()
            refused = 0
            while (again := await reached(server)) is None:
                refused += 1
                await asyncio.sleep(0.01)
            assert refused > 2
            assert (await again.ask(WHOLE)).status == 200
            await again.close()

    async def reached(server: MockServer) -> Client | None:
        try:
            return await Client.of(server)
        except ConnectionRefusedError:
            return None

    run_real(main())


def test_a_bomb_is_small_on_the_wire() -> None:
    """And what it says when unpacked."""
    heard = hear(small("gzip_bomb"), WHOLE)
    assert heard.headers["content-encoding"] == "gzip"
    assert len(heard.body) < 10_000
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert unpacker.decompress(heard.body) == b" " * 3_000_000
    with pytest.raises(EOFError):
        gzip.decompress(heard.body)


def test_more_than_was_promised() -> None:
    """The bytes after the body look like the start of another reply."""

    async def body(_: MockServer, client: Client) -> None:
        assert (await client.ask(WHOLE)).is_whole
        assert await client.reader.read() == b"{}"

    with_fault(small("excess_body"), body)


@pytest.mark.parametrize(
    ("name", "argument", "wait_s"),
    [
        ("http_429", "7", 7.0),
        ("http_429", "nan", None),
        ("http_429_plain", None, None),
        ("http_429_ms", "1.5", 1.5),
        ("http_429_date", "30", 30.0),
        ("http_429_duration", "90", 90.0),
        ("http_429_epoch", "45", 45.0),
        ("http_429_anthropic", "60", 60.0),
        ("http_503", "9", 9.0),
    ],
)
def test_waits_as_servers_write_them(name: str, argument: str | None, wait_s: float | None) -> None:
    """Read by our own parser."""
    heard = hear(KINDS[name].made(argument), WHOLE)
    assert heard.status == int(name[5:8])
    read = parse_retry_after(heard.headers, datetime.now(UTC))
    assert read == (None if wait_s is None else pytest.approx(wait_s, abs=1.5))


@pytest.mark.parametrize("provider", ERRORS_INSIDE)
def test_errors_of_providers_under_a_good_status(provider: str) -> None:
    """As each writes them."""
    heard = hear(KINDS["error_inside"].made(provider), WHOLE)
    assert (heard.status, json.loads(heard.body)) == (200, ERRORS_INSIDE[provider])


@pytest.mark.parametrize(("name", "status"), [("http_401", 401), ("http_529", 529), ("redirect", 307), ("quota", 429)])
def test_statuses(name: str, status: int) -> None:
    """With an error as the API writes it, for those that stream too."""
    heard = hear(small(name), STREAM)
    assert heard.status == status
    assert heard.headers.get("location", "").startswith("http") == (name == "redirect")
    told = hear(small("http_529"), chat(1), "/v1/messages").json
    assert (told["type"], told["error"]["type"]) == ("error", "overloaded_error")


@pytest.mark.parametrize(("place", "said"), [("first", 0), ("mid", 9), ("last", 20)])
def test_errors_inside_a_stream(place: str, said: int) -> None:
    """Before, among and after the tokens; never a reason for the end."""
    heard = hear(KINDS["stream_error"].made(place), chat(1, stream=True, max_tokens=20))
    payloads = [json.loads(data) for data in events_of(heard.body)[:-1]]
    assert payloads.pop()["error"]["type"] == "InternalServerError"
    assert sum(bool(payload["choices"][0]["delta"].get("content")) for payload in payloads) == said
    assert all(payload["choices"][0]["finish_reason"] is None for payload in payloads)
    assert "error" in hear(KINDS["stream_error"].made(place), WHOLE).json


def test_streams_without_an_end() -> None:
    """No reason and no [DONE]; no [DONE]; as many events as were allowed."""
    unfinished = events_of(hear(small("no_finish"), STREAM).body)
    assert "[DONE]" not in unfinished
    assert all(json.loads(data)["choices"][0]["finish_reason"] is None for data in unfinished)
    assert text_of(hear(small("no_finish"), STREAM), streams=True) == RIGHT.text
    assert "[DONE]" not in events_of(hear(small("no_done"), STREAM).body)
    assert len(events_of(hear(KINDS["cut_stream"].made("4"), STREAM).body)) == 4
    assert hear(small("no_finish"), WHOLE).json["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("silent", {"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}),
        ("filtered", {"message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}),
    ],
)
def test_answers_without_words(name: str, choice: dict[str, object]) -> None:
    """The reply is whole, and says nothing."""
    assert hear(small(name), WHOLE).json["choices"][0] == {"index": 0, **choice}
    assert text_of(hear(small(name), STREAM), streams=True) == ""


def test_answers_of_another_kind() -> None:
    """Reasoning alone, a refusal, a tool call, another model, fewer words, no choices."""
    thought = hear(small("thinking"), WHOLE).json["choices"][0]["message"]
    assert (thought["content"], thought["reasoning_content"]) == (None, "hm")
    assert hear(small("declined"), WHOLE).json["choices"][0]["message"]["refusal"]
    call = hear(small("tool_calls"), WHOLE).json["choices"][0]
    assert (call["finish_reason"], len(call["message"]["tool_calls"])) == ("tool_calls", 1)
    assert hear(small("renamed"), WHOLE).json["model"] == "another-model"
    short = hear(small("cut_short"), WHOLE).json
    assert (short["choices"][0]["finish_reason"], short["usage"]["completion_tokens"]) == ("length", 5)
    assert hear(small("no_choices"), WHOLE).json["choices"] == []
    assert hear(small("null_choices"), WHOLE).json["choices"] is None
    assert hear(small("azure_filter"), WHOLE).json["prompt_filter_results"]
    assert len(hear(small("two_choices"), WHOLE).json["choices"]) == 2
    assert "usage" not in hear(small("no_usage"), WHOLE).json


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("surrogate", rb"\ud800"),
        ("nul", rb"\u0000"),
        ("replacement", rb"\ufffd"),
        ("bad_utf8", b"\xff\xfe"),
        ("nan", b":NaN"),
        ("infinity", b":1e999"),
        ("deep", b"[" * DEPTH),
        ("huge_int", b"9" * DIGITS),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_what_no_encoder_writes(name: str, found: bytes, streams: bool) -> None:
    """Is in the bytes, as it stands."""
    assert found in hear(small(name), chat(1, stream=streams, max_tokens=3)).body


def test_crossed_replies() -> None:
    """Each gets the answer to the request before its own."""

    async def body(_: MockServer, client: Client) -> None:
        heard = [await client.ask(chat(number)) for number in range(3)]
        texts = [each.json["choices"][0]["message"]["content"] for each in heard]
        assert texts[1:] == [answer(chat(number)).text for number in range(2)]

    with_fault(small("crossed"), body)
