"""P16: whatever goes wrong on the wire, the key is in nothing that anybody reads, at DEBUG and in every traceback."""

import asyncio
import io
import logging
import traceback
from dataclasses import replace

import pytest

from star_agents.core.errors import StarError
from star_agents.core.secret import Secret
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.spec import EndpointSpec, Timeouts
from star_agents.mock.catalogue import CATALOGUE
from star_agents.mock.faults import Fault, failing
from star_agents.mock.script import first
from star_agents.mock.server import MockServer
from tests.endpoints.simulated import request
from tests.loops import run_real

KEY, HEADER = "sk-canary-4f1d9a77c0", "hdr-canary-88e2b3"
QUICK = Timeouts(connect_s=0.5, first_byte_s=0.3, idle_s=0.3, total_s=1.0)
SECONDS = 2.0
"""For each fault: enough for several tries, not enough for the long waits that some call for."""

ECHO = replace(
    failing(400),
    name="echo",
    body=f'{{"error": {{"message": "you sent Bearer {KEY} and {HEADER}", "type": "invalid_request_error"}}}}'.encode(),
)
"""A server that quotes what it was sent."""


async def tried(fault: Fault, *, stream: bool) -> list[str]:
    """Everything that a call leaves behind where its first sends meet a fault."""
    left: list[str] = []
    async with MockServer(first(3, fault)) as server:
        spec = EndpointSpec(
            name="e",
            base_urls=(server.base_url,),
            model="m",
            api_key=Secret(KEY, origin="env:CANARY"),
            headers={"X-Project": Secret(HEADER, origin="env:PROJECT")},
            timeouts=QUICK,
            stream=stream,
        )
        async with Fleet([spec], 7) as fleet:
            try:
                async with asyncio.timeout(SECONDS):
                    left.append(repr(await fleet.complete(request(1))))
            except (StarError, TimeoutError) as error:
                left.append("".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__))
            left.append(repr(fleet.snapshot()) + repr(spec) + repr(fleet))
    return left


@pytest.mark.parametrize("stream", [False, True])
def test_no_fault_brings_a_secret_to_light(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault of the mock server's table, and a server that quotes the key back at us."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.DEBUG)
    monkeypatch.setattr(root, "handlers", [handler])
    logging.getLogger("star_agents").setLevel(logging.DEBUG)

    async def main() -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(tried(fault, stream=stream)) for fault in (*CATALOGUE.values(), ECHO)]
        return [text for task in tasks for text in task.result()]

    left = run_real(main())

    assert len(left) == 2 * (len(CATALOGUE) + 1)
    assert "EndpointStatus" in "".join(left)
    for text in (*left, written.getvalue()):
        assert KEY not in text
        assert HEADER not in text


def test_the_canary_sings() -> None:
    """The look itself works: a key that is no secret to the endpoint is quoted, and would be found."""

    async def main() -> str:
        async with MockServer(first(3, ECHO)) as server:
            spec = EndpointSpec(name="e", base_urls=(server.base_url,), model="m")
            async with Fleet([spec], 7) as fleet:
                with pytest.raises(StarError) as caught:
                    await fleet.complete(request(1))
        return repr(caught.value)

    assert KEY in run_real(main())
