"""Limits and ceilings set anew while a run runs: `endpoints.gpt.requests_per_minute=200`, `budget.usd=50`.

Law: what is set holds for this start and stands in its log; the config file is the operator's, and the next start goes
by it. All that is asked for is checked as a config is before any of it is done: all of it, or nothing.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, ValidationError

from star_agents.core.errors import ConfigError
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.purse import Purse
from star_agents.endpoints.spec import EndpointSpec
from star_agents.service.config.consistency import inconsistencies
from star_agents.service.config.section import Section
from star_agents.service.config.settings import Settings
from star_agents.service.config.yaml_source import dotted

RATES = ("requests_per_minute", "tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
LIMITS = (*RATES, "concurrency")
CEILINGS = ("usd", "tokens")

MAX_CHANGES = 64

Value = bool | int | float | str | None
"""What a YAML value may be; whether it is a limit is for the settings to say."""

log = logging.getLogger(__name__)


class RetuneRequest(Section):
    """Values by dotted path; null takes a limit or a ceiling away."""

    values: Annotated[dict[str, Value], Field(min_length=1, max_length=MAX_CHANGES)]


def retuned(settings: Settings, values: Mapping[str, object]) -> Settings:
    """The settings with other limits.

    Raises:
        ConfigError: a path is no limit, or its value is none; everything at once.
    """
    data = settings.model_dump()
    problems = [problem for path, value in values.items() if (problem := _put(data, path, value))]
    if problems:
        raise ConfigError(*problems)
    try:
        changed = Settings.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise ConfigError(*(f"{_path(detail['loc'])}: {detail['msg']}" for detail in details)) from None
    sections = {name: getattr(changed, name) for name in Settings.model_fields}
    if problems := [f"{dotted(path)}: {told}" for path, told in inconsistencies(sections)]:
        raise ConfigError(*problems)
    return changed


def apply(changed: Settings, values: Mapping[str, object], fleet: Fleet, purse: Purse) -> None:
    """Go by other limits from now on.

    Raises:
        ConfigError: an endpoint cannot, and nothing was changed.
    """
    specs = {name: _spec(changed, fleet.spec(name)) for name in _endpoints(values)}
    problems = [problem for name, spec in specs.items() if (problem := _too_wide(name, spec, fleet))]
    if problems:
        raise ConfigError(*problems)
    for name, spec in specs.items():
        fleet.retune(name, spec)
    if any(path.startswith("budget.") for path in values):
        purse.raise_to(usd=changed.budget.usd, tokens=changed.budget.tokens)
    for path, value in values.items():
        log.warning("on request: %s is %s from now on", path, value)


def _put(data: dict[str, Any], path: str, value: object) -> str | None:
    """Set a limit in plain settings; tells why it is none."""
    section, _, rest = path.partition(".")
    if section == "budget" and rest in CEILINGS:
        data["budget"][rest] = value
        return None
    name, _, limit = rest.rpartition(".")
    if section != "endpoints" or limit not in LIMITS:
        known = [f"endpoints.NAME.{one}" for one in LIMITS] + [f"budget.{one}" for one in CEILINGS]
        return f"{path}: cannot be set while a run runs; what can: {', '.join(known)}"
    if name not in data["endpoints"]:
        return f"{path}: no endpoint {name}; there are: {', '.join(data['endpoints'])}"
    if limit == "concurrency" and value is None:
        return f"{path}: give a number"
    data["endpoints"][name][limit] = value
    return None


def _path(loc: tuple[str | int, ...]) -> str:
    """Pydantic's location without the tag of the endpoint's kind."""
    return dotted(loc[:2] + loc[3:]) if loc[0] == "endpoints" else dotted(loc)


def _endpoints(values: Mapping[str, object]) -> list[str]:
    parts = (path.removeprefix("endpoints.") for path in values if path.startswith("endpoints."))
    return list(dict.fromkeys(part.rpartition(".")[0] for part in parts))


def _spec(changed: Settings, spec: EndpointSpec) -> EndpointSpec:
    section = changed.endpoints[spec.name]
    rates = {rate: getattr(section, rate) for rate in RATES}
    return replace(spec, **rates, concurrency=section.concurrency or spec.concurrency)


def _too_wide(name: str, spec: EndpointSpec, fleet: Fleet) -> str | None:
    most = fleet.most_calls(name)
    told = f"at most {most} without a new start, for which connections were made; set it in the config and resume"
    return f"endpoints.{name}.concurrency: {told}" if spec.concurrency > most else None
