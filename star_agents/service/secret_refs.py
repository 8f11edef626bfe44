"""From the name of a secret in the config to the secret itself, at the last moment."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from star_agents.core.errors import ConfigError
from star_agents.core.secret import Secret
from star_agents.service.settings import OpenAIEndpoint, Settings


def resolve_secrets(settings: Settings, environ: Mapping[str, str]) -> dict[str, Secret]:
    """The API key of every endpoint that names one.

    Raises:
        ConfigError: a variable is not set or empty, or a file cannot be read; all of them at once.
    """
    found: dict[str, Secret] = {}
    problems: list[str] = []
    for name, reference in _references(settings):
        try:
            found[name] = _resolve(reference, environ)
        except ConfigError as error:
            problems += [f"endpoints.{name}.api_key: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(*problems)
    return found


def _references(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, endpoint in settings.endpoints.items():
        if isinstance(endpoint, OpenAIEndpoint) and endpoint.api_key is not None:
            yield name, endpoint.api_key


def _resolve(reference: str, environ: Mapping[str, str]) -> Secret:
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
