"""What a config may say of the servers that we start, and what becomes of it."""

import pytest
import yaml

from star_agents.core.errors import ConfigError
from star_agents.service.config import wiring
from star_agents.service.config.settings import LocalEndpoint
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from tests.service.configs import spoiled

LOCAL = {"kind": "local", "model": "m"}


@pytest.mark.parametrize(
    ("gpus", "replicas", "expected"),
    [
        ([0, 1, 2], 2, "endpoints.smol.gpus: 3 GPUs cannot be dealt out evenly to 2 replicas; give a list for each"),
        ([[0], [1]], 3, "endpoints.smol.gpus: GPUs for 2 replicas, and `replicas` says 3"),
        ([[0], []], None, "endpoints.smol.gpus[1]: "),
        ([0, [1]], None, "endpoints.smol.gpus[1]: "),
        ([], 0, "endpoints.smol.replicas: should be greater than 0"),
    ],
)
def test_gpus_and_replicas_that_do_not_fit(gpus: object, replicas: int | None, expected: str) -> None:
    """Each is told with its place, before anything is started."""
    config = spoiled("endpoints.smol", {**LOCAL, "gpus": gpus, **({} if replicas is None else {"replicas": replicas})})
    with pytest.raises(ConfigError) as caught:
        check(parse_yaml(yaml.safe_dump(config), "run.yaml"))
    assert expected in str(caught.value)


def test_a_spec_for_each_replica() -> None:
    """Named after the endpoint and told apart; each sees its own GPUs alone."""
    section = LocalEndpoint.model_validate({**LOCAL, "gpus": [0, 1, 2, 3], "replicas": 2})
    specs = wiring.server_specs("smol", section, model="/m", environ={})
    assert [(spec.name, spec.gpus) for spec in specs] == [("smol@0", (0, 1)), ("smol@1", (2, 3))]
