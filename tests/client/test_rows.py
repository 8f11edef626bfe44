"""Rows come once and in order, however often the stream breaks off and whoever starts again."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import torch.utils.data
from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.client import TailOptions, rows, stream_rows
from star_agents.core.errors import ConfigError, ServiceGoneError, ServiceRefusedError
from star_agents.service.run.ended import write_ended
from star_agents.service.view.status import Ending
from star_agents.storage.folder import RunFolder
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, asked, completion, plan, update

NUM_ROWS = 12
ANY_WORD = "t"
IMPATIENT = TailOptions(token=ANY_WORD, patience_s=0.0)


@contextmanager
def flaky_service(breaks: list[int]) -> Iterator[str]:
    """Serves `NUM_ROWS` rows; each connection but the last is cut off after so many bytes of what it had to say."""
    left = iter(breaks)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            after = int(parse_qs(urlsplit(self.path).query)["after"][0])
            lines = [json.dumps({"seq": seq, "n": seq}) for seq in range(after + 1, NUM_ROWS + 1)]
            content = "\n\n".join([*lines, json.dumps({"end": "complete", "after": NUM_ROWS})]).encode() + b"\n"
            cut = next(left, None)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if cut is None else content[:cut])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@given(breaks=st.lists(st.integers(0, 300), max_size=6), restarts=st.sets(st.integers(1, NUM_ROWS - 1), max_size=3))
@settings(max_examples=25)
def test_every_row_once_over_breaks_of_either_side(breaks: list[int], restarts: set[int]) -> None:
    """The stream is cut at any byte, and the reader begins anew behind the last row it has dealt with."""
    with pytest.MonkeyPatch.context() as patched, flaky_service(breaks) as url:
        patched.setattr(rows, "RETRY_S", 0.0)
        seen: list[int] = []
        while not seen or seen[-1] != NUM_ROWS:
            for row in stream_rows(url, after=seen[-1] if seen else 0, options=TailOptions(token=ANY_WORD)):
                seen.append(row["seq"])
                if row["seq"] in restarts:
                    restarts = restarts - {row["seq"]}
                    break
    assert seen == list(range(1, NUM_ROWS + 1))


def test_a_service_that_stays_away_is_given_up(tmp_path: Path) -> None:
    """After the patience that was asked for, with the reason; a wrong URL at once."""
    with flaky_service([]) as url:
        pass
    with pytest.raises(ServiceGoneError, match="waited 0 s for it to come back"):
        list(stream_rows(url, options=IMPATIENT))
    with pytest.raises(ServiceGoneError, match="no service is running for this run"):
        list(stream_rows(tmp_path, options=IMPATIENT))
    with pytest.raises(ServiceGoneError, match="mistyped: no such folder"):
        list(stream_rows(tmp_path / "mistyped", options=IMPATIENT))
    with pytest.raises(ConfigError, match="give http://host:port"):
        stream_rows("http://127.0.0.1:1/api", options=IMPATIENT)


def test_a_refusal_is_no_outage() -> None:
    """A token that is not taken is told at once: waiting does not mend it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            body = b'{"status": 401, "title": "send a token"}'
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with pytest.raises(ServiceRefusedError, match="send a token"):
                list(stream_rows(f"http://127.0.0.1:{server.server_port}"))
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    """The folder of a run that is complete, three seeds of it."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()

    async def main() -> None:
        async with await RunStore.open(folder.database, MANIFEST) as store:
            for number in range(3):
                await store.assign(plan(number))
                await store.respond(asked(number, 1), completion("answer"))
            await store.learn(update(1, 2, 0))
            await store.learn(update(2, 1))

    run_real(main())
    write_ended(folder.path, Ending.COMPLETE)
    return folder


def test_a_finished_run_needs_no_service(finished: RunFolder) -> None:
    """Its folder holds the rows; the order is that of the commits, and iterating goes on behind what was taken."""
    stream = stream_rows(finished.path)
    first = next(iter(stream))
    assert (first["seq"], first["metadata"]["seed"]) == (1, 2)
    assert [row["metadata"]["seed"] for row in stream] == [0, 1]
    assert stream.after == 3
    assert list(stream) == []
    options = TailOptions(shape="alpaca")
    assert [row["seq"] for row in stream_rows(finished.path, after=1, follow=False, options=options)] == [2, 3]
    assert "instruction" in next(iter(stream_rows(finished.path, options=options)))


class Rows(torch.utils.data.IterableDataset[dict[str, Any]]):
    """As docs/service.md has it."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(stream_rows(self.run))


def test_torch_reads_it_as_a_data_set(finished: RunFolder) -> None:
    """Through a loader, in order."""
    loader = torch.utils.data.DataLoader(Rows(finished.path), batch_size=None)
    assert [row["seq"] for row in loader] == [1, 2, 3]
