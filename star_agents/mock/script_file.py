"""A script in a file, YAML or JSON, and faults on a command line.

Law: a file is taken whole or refused whole, with every problem at once, each by file, dotted path and mend.

    faults:
      - {fault: http_503, rate: 0.05}
      - {fault: http_429, argument: "5", from_s: 10, until_s: 13, period_s: 60}
      - {fault: http_400, content: "poison"}
      - {fault: reset_mid_body, argument: "300", numbers: [0, 7], max_times: 1}
    capacity:
      - {at_s: 30, factor: 0.1}
    outages:
      - {from_s: 60, until_s: 90}
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from star_agents.core.errors import ConfigError
from star_agents.mock.catalogue import faults_named
from star_agents.mock.conduct import CapacityStep, Outage
from star_agents.mock.faults import Fault
from star_agents.mock.script import Rule

_LIST_THEM = "`star-agents mock-server --list-faults` lists them"
Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is to go wrong."""

    rules: tuple[Rule, ...] = ()
    capacity: tuple[CapacityStep, ...] = ()
    outages: tuple[Outage, ...] = ()


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _RuleLine(_Part):
    fault: str
    argument: str | float | int | None = None
    rate: float = Field(default=1.0, gt=0, le=1)
    numbers: list[int] | None = None
    from_number: int = 0
    until_number: int | None = None
    max_times: int | None = None
    content: str | None = None
    from_s: Seconds = 0.0
    until_s: Seconds | None = None
    period_s: float | None = Field(default=None, gt=0)

    def rule(self, seed: int) -> Rule:
        """As the server asks it."""
        argument = None if self.argument is None else str(self.argument)
        return Rule(
            faults=_faults(self.fault, argument),
            numbers=None if self.numbers is None else frozenset(self.numbers),
            content=None if self.content is None else re.compile(self.content),
            seed=seed,
            **self.model_dump(exclude={"fault", "argument", "numbers", "content"}),
        )


class _CapacityLine(_Part):
    at_s: Seconds
    factor: float = Field(gt=0)


class _OutageLine(_Part):
    from_s: Seconds
    until_s: Seconds
    period_s: float | None = Field(default=None, gt=0)


class _ScenarioFile(_Part):
    faults: list[_RuleLine] = []
    capacity: list[_CapacityLine] = []
    outages: list[_OutageLine] = []


def read_scenario(path: Path, seed: int) -> Scenario:
    """The script in a file.

    Raises:
        ConfigError: it cannot be read, or says something that is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
        read = _ScenarioFile.model_validate(yaml.safe_load(text) or {})
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ConfigError(*_problems(path, error)) from None
    return Scenario(
        rules=tuple(_rules(path, read.faults, seed)),
        capacity=tuple(CapacityStep(line.at_s, line.factor) for line in read.capacity),
        outages=tuple(Outage(line.from_s, line.until_s, line.period_s) for line in read.outages),
    )


def rule_of(text: str, seed: int) -> Rule:
    """A fault as a command line gives it: `NAME`, `NAME:RATE` or `NAME:RATE:ARG`.

    Raises:
        ConfigError: no such fault, no such rate, or an argument that the fault does not take.
    """
    name, _, rest = text.partition(":")
    rate, _, argument = rest.partition(":")
    try:
        return Rule(faults=_faults(name, argument or None), rate=_rate(rate or "1"), seed=seed)
    except ValueError as error:
        raise ConfigError(f"--fault {text}: {error}; write NAME:RATE or NAME:RATE:ARG") from None


def _rate(text: str) -> float:
    rate = float(text)
    if 0 < rate <= 1:
        return rate
    raise ValueError("a rate is above 0 and at most 1")


def _rules(path: Path, lines: Iterable[_RuleLine], seed: int) -> list[Rule]:
    rules, problems = [], []
    for number, line in enumerate(lines):
        try:
            rules.append(line.rule(seed))
        except (ValueError, re.error) as error:
            problems.append(f"{path}: faults.{number}: {error}")
    if problems:
        raise ConfigError(*problems)
    return rules


def _faults(name: str, argument: str | None) -> tuple[Fault, ...]:
    try:
        return faults_named(name, argument)
    except KeyError:
        raise ValueError(f"no fault is called {name!r}; {_LIST_THEM}") from None


def _problems(path: Path, error: ValidationError) -> list[str]:
    return [f"{path}: {'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors()]
