"""Names become pairs and agents, or every reason why not."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from star_agents.core.errors import ConfigError
from star_agents.core.records import AgentPair, Role
from star_agents.service.changes.pool_request import Cast, PoolRequest, resolve
from star_agents.service.config import wiring
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from tests.service.configs import SOUND, spoiled

KEEP_WILD, DEEPEN_CALM, DEEPEN_WILD = (
    AgentPair(*pair) for pair in (("keep", "wild"), ("deepen", "calm"), ("deepen", "wild"))
)
HOT = {"endpoint": "local", "prompt": "answer", "temperature": 1.5}


def cast(config: dict[str, Any] = SOUND) -> Cast:
    settings = check(parse_yaml(yaml.safe_dump(config), "run.yaml"))
    return Cast(
        settings=settings,
        templates={},
        agents=wiring.agents_of(settings, {}),
        base=wiring.base_of(settings.pairs),
        pool=wiring.pool_of(settings.pairs, settings.agents),
    )


def asked(**parts: Any) -> PoolRequest:  # noqa: ANN401  # plain data, as it comes over the wire
    return PoolRequest.model_validate({"reason": "test", **parts})


def problems(request: PoolRequest, config: dict[str, Any] = SOUND) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(request, cast(config))
    return list(caught.value.problems)


def test_an_agent_stands_for_all_its_pairs() -> None:
    """A new one is paired with every partner that is in a pair now; one that leaves takes all of its pairs along."""
    change = resolve(asked(add=["response:hot"], agents={"response": {"hot": HOT}}, retire=["deepen+calm"]), cast())
    assert change.add == (AgentPair("keep", "hot"), AgentPair("deepen", "hot"))
    assert change.retire == (DEEPEN_CALM,)
    (hot,) = change.agents
    assert (hot.name, hot.role, hot.params.temperature) == ("hot", Role.RESPONSE, 1.5)
    assert resolve(asked(retire=["wild"], add=["deepen+wild"]), cast()).retire == (KEEP_WILD, DEEPEN_WILD)


def test_a_new_agent_is_what_the_config_would_make_of_it() -> None:
    """The same section in the file gives the same agent, version included: a later start can tell that it is."""
    (hot,) = resolve(asked(add=["hot"], agents={"response": {"hot": HOT}}), cast()).agents
    assert cast(spoiled("agents.response.hot", HOT)).agents.response["hot"] == hot


def test_unused_agents_of_the_config_can_join() -> None:
    """One that the explicit pool leaves out is there to be added by name."""
    config = spoiled("pairs.pool", [["keep", "wild"], ["deepen", "wild"]])
    assert resolve(asked(add=["calm"]), cast(config)).add == (DEEPEN_CALM,)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"add": ["keep+wid"]}, "add keep+wid: no response agent wid; did you mean `wild`?"),
        ({"add": ["kept+wild"]}, "add kept+wild: no instruction agent kept; did you mean `keep`?"),
        ({"retire": ["keep+calmer"]}, "retire keep+calmer: not in the pool; did you mean `deepen+calm`?"),
        ({"add": ["nobody"]}, "add nobody: no such agent; there are: calm, deepen, wild"),
        ({"add": ["wild"]}, "add wild: every pair of it is there already"),
        ({"retire": ["instruction:wild"]}, "retire instruction:wild: no such agent; did you mean `wild`?"),
        (
            {"retire": ["wild"]},
            "sampling.pairs_per_seed: 2 without replacement from a pool of 1; retire fewer, or add pairs",
        ),
        (
            {"agents": {"response": {"hot": HOT}}, "retire": ["keep+wild"]},
            "agents.response.hot: no pair of it is added; name it under add",
        ),
        (
            {"add": ["calm"], "agents": {"response": {"calm": HOT}}},
            "agents.response.calm: there is one of this name; choose another",
        ),
        (
            {"add": ["hot"], "agents": {"response": {"hot": HOT | {"endpoint": "loca"}}}},
            "agents.response.hot.endpoint: no endpoint loca; did you mean `local`?",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_mend(parts: dict[str, Any], told: str) -> None:
    """Each problem names the place and what to do."""
    assert told in problems(asked(**parts))


def test_a_request_brings_no_file(tmp_path: Path) -> None:
    """A prompt is a shipped one, or a file that the operator's config names: never a path of whoever asks."""
    file = tmp_path / "mine.jinja"
    file.write_text("{{ instruction }}")
    request = asked(add=["hot"], agents={"response": {"hot": HOT | {"prompt": str(file)}}})
    assert problems(request)[0].startswith(f"agents.response.hot.prompt: no prompt {file}; ")


def test_what_learns_by_dollars_takes_nobody_without_a_price() -> None:
    """One unit for all costs, or they cannot be compared."""
    config = spoiled("evolution.reward", "quality_per_cost")
    config["endpoints"]["local"]["price"] = {"input": 1.0, "output": 2.0}
    config["endpoints"]["free"] = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "x"}
    request = asked(add=["hot"], agents={"response": {"hot": HOT | {"endpoint": "free"}}})
    assert problems(request, config)[0].startswith("agents.response.hot.endpoint: free has no price")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"add": ["../x"]},
        {"add": ["a b"]},
        {"reason": ""},
        {"reason": "x", "drop": []},
        {"reason": "x" * 501},
        {"reason": "a\nb"},
    ],
)
def test_malformed_requests_are_refused(body: dict[str, Any]) -> None:
    """Strict, as a config is: no unknown key, no reason that is none, no name that is no name."""
    with pytest.raises(ValidationError):
        PoolRequest.model_validate(body)
