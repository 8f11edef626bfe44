"""The libraries of the extra `report`, asked for at once, before anything is read or drawn."""

from importlib import import_module

from star_agents.core.errors import ConfigError


def check_libraries() -> None:
    """See that they are there; it takes a second the first time.

    Raises:
        ConfigError: one is not installed.
    """
    try:
        for library in ("matplotlib", "scipy.stats", "sklearn.cluster"):
            import_module(library)
    except ImportError as error:
        raise ConfigError("report: needs the report extra: pip install 'star-agents[report]'") from error
