"""The shipped laboratory, small, with values replaced as `--set` does."""

from pathlib import Path

from star_agents.lab.trial import Laboratory
from star_agents.service.config.overrides import override
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import read_yaml

CONFIG = Path(__file__).parents[2] / "configs" / "laboratory.yaml"


def laboratory(*assignments: str, seeds: int = 120) -> Laboratory:
    source = read_yaml(CONFIG)
    override(source, [f"laboratory.seeds={seeds}", *assignments])
    return Laboratory.build(check(source))
