"""Asking endpoints before a run: what is said, and what is not complained about."""

import pytest

from star_agents.core.errors import ConfigError
from star_agents.core.secret import Secret
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.spec import EndpointSpec, Timeouts
from tests.faultd.server import Conduct, Faultd
from tests.loops import run_real

MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "qwen")


def problems(spec: EndpointSpec) -> tuple[str, ...]:
    """What preflight says of an endpoint, at a server that serves `MODELS` to who knows the key."""

    async def main() -> tuple[str, ...]:
        async with Faultd(conduct=Conduct(models=MODELS, api_key="secret-key")) as server:
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


def test_f21_the_key_is_rejected() -> None:
    """F-21: the message names where the key came from, and not the key."""
    wrong = Secret("wrong-key", origin="env:OPENAI_API_KEY")
    (problem,) = problems(EndpointSpec(name="e", base_urls=("SERVER",), model="qwen", api_key=wrong))
    assert problem == "endpoint e (SERVER): the key is rejected (env:OPENAI_API_KEY)"
    (problem,) = problems(EndpointSpec(name="e", base_urls=("SERVER",), model="qwen"))
    assert problem.endswith("(none is configured)")


def test_f01_every_replica_is_asked() -> None:
    """F-01: one that nobody listens at is named, beside one that is well."""
    spec = EndpointSpec(name="e", base_urls=("SERVER", "http://127.0.0.1:9/v1"), model="qwen", api_key=KEY)
    (problem,) = problems(spec)
    assert problem == "endpoint e (http://127.0.0.1:9/v1): cannot connect: refused or unreachable"


def test_a_server_without_a_list_is_left_alone() -> None:
    """Where `/models` is absent the first call will tell."""
    assert problems(EndpointSpec(name="e", base_urls=("SERVER/other",), model="x", api_key=KEY)) == ()


@pytest.mark.parametrize("field", ["connect_s", "first_byte_s", "total_s"])
def test_deadlines_have_defaults(field: str) -> None:
    """No call is without a deadline."""
    assert getattr(Timeouts(), field) > 0
