"""From a YAML file to `Settings`, or to every problem at once.

Structure first (keys, types, ranges), then sense (names that point nowhere, numbers that cannot hold
together). A check of sense runs wherever the sections it reads are sound, so that one typo does not hide
the rest. Values are never echoed: one of them could be a key.
"""

import difflib
from pathlib import Path as FilePath
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from star_agents.core.errors import ConfigError
from star_agents.service.config.consistency import Sections, inconsistencies
from star_agents.service.config.settings import Settings
from star_agents.service.config.yaml_source import Path, YamlSource, read_yaml

MENDS = {
    "api_key": "name the secret instead of writing it: ${NAME} or file:/path",
    "base_url": "give http(s)://host/path without credentials or a query",
    "base_urls": "give http(s)://host/path without credentials or a query",
    "host": "the service binds the loopback interface only",
    "device": "give auto, cpu, or a device as torch names it: cuda:0; for scorers several, joined by commas",
    "large_device": "give cpu, or devices as torch names them, joined by commas: cuda:1",
    "name": "use lower-case letters, digits, dot, dash and underscore",
}
"""What to do about a bad value, where its type alone does not say it."""

Keys = dict[str, "Keys"]
"""The keys a config may have, nested; `*` stands for any name."""


def load_settings(file: FilePath) -> Settings:
    """Read, check and return a config.

    Raises:
        ConfigError: one line a problem, each with file, line, dotted path and mend.
    """
    return check(read_yaml(file))


def check(source: YamlSource) -> Settings:
    """Check a parsed file; see `load_settings`."""
    if not isinstance(source.data, dict) or not source.data:
        raise ConfigError(f"{source.name}: not a config: expected sections such as run, seeds and endpoints")
    problems = list(source.problems)
    settings, unsound = None, set[str]()
    try:
        settings = Settings.model_validate(source.data)
    except ValidationError as error:
        for path, messages in _by_path(source.data, error).items():
            unsound.add(str(path[0]))
            problems.append(f"{source.locate(path)}: {', or '.join(messages)}")
    sections = _sound_sections(source.data, unsound)
    problems += [f"{source.locate(path)}: {message}" for path, message in inconsistencies(sections)]
    if problems or settings is None:
        raise ConfigError(*problems)
    return settings


def _sound_sections(data: dict[str, Any], unsound: set[str]) -> Sections:
    """Every section that stands on its own, left-out ones with their defaults."""
    sound = [(name, field) for name, field in Settings.model_fields.items() if name not in unsound]
    return {name: _validated(field.annotation, data[name]) if name in data else field.default for name, field in sound}


def _validated(annotation: Any, value: object) -> Any:  # noqa: ANN401  # annotations are any object
    return TypeAdapter(annotation).validate_python(value)


def _by_path(data: dict[str, Any], error: ValidationError) -> dict[Path, list[str]]:
    """Messages by place; a value that fits no member of a union has one for each member."""
    found: dict[Path, list[str]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        path = _path_in(data, detail["loc"])
        found.setdefault(path, []).append(_explain(path, detail["type"], detail["msg"]))
    return found


def _path_in(data: Any, loc: tuple[int | str, ...]) -> Path:  # noqa: ANN401  # plain data has any type
    """Pydantic's location without its union tags, which are no keys of the file."""
    path: list[int | str] = []
    for part in loc:
        is_index = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if (isinstance(data, dict) and part in data) or is_index:
            data = data[part]
        elif part != loc[-1] or not isinstance(data, dict):
            continue
        path.append(part)
    return tuple(path)


def _explain(path: Path, kind: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            return f"unknown key{_suggestion(path)}"
        case "missing":
            return "missing, and it has no default"
        case "union_tag_not_found":
            return "`kind` is missing; say openai, anthropic or local"
        case "union_tag_invalid":
            return "unknown `kind`; say openai, anthropic or local"
    message = message.replace("Input should", "should").replace("String should", "should")
    named = [MENDS[str(part)] for part in path[-2:] if str(part) in MENDS]
    return "; ".join([message, *named])


def _suggestion(path: Path) -> str:
    keys: Keys = _KEYS
    for part in path[:-1]:
        keys = keys.get(str(part), keys.get("*", {}))
    close = difflib.get_close_matches(str(path[-1]), keys, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(keys)}" if keys else ""


def _keys_of(annotation: Any) -> Keys:  # noqa: ANN401  # annotations are any object
    """The keys that values of a type may have; a union has those of all its members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: _keys_of(field.annotation) for name, field in annotation.model_fields.items()}
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return {"*": _keys_of(arguments[1])}
    return {name: keys for argument in arguments for name, keys in _keys_of(argument).items()}


_KEYS = _keys_of(Settings)
