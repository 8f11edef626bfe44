"""Asking endpoints before a run: what is said, and what is not complained about."""

import json
from typing import Self

import pytest

from star_agents.cli.exits import exit_code
from star_agents.core import clock
from star_agents.core.errors import (
    CallError,
    ConfigError,
    ConnectFailedError,
    EndpointError,
    MisdirectedError,
    TimedOutError,
)
from star_agents.core.secret import Secret
from star_agents.endpoints import preflight
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.spec import EndpointSpec, Timeouts
from star_agents.mock.conduct import Conduct
from star_agents.mock.server import MockServer
from tests.loops import run_real, run_virtual

MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "qwen")


def problems(spec: EndpointSpec) -> tuple[str, ...]:
    """What preflight says of an endpoint, at a server that serves `MODELS` to who knows the key."""

    async def main() -> tuple[str, ...]:
        async with MockServer(conduct=Conduct(models=MODELS, api_key="secret-key")) as server:
            urls = tuple(url.replace("SERVER", server.base_url) for url in spec.base_urls)
            parts = {field: getattr(spec, field) for field in ("model", "api_key", "lists_models")}
            async with Fleet([EndpointSpec(name="e", base_urls=urls, **parts)], 1) as fleet:
                try:
                    await fleet.preflight()
                except ConfigError as error:
                    return tuple(problem.replace(server.base_url, "SERVER") for problem in error.problems)
                return ()

    return run_real(main())


KEY = Secret("secret-key", origin="env:KEY")


def test_all_is_well() -> None:
    """The model is served and the key is known."""
    assert problems(EndpointSpec(name="e", base_urls=("SERVER",), model="qwen", api_key=KEY)) == ()


@pytest.mark.fault("F-22")
def test_f22_the_model_is_not_served() -> None:
    """F-22: with the name that was meant, or with what there is."""
    near = EndpointSpec(name="e", base_urls=("SERVER",), model="meta-llama/Llama-3.1-8B", api_key=KEY)
    assert problems(near) == (
        "endpoint e (SERVER): no model meta-llama/Llama-3.1-8B; did you mean meta-llama/Llama-3.1-8B-Instruct?",
    )
    far = EndpointSpec(name="e", base_urls=("SERVER",), model="gpt", api_key=KEY)
    assert problems(far) == ("endpoint e (SERVER): no model gpt; it serves meta-llama/Llama-3.1-8B-Instruct, qwen",)


def test_a_server_that_lists_something_else_is_left_alone() -> None:
    """`transformers serve` lists the hub's cache, not what it serves."""
    assert problems(EndpointSpec(name="e", base_urls=("SERVER",), model="x", api_key=KEY, lists_models=False)) == ()


@pytest.mark.fault("F-21")
def test_f21_the_key_is_rejected() -> None:
    """F-21: the message names where the key came from, and not the key."""
    wrong = Secret("wrong-key", origin="env:OPENAI_API_KEY")
    (problem,) = problems(EndpointSpec(name="e", base_urls=("SERVER",), model="qwen", api_key=wrong))
    assert problem == "endpoint e (SERVER): the key is rejected (env:OPENAI_API_KEY)"
    (problem,) = problems(EndpointSpec(name="e", base_urls=("SERVER",), model="qwen"))
    assert problem.endswith("(none is configured)")


@pytest.mark.fault("F-01")
def test_f01_every_replica_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """F-01: one that nobody listens at is named, beside one that is well, and the config is not to blame."""
    monkeypatch.setattr(preflight, "WAITS_S", (0.01,))
    spec = EndpointSpec(name="e", base_urls=("SERVER", "http://127.0.0.1:9/v1"), model="qwen", api_key=KEY)
    with pytest.raises(EndpointError) as caught:
        problems(spec)
    assert str(caught.value) == "endpoint e (http://127.0.0.1:9/v1): cannot connect: refused or unreachable"
    assert exit_code(caught.value) == 69


class Listed:
    """A replica that says these things in turn, the last for ever."""

    base_url = "http://a/v1"

    def __init__(self, *told: int | CallError) -> None:
        self._told = list(told)
        self.asked: list[float] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, body: bytes, *, first_byte_s: float | None = None, call: str = "") -> RawReply:
        raise AssertionError("nothing is sent before a run")

    async def read_metrics(self) -> RawReply:
        raise AssertionError("nor is a server with a fixed pace asked for its figures")

    async def list_models(self) -> RawReply:
        self.asked.append(clock.now())
        told = self._told.pop(0) if len(self._told) > 1 else self._told[0]
        if isinstance(told, CallError):
            raise told
        return RawReply(told, {}, json.dumps({"data": [{"id": "m"}]}).encode(), 0.0, clock.wall())


def checked(*replicas: Listed) -> None:
    """Preflight of an endpoint with these replicas, on virtual time."""
    waiting = iter(replicas)
    spec = EndpointSpec(name="e", base_urls=("http://a/v1",) * len(replicas), model="m")

    async def main() -> None:
        async with Fleet([spec], 1, connect=lambda _spec, _url: next(waiting)) as fleet:
            await fleet.preflight()

    run_virtual(main())


@pytest.mark.fault("F-01")
@pytest.mark.parametrize("told", [ConnectFailedError("refused"), TimedOutError("late"), 503, 429])
def test_f01_a_server_that_is_being_started_is_waited_for(told: int | CallError) -> None:
    """F-01: for some seconds; then the run goes on, or ends for want of a server."""
    replica = Listed(told, told, 200)
    checked(replica)
    assert replica.asked == [0.0, 0.5, 2.0]
    gone = Listed(told)
    with pytest.raises(EndpointError):
        checked(gone)
    assert gone.asked == [0.0, 0.5, 2.0, 5.0]


@pytest.mark.fault("F-01", "F-21")
def test_a_mixture_is_the_configs_fault() -> None:
    """Where one thing is to be mended by hand, the run does not begin before it is; all the rest is said too."""
    with pytest.raises(ConfigError) as caught:
        checked(Listed(401), Listed(ConnectFailedError("refused")), Listed(200))
    assert exit_code(caught.value) == 78
    assert caught.value.problems == ("endpoint e (http://a/v1): the key is rejected (none is configured)", "refused")


@pytest.mark.fault("F-03")
def test_f03_what_waiting_does_not_mend_is_not_waited_for() -> None:
    """F-03: a certificate will be no better in five seconds."""
    replica = Listed(MisdirectedError("TLS failed"))
    with pytest.raises(EndpointError, match="TLS failed"):
        checked(replica)
    assert len(replica.asked) == 1


def test_a_server_without_a_list_is_left_alone() -> None:
    """Where `/models` is absent the first call will tell."""
    assert problems(EndpointSpec(name="e", base_urls=("SERVER/other",), model="x", api_key=KEY)) == ()


@pytest.mark.parametrize("field", ["connect_s", "first_byte_s", "idle_s", "total_s"])
def test_deadlines_have_defaults(field: str) -> None:
    """No call is without a deadline."""
    assert getattr(Timeouts(), field) > 0
