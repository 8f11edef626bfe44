"""From the name of a secret in the config to the secret itself, at the last moment."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from star_agents.core.errors import ConfigError
from star_agents.core.secret import Secret
from star_agents.service.config.settings import Endpoint, RemoteSection, Settings

_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:.+")
_HEADERS = "headers."


@dataclass(frozen=True, slots=True)
class EndpointSecrets:
    """The secrets of one endpoint; `headers` are those of which the value names one."""

    api_key: Secret | None = None
    proxy_auth: Secret | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict)


def resolve_secrets(settings: Settings, environ: Mapping[str, str]) -> dict[str, EndpointSecrets]:
    """The secrets of every endpoint by its name.

    Raises:
        ConfigError: a variable is not set or empty, or a file cannot be read; all of them at once.
    """
    problems: list[str] = []
    found = {name: _secrets_of(name, endpoint, environ, problems) for name, endpoint in settings.endpoints.items()}
    if problems:
        raise ConfigError(*problems)
    return found


def secrets_of(settings: Settings, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """Every secret that there is, to be blotted out of what is written; what is missing is told by others."""
    found: list[Secret] = []
    for endpoint in settings.endpoints.values():
        for _, reference in _references(endpoint):
            with suppress(ConfigError):
                found.append(resolve(reference, environ))
    return tuple(found)


def _secrets_of(name: str, endpoint: Endpoint, environ: Mapping[str, str], problems: list[str]) -> EndpointSecrets:
    found: dict[str, Secret] = {}
    for key, reference in _references(endpoint):
        try:
            found[key] = resolve(reference, environ)
        except ConfigError as error:
            problems += [f"endpoints.{name}.{key}: {problem}" for problem in error.problems]
    headers = {key.removeprefix(_HEADERS): secret for key, secret in found.items() if key.startswith(_HEADERS)}
    return EndpointSecrets(found.get("api_key"), found.get("proxy_auth"), headers)


def _references(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Where in an endpoint's section a secret is named, and how."""
    if not isinstance(endpoint, RemoteSection):
        return
    if endpoint.api_key is not None:
        yield "api_key", endpoint.api_key
    if endpoint.proxy_auth is not None:
        yield "proxy_auth", endpoint.proxy_auth
    for header, value in endpoint.headers.items():
        if _REFERENCE.fullmatch(value):
            yield _HEADERS + header, value


def resolve(reference: str, environ: Mapping[str, str]) -> Secret:
    """The secret that a `${NAME}` or a `file:/path` names.

    Raises:
        ConfigError: the variable is not set or empty, or the file cannot be read.
    """
    if reference.startswith("file:"):
        file = Path(reference.removeprefix("file:")).expanduser()
        try:
            value = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} cannot be read ({type(error).__name__}); put the key into it") from None
        origin = f"file:{file}"
    else:
        variable = reference[2:-1]
        value = environ.get(variable, "").strip()
        origin = f"env:{variable}"
    if not value:
        raise ConfigError(f"{origin} is not set; set it before the run starts")
    return Secret(value, origin=origin)
