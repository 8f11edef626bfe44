"""The settings of a run as a report may show them: to run it again, and to give to anybody. Pure.

Law: no secret is shown. The store holds none of ours (`service.identity.record`); what a person may have written into a
URL, an extra field or a server's arguments is taken out here, rather once too often.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

TAKEN_OUT = "(taken out)"

_SECRET = re.compile(r"(api[-_]?key|token|secret|passw(or)?d|authorization|credential)$", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{\w+\}|file:.*")
_PARAMETER = re.compile(r"(?<=[?&])([^=&#]*(?:key|token|secret|sig)[^=&#]*)=[^&#]*", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_UNREAD = frozenset({"laboratory"})
"""Sections that a real run never reads."""


def settings_shown(config: Mapping[str, Any]) -> str:
    """YAML that `serve-run` takes, once what was taken out is put back."""
    shown = {key: _clean(value) for key, value in config.items() if key not in _UNREAD and value not in ({}, None)}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def _clean(value: Any) -> Any:  # noqa: ANN401  # walks plain data
    if isinstance(value, Mapping):
        return {key: _hidden(item) if _SECRET.search(str(key)) else _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return _arguments(value)
    if isinstance(value, str):
        return _PARAMETER.sub(rf"\1={TAKEN_OUT}", _USER.sub("", value))
    return value


def _hidden(value: object) -> object:
    """A name of a secret stays, since it is none."""
    if isinstance(value, str) and not _REFERENCE.fullmatch(value):
        return TAKEN_OUT
    return _clean(value)


def _arguments(values: list[Any]) -> list[Any]:
    """A list, without what follows an option that is named like a secret."""
    cleaned: list[Any] = []
    is_secret = False
    for value in values:
        name, equals, _ = value.partition("=") if isinstance(value, str) and value.startswith("-") else ("", "", "")
        cleaned.append(
            f"{name}={TAKEN_OUT}" if equals and _SECRET.search(name) else _hidden(value) if is_secret else _clean(value)
        )
        is_secret = not equals and bool(_SECRET.search(name))
    return cleaned
