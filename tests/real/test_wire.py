"""Every wire format against a real vLLM, streamed and whole, and a judge that is held to a choice.

Needs the folder of SmolLM2 (`star-agents models pull smollm2-135m`), and STAR_AGENTS_VLLM_PYTHON to name the
interpreter that has vLLM.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from star_agents.core.calls import CallKey, Completion, FinishReason, Message, Purpose, Request, SamplingParams
from star_agents.core.errors import BadRequestError, CallError, ContextOverflowError, MisdirectedError
from star_agents.endpoints.choice_probe import settled
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.servers.local import LocalServer
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec
from tests.loops import run_real

MODEL = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "star-agents" / "models" / "smollm2-135m"
VLLM_PYTHON = os.environ.get("STAR_AGENTS_VLLM_PYTHON", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_vllm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not MODEL.is_dir(), reason="star-agents models pull smollm2-135m"),
    pytest.mark.skipif(not VLLM_PYTHON, reason="STAR_AGENTS_VLLM_PYTHON names no interpreter"),
]

SERVER = LocalServerSpec(name="smol", model=str(MODEL), engine="vllm", python=VLLM_PYTHON, environ=os.environ)
TURNS = (Message("system", "You are brief."), Message("user", "Name three colours."))
LABELS = ("A", "B", "C")


def request(max_tokens: int = 6, *, choices: tuple[str, ...] = (), turns: Sequence[Message] = TURNS) -> Request:
    params = SamplingParams(max_tokens=max_tokens, temperature=0.0)
    return Request(CallKey(0, Purpose.RESPOND, 0), "smol", tuple(turns), params, 5, choices=choices)


async def ask(spec: EndpointSpec, asked: Request) -> Completion:
    """One call, decoded."""
    wire = format_of(spec)
    async with ReplicaClient(spec, spec.base_urls[0]) as client:
        return wire.decode(await client.send(wire.encode(asked, spec)), asked, spec)


async def refused(spec: EndpointSpec, asked: Request) -> CallError:
    with pytest.raises(CallError) as caught:
        await ask(spec, asked)
    return caught.value


async def check_formats(spec: EndpointSpec) -> None:
    """Each format says the same whole and streamed, with the server's own counts, and knows why it ended."""
    said: dict[str, Completion] = {}
    for api in ("chat", "completions", "messages"):
        whole = await ask(replace(spec, api=api), request())
        streamed = await ask(replace(spec, api=api, stream=True), request())
        assert replace(streamed, latency_s=0.0) == replace(whole, latency_s=0.0)
        assert whole.finish_reason is FinishReason.LENGTH
        assert whole.usage.output_tokens == 6
        assert not whole.usage.is_estimated
        said[api] = whole
    assert said["chat"].text == said["messages"].text != said["completions"].text
    assert said["chat"].usage.input_tokens == said["messages"].usage.input_tokens
    assert (await ask(replace(spec, api="messages"), request(200))).finish_reason is FinishReason.STOP


async def check_refusals(spec: EndpointSpec) -> None:
    """What the server refuses is what it is, in either dialect."""
    long = request(turns=[Message("user", "long " * 5000)])
    assert type(await refused(spec, long)) is ContextOverflowError
    assert isinstance(await refused(replace(spec, api="messages"), long), BadRequestError)
    for api in ("chat", "messages"):
        assert type(await refused(replace(spec, api=api, model="other"), request())) is MisdirectedError


async def check_choices(spec: EndpointSpec) -> None:
    """The probe finds the constraint; the label is one of those offered; probabilities are a distribution."""
    found = await settled(spec)
    assert found.choices == "structured_outputs"
    for mode in ("structured_outputs", "json_schema"):
        for api in ("chat", "completions"):
            for stream in (False, True):
                held = replace(spec, api=api, choices=mode, stream=stream)
                verdict = await ask(held, request(32, choices=LABELS))
                assert verdict.text in LABELS
                assert verdict.choice_p is not None
                assert math.isclose(sum(verdict.choice_p.values()), 1.0)
                assert verdict.choice_p[verdict.text] > 0


def test_every_format_and_a_choice(tmp_path: Path) -> None:
    """One server, for its start takes a minute."""

    async def main() -> None:
        async with LocalServer(SERVER, tmp_path) as server:
            given = EndpointSpec(name="smol", base_urls=(), model="", key_header="Authorization")
            spec = server.endpoint(given)
            await check_formats(spec)
            await check_refusals(spec)
            await check_choices(spec)

    run_real(main())
