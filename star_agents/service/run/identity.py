"""What a run is: the part of its config that may not change between two starts.

Safe to change are the places and limits of a run (URLs, keys, concurrency, paths of programs), its output
and its service. Everything that a row of the log depends on is identity, and so is the model behind an
endpoint's name. Paths are dotted; `*` stands for any name.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any

import orjson
from pydantic import ValidationError

from star_agents.service.config.settings import Settings
from star_agents.service.config.yaml_source import dotted

SAFE = (
    "run.dir",
    "seeds.path",  # the file's own digest is compared instead
    "seeds.follow",  # what was read of it is in the run folder
    "endpoints.*.kind",
    "endpoints.*.engine",
    "endpoints.*.base_url*",
    "endpoints.*.api_key",
    "endpoints.*.key_header",
    "endpoints.*.concurrency",
    "endpoints.*.pacing",
    "endpoints.*.requests_per_minute",
    "endpoints.*tokens_per_minute",
    "endpoints.*.timeouts.*",
    "endpoints.*.stream",
    "endpoints.*.stream_end",
    "endpoints.*.proxy*",
    "endpoints.*.ca_file",
    "endpoints.*.idempotency_key",
    "endpoints.*.max_tokens_field",
    "endpoints.*.choices",
    "endpoints.*.price*",
    "endpoints.*.gpus*",
    "endpoints.*.replicas",
    "endpoints.*.args*",
    "endpoints.*.python",
    "endpoints.*.start_s",
    "sampling.max_in_flight",
    "scoring.device",
    "scoring.large_device",
    "scoring.workers",
    "memory.device",
    "memory.capacity",
    "evolution.batch_size",
    "evolution.linger_s",
    "evolution.order",
    "evolution.max_lag",
    "judge.policy",
    "judge.probes*",  # no row depends on them
    "budget.*",
    "output.*",
    "service.*",
    "telemetry.*",
    "laboratory.*",  # a real run never reads it
)


PRICES = ("endpoints.*.price*",)
"""What teaches with `evolution.reward: quality_per_cost`, and is then no longer safe to change."""


EARLIER = {("evolution", "faults"): "nothing"}
"""What a key stood for before there was one, where that is not its default of today."""


def record(settings: Settings, prompts: Mapping[str, str]) -> str:
    """The config as JSON, for the manifest of a run; secrets are in it by name only, and headers not at all.

    `prompts` are the texts of template files, kept as digests: a file that was edited is another agent.
    """
    digests = {name: _digest(text.encode()) for name, text in prompts.items()}
    return _dumped(settings, digests)


def fingerprint(config: str) -> str:
    """A digest of what must not change in a recorded config."""
    return _digest(orjson.dumps(_identity(config), option=orjson.OPT_SORT_KEYS))


def differences(begun: str, now: str) -> list[str]:
    """One line for each field of identity in which two recorded configs differ.

    A key that the version which recorded `begun` did not have counts with what it stood for then.
    """
    return _lines(_completed(begun), now)


def differences_besides_pool(begun: str, now: str) -> list[str]:
    """The same, leaving out which pairs are in the pool, and agents that only one of the two knows."""
    before, after = orjson.loads(_completed(begun)), orjson.loads(now)
    for section in ("instruction", "response"):
        _keep_shared(before["agents"], after["agents"], section)
    _keep_shared(before, after, "prompt_files")
    for config in (before, after):
        config["pairs"].pop("pool", None)
    return _lines(orjson.dumps(before).decode(), orjson.dumps(after).decode())


def _keep_shared(before: dict[str, Any], after: dict[str, Any], key: str) -> None:
    """Leave in two mappings at `key` the names that both have."""
    shared = before.get(key, {}).keys() & after.get(key, {}).keys()
    for config in (before, after):
        config[key] = {name: value for name, value in config.get(key, {}).items() if name in shared}


def _lines(begun: str, now: str) -> list[str]:
    before, after = _identity(begun), _identity(now)
    return [
        f"{path}: was {_show(before.get(path))}, is {_show(after.get(path))}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _completed(config: str) -> str:
    """The same with today's keys; one that today's model does not take is left as it is."""
    digests = orjson.loads(config).pop("prompt_files", {})
    try:
        settings = recorded_settings(config)
    except ValidationError:
        return config
    return _dumped(settings, digests)


def recorded_settings(config: str) -> Settings:
    """The settings of a run, as its manifest records them (`record`); headers are not in it.

    Raises:
        ValidationError: another version recorded them, and this one does not take them.
    """
    recorded = orjson.loads(config)
    recorded.pop("prompt_files", None)
    for (section, key), value in EARLIER.items():
        recorded.setdefault(section, {}).setdefault(key, value)
    return Settings.model_validate_json(orjson.dumps(recorded))


def _dumped(settings: Settings, digests: Mapping[str, str]) -> str:
    kept = settings.model_dump(mode="json", exclude={"endpoints": {"__all__": {"headers"}}})
    return orjson.dumps(kept | {"prompt_files": digests}).decode()


def _identity(config: str) -> dict[str, Any]:
    fields = dict(_flatten(orjson.loads(config), ()))
    teaching = PRICES if fields.get("evolution.reward") == "quality_per_cost" else ()
    safe = [pattern for pattern in SAFE if pattern not in teaching]
    return {path: value for path, value in fields.items() if not any(fnmatchcase(path, one) for one in safe)}


def _show(value: object) -> str:
    return "not set" if value is None else orjson.dumps(value).decode()


def _flatten(value: Any, path: tuple[str | int, ...]) -> list[tuple[str, Any]]:  # noqa: ANN401  # plain data
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in _flatten(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in _flatten(inner, (*path, index))]
    return [(dotted(path), value)]


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
