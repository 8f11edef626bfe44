"""`--set path=value`: a config with some of its values replaced, for sweeps.

Law: what is replaced is checked as if it stood in the file.
"""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from star_agents.core.errors import ConfigError
from star_agents.service.config.yaml_source import YamlSource


def override(source: YamlSource, assignments: Sequence[str]) -> None:
    """Put `evolution.rate=0.001` and the like into a parsed file; sections that are not there are made.

    Raises:
        ConfigError: an assignment has no `=`, or its path leads through a value that is no section.
    """
    for assignment in assignments:
        path, value = assigned(assignment)
        *parents, last = path.split(".")
        inner = source.data
        for parent in parents:
            inner = inner.setdefault(parent, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {assignment}: {'.'.join(parents)} is no section of {source.name}")
        inner[last] = value


def assigned(assignment: str) -> tuple[str, Any]:
    """The path of an assignment, and its value as YAML has it.

    Raises:
        ConfigError: it has no `=`, or its value is not YAML.
    """
    path, equals, value = assignment.partition("=")
    if not equals or not path:
        raise ConfigError(f"{assignment}: say it as path=value, such as evolution.batch_size=64")
    return path, _value(value)


def _value(text: str) -> Any:  # noqa: ANN401  # plain data
    """As YAML has it, but that 1e-3 is a number."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{text}: not a YAML value: {error}") from None
