"""A run whose pool was changed is gone on with as it is, or refused with what differs."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import yaml

from star_agents.core.errors import ConfigError
from star_agents.core.records import AgentPair, Epoch, Seed, Slot, Tally
from star_agents.service.config.settings import Settings
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.run.job import Inputs, laboratory_inputs
from star_agents.service.run.pool_resume import check_open, same_run
from star_agents.storage.recovery import Standing
from tests.service.configs import SOUND, spoiled
from tests.storage.examples import plan

CALM = ["deepen", "calm"]
HOT = {"endpoint": "local", "prompt": "answer", "temperature": 1.5}
LEFT = Epoch(3, (), (AgentPair("deepen", "calm"),), "test")


def parts(config: dict[str, Any]) -> tuple[Settings, Inputs]:
    settings = check(parse_yaml(yaml.safe_dump(config), "run.yaml"))
    return settings, laboratory_inputs(settings)


def begun(config: dict[str, Any], *epochs: Epoch) -> Standing:
    """A run that was begun with a config, and whose pool was changed since."""
    _, inputs = parts(config)
    return Standing(
        manifest=inputs.manifest, weights=None, tally=Tally(()), spend={}, batches=0, finished=0, in_flight=0,
        next_seed=1, epochs=epochs,
    )  # fmt: skip


def refusal(standing: Standing, config: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        same_run(standing, *parts(config))
    return str(caught.value)


WITHOUT_CALM = spoiled("pairs.pool", [["keep", "wild"], ["deepen", "wild"]])


@pytest.mark.parametrize("config", [SOUND, WITHOUT_CALM], ids=["as begun", "edited to match"])
def test_either_pool_is_taken(config: dict[str, Any]) -> None:
    """The pool that rules count by, and that the store begins its fold with, is the one of the beginning."""
    standing = begun(SOUND, LEFT)
    inputs = same_run(standing, *parts(config))
    assert inputs.pool == inputs.manifest.pairs == standing.manifest.pairs


def test_another_pool_is_refused_with_what_differs() -> None:
    """It names what the config lacks of today's pool and what it has besides, and when it was changed."""
    told = refusal(begun(SOUND, LEFT), spoiled("pairs.pool", [["keep", "wild"], CALM]))
    assert "pairs.pool: is neither the pool this run was begun with nor the one it has since version 3" in told
    assert "it lacks deepen+wild and has deepen+calm besides" in told


def test_other_settings_stay_identity() -> None:
    """A change of the pool excuses nothing else."""
    changed = copy.deepcopy(WITHOUT_CALM)
    changed["run"]["seed"] = 4
    changed["agents"]["response"]["wild"]["temperature"] = 0.3
    told = refusal(begun(SOUND, LEFT), changed)
    assert "run.seed: was 3, is 4" in told
    assert "agents.response.wild.temperature: was 1.0, is 0.3" in told


def joined() -> tuple[Epoch, Inputs]:
    """The epoch in which `hot` joined, and inputs of a config that has it."""
    _, inputs = parts(spoiled("agents.response.hot", HOT))
    pairs = (AgentPair("keep", "hot"), AgentPair("deepen", "hot"))
    return Epoch(2, pairs, (), "test", (inputs.agents.response["hot"],)), inputs


def test_an_agent_that_joined_is_there_again() -> None:
    """Whether the config knows it by now or not; under its name there may be no other."""
    epoch, with_hot = joined()
    standing = begun(SOUND, epoch)
    for config in (SOUND, spoiled("agents.response.hot", HOT)):
        assert same_run(standing, *parts(config)).agents.response["hot"] == with_hot.agents.response["hot"]
    told = refusal(standing, spoiled("agents.response.hot", HOT | {"temperature": 0.1}))
    assert "agents.response.hot: another agent of this name joined while the run ran" in told


def test_an_agent_needs_its_endpoint() -> None:
    """One that joined on an endpoint which the config has no more is named with it."""
    epoch, _ = joined()
    moved = replace(epoch, agents=(replace(epoch.agents[0], endpoint="gone"),))
    assert "endpoints.gone: agents.response.hot, which joined" in refusal(begun(SOUND, moved), SOUND)


def test_open_seeds_keep_their_agents() -> None:
    """An agent of a retired pair may go from the config only when no open seed asks it."""
    _, inputs = parts(SOUND)
    known = replace(plan(0), seed=Seed(0, "x"), slots=(Slot(0, AgentPair("keep", "calm")),))
    check_open([known], inputs.agents)
    with pytest.raises(ConfigError, match=r"agents\.response\.gone: open seeds still ask it"):
        check_open([replace(known, slots=(Slot(0, AgentPair("keep", "gone")),))], inputs.agents)
