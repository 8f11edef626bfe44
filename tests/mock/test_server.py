"""The server over real sockets: pipelining, time, limits, outages, and books that are right."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from star_agents.mock.answers import answer, fingerprint
from star_agents.mock.batching import Batching
from star_agents.mock.catalogue.transport import BLACK_HOLE, NO_REPLY
from star_agents.mock.conduct import CapacityStep, Conduct, Outage
from star_agents.mock.journal import Journal, read_journal, sends, served
from star_agents.mock.limits import ApiLimits
from star_agents.mock.script import Script, first, never
from star_agents.mock.server import MockServer
from tests.loops import run_real
from tests.mock.wire import CHAT, Client, chat, post

NUM = 20


def test_pipelined_requests_are_answered_in_order() -> None:
    """In one write, with replies that take time and replies that do not, in any slicing."""

    async def main(conduct: Conduct, size: int) -> None:
        async with MockServer(conduct=conduct) as server:
            client = await Client.of(server)
            sent = b"".join(post(chat(number)) for number in range(NUM))
            for at in range(0, len(sent), size):
                client.writer.write(sent[at : at + size])
            heard = [await client.heard() for _ in range(NUM)]
            texts = [each.json["choices"][0]["message"]["content"] for each in heard]
            assert texts == [answer(chat(number)).text for number in range(NUM)]
            await client.close()

    run_real(main(Conduct(), 10**6))
    run_real(main(Conduct(), 7))
    run_real(main(Conduct(latency_s=0.002, latency_sigma=1.0), 10**6))


def test_a_chunked_request_is_taken() -> None:
    """As some clients send it."""

    async def main() -> None:
        async with MockServer() as server:
            client = await Client.of(server)
            data = json.dumps(chat(1)).encode()
            head = f"POST {CHAT} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            client.writer.write(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
            assert (await client.heard()).status == 200
            await client.close()

    run_real(main())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (post({"model": "m"}, "/v1/nowhere"), 404),
        (post([]), 400),  # type: ignore[arg-type]  # no request
        (post({"messages": 5}), 400),
        (post(chat(1, max_tokens="many")), 400),
        (f"POST {CHAT} HTTP/1.1\r\nContent-Length: 3\r\n\r\n{{{{{{".encode(), 400),
    ],
)
def test_what_is_no_request_is_refused(sent: bytes, status: int) -> None:
    """And the server goes on."""

    async def main() -> None:
        async with MockServer() as server:
            client = await Client.of(server)
            client.writer.write(sent)
            assert (await client.heard()).status == status
            again = await Client.of(server)
            assert (await again.ask(chat(1))).status == 200
            assert server.in_flight == 0
            await client.close()
            await again.close()

    run_real(main())


def test_a_client_that_waits_to_be_told_to_go_on() -> None:
    """As curl does with large bodies."""

    async def main() -> None:
        async with MockServer() as server:
            client = await Client.of(server)
            head, _, body = post(chat(1), CHAT, "Expect: 100-continue").partition(b"\r\n\r\n")
            client.writer.write(head + b"\r\n\r\n")
            assert (await client.heard_interim()) == 100
            client.writer.write(body[:5])
            await asyncio.sleep(0.01)
            client.writer.write(body[5:])
            assert (await client.heard()).status == 200
            await client.close()

    run_real(main())


def test_replies_take_their_time_and_streams_come_in_pieces() -> None:
    """The first token after a fifth of it, the last at the end."""

    async def main() -> None:
        async with MockServer(conduct=Conduct(latency_s=0.4)) as server:
            client = await Client.of(server)
            loop = asyncio.get_running_loop()
            began_at = loop.time()
            client.writer.write(post(chat(1, stream=True)))
            await client.reader.readuntil(b"\r\n\r\n")
            assert loop.time() - began_at < 0.08
            await client.reader.readuntil(b'{"content":"')
            assert 0.07 < loop.time() - began_at < 0.3
            await client.reader.readuntil(b"[DONE]")
            assert 0.38 < loop.time() - began_at < 0.7
            await client.close()

    run_real(main())


def test_slots_are_kept_busy() -> None:
    """Eight replies of 20 ms in two slots; the books say so."""

    async def main() -> None:
        async with MockServer(conduct=Conduct(latency_s=0.02, slots=2)) as server:
            clients = [await Client.of(server) for _ in range(8)]
            async with asyncio.TaskGroup() as group:
                for number, client in enumerate(clients):
                    group.create_task(client.ask(chat(number)))
            picture = server.picture()
            assert picture["busy_s"] == pytest.approx(0.08, rel=0.4)
            assert picture["running_s"] == pytest.approx(0.16, rel=0.4)
            assert picture["in_flight_s"] > picture["running_s"]
            assert picture["useful_s"] == pytest.approx(picture["in_flight_s"], rel=0.1)
            assert (server.peak_in_flight, server.in_flight) == (8, 0)
            for client in clients:
                await client.close()

    run_real(main())


def test_a_client_that_leaves_gives_its_slot_back() -> None:
    """The next one does not wait for an answer that nobody reads."""

    async def main() -> None:
        async with MockServer(conduct=Conduct(latency_s=30.0, slots=1)) as server:
            for number in range(3):
                client = await Client.of(server)
                client.writer.write(post(chat(number)))
                await until(lambda number=number: server.num_requests == number + 1 and server.in_flight == 1)
                assert (server.picture()["running"], server.picture()["waiting"]) == (1, 0)
                await client.close()
                await until(lambda: server.in_flight == 0)
            assert server.picture()["running"] == 0
        assert [entry.event for entry in server.journal.entries] == ["request", "gone"] * 3

    run_real(main())


def test_metrics_are_vllms() -> None:
    """Names, labels and kinds; running and waiting are of this moment."""

    async def main() -> None:
        batching = Batching(max_running=2, knee=2, decode_rate=1, kv_tokens=1000)
        async with MockServer(conduct=Conduct(batching=batching, models=("meta/llama",))) as server:
            clients = [await Client.of(server) for _ in range(3)]
            for number, client in enumerate(clients):
                client.writer.write(post(chat(number)))
            await until(lambda: server.in_flight == 3)
            asking = await Client.of(server)
            page = (await asking.get("/metrics")).body.decode()
            labels = '{engine="0",model_name="meta/llama"}'
            assert f"vllm:num_requests_running{labels} 2.0\n" in page
            assert f"vllm:num_requests_waiting{labels} 1.0\n" in page
            assert "# TYPE vllm:num_preemptions_total counter\n" in page
            assert f"vllm:kv_cache_usage_perc{labels} 0.00" in page
            assert f"vllm:generation_tokens_total{labels} " in page
            assert 'vllm:request_success_total{engine="0",model_name="meta/llama",finished_reason="stop"} 0.0\n' in page
            for client in (*clients, asking):
                await client.close()

    run_real(main())


def test_limits_are_told_in_headers() -> None:
    """How much is left with every reply; when to come back with a 429."""

    async def main() -> None:
        async with MockServer(conduct=Conduct(limits=ApiLimits(requests=2))) as server:
            client = await Client.of(server)
            heard = [await client.ask(chat(number)) for number in range(3)]
            assert [each.status for each in heard] == [200, 200, 429]
            assert [each.headers["x-ratelimit-remaining-requests"] for each in heard] == ["1", "0", "0"]
            assert heard[2].headers["retry-after"] == "30"
            assert heard[2].json["error"]["code"] == "rate_limit_exceeded"
            messages = await client.ask(chat(4), "/v1/messages")
            assert messages.json["error"]["type"] == "rate_limit_error"
            await client.close()

    run_real(main())


def test_capacity_changes_by_script() -> None:
    """A thousandth of what it was, once the step is due."""

    async def main() -> None:
        conduct = Conduct(limits=ApiLimits(in_flight=1000), capacity=(CapacityStep(0.1, 0.001),))
        async with MockServer(conduct=conduct) as server:
            gate = server.backend.gate
            assert gate is not None
            assert gate.factor == 1.0
            await until(lambda: gate.factor == 0.001)

    run_real(main())


def test_an_outage_by_the_clock() -> None:
    """Refused while it lasts, there again on the same port after it."""

    async def main() -> None:
        async with MockServer(conduct=Conduct(outages=(Outage(0.05, 0.2),))) as server:
            await until_async(lambda: refused(server))
            await until_async(lambda: listening(server))

    run_real(main())


def test_a_stopped_server_listens_again_on_its_port() -> None:
    """Stopping cuts connections that are open; clients that come back find it where it was."""

    async def main() -> None:
        async with MockServer(first(1, BLACK_HOLE)) as server:
            client = await Client.of(server)
            client.writer.write(post(chat(0)))
            await until(lambda: server.num_requests == 1)
            await server.stop()
            with pytest.raises(ConnectionError):
                await client.heard()
            assert server.in_flight == 0
            await server.listen()
            again = await Client.of(server)
            assert (await again.ask(chat(1))).status == 200
            await client.close()
            await again.close()

    run_real(main())


@pytest.mark.parametrize("script", [never, first(1, NO_REPLY), first(1, BLACK_HOLE)])
def test_the_journal_tells_sent_from_served(script: Script, tmp_path: Path) -> None:
    """Every request is in it, served or not, in memory and in the file."""
    journal = Journal(tmp_path / "journal.jsonl")

    async def main() -> None:
        async with MockServer(script, journal=journal) as server:
            for number in (0, 1):
                client = await Client.of(server)
                try:
                    async with asyncio.timeout(0.1):
                        await client.ask(chat(number))
                except (ConnectionError, TimeoutError):
                    pass
                await client.close()

    run_real(main())
    names = [fingerprint(chat(number)) for number in (0, 1)]
    assert sends(journal.entries) == dict.fromkeys(names, 1)
    assert served(journal.entries) == dict.fromkeys(names if script is never else names[1:], 1)
    assert list(read_journal(tmp_path / "journal.jsonl")) == journal.entries


def test_tls() -> None:
    """With a certificate of the caller's choice: also one that no client should take."""
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(Path(__file__).parents[1] / "data" / "tls" / "other-host.pem")
    theirs = ssl.create_default_context()
    theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE

    async def main() -> None:
        async with MockServer(tls=ours) as server:
            assert server.base_url.startswith("https://")
            client = Client(*await asyncio.open_connection("127.0.0.1", server.port, ssl=theirs))
            assert (await client.ask(chat(1))).status == 200
            await client.close()
            await client.writer.wait_closed()

    run_real(main())


def test_useful_work_is_counted_once() -> None:
    """A second reply to the same request is served, and of no use."""

    async def main() -> None:
        async with MockServer(conduct=Conduct(latency_s=0.02)) as server:
            client = await Client.of(server)
            for number in (1, 1, 2):
                await client.ask(chat(number))
            told = (await client.get("/mock/stats")).json
            assert (told["requests"], told["distinct_requests"], told["served"], told["served_again"]) == (3, 2, 3, 1)
            assert told["attempts"] == told["replies"] == {"1": 1, "2": 1}
            assert told["useful_s"] < 0.8 * told["in_flight_s"]
            await client.close()

    run_real(main())


@pytest.mark.parametrize("error", [KeyError("mine"), asyncio.CancelledError()])
def test_the_blocks_own_error_comes_out_as_itself(error: BaseException) -> None:
    """In no group of errors."""

    async def main() -> None:
        async with MockServer():
            raise error

    with pytest.raises(type(error)):
        run_real(main())


def test_the_program(tmp_path: Path) -> None:
    """It writes its port once it listens, serves, writes its journal when told to, and ends on SIGTERM."""
    port_file, journal = tmp_path / "port", tmp_path / "journal.jsonl"
    flags = ["--port", "0", "--port-file", str(port_file), "--journal", str(journal), "--latency-ms", "1"]
    command = [sys.executable, "-m", "star_agents", "mock-server", *flags, "--fault", "http_503:1", "--models", "a,b"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as program:

        async def main() -> None:
            await until(port_file.exists, 30.0)
            client = Client(*await asyncio.open_connection("127.0.0.1", int(port_file.read_text())))
            assert (await client.ask(chat(1))).status == 503
            assert [model["id"] for model in (await client.get("/v1/models")).json["data"]] == ["a", "b"]
            assert (await client.get("/mock/flush")).status == 200
            assert await asyncio.to_thread(lambda: sends(read_journal(journal)).total()) == 1
            await client.close()

        try:
            run_real(main())
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=10.0) == 0
    (_, reply) = read_journal(journal)
    assert (reply.event, reply.status, reply.fault, reply.is_served) == ("reply", 503, "http_503", False)


@pytest.mark.parametrize(
    "flags",
    [
        ["--fault", "nobody"],
        ["--capacity", "5"],
        ["--down", "1:2:3:4"],
        ["--journal", "/no/such/folder/journal.jsonl"],
        ["--port-file", "/no/such/folder/port"],
        ["--script", "/no/such/file.yaml"],
        ["--tls-cert", os.devnull],
    ],
)
def test_flags_that_are_not_understood(flags: list[str]) -> None:
    """One line that names what was written, and the exit code for a config to mend."""
    command = [sys.executable, "-m", "star_agents", "mock-server", "--port", "0", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78
    assert flags[1] in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


async def until(state: Any, patience_s: float = 5.0) -> None:  # noqa: ANN401  # a condition
    async with asyncio.timeout(patience_s):
        while not state():  # noqa: ASYNC110  # another connection, or another process, brings it about
            await asyncio.sleep(0.002)


async def until_async(state: Any) -> None:  # noqa: ANN401  # a condition
    async with asyncio.timeout(5.0):
        while not await state():  # noqa: ASYNC110  # the server's own clock brings it about
            await asyncio.sleep(0.005)


async def listening(server: MockServer) -> bool:
    try:
        client = await Client.of(server)
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it came in as the port was given up
        return False
    await client.close()
    return True


async def refused(server: MockServer) -> bool:
    return not await listening(server)
