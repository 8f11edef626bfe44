"""star-agents: streams instructions to many language models and learns which pair to ask next.

`run` and `arun` make a data set better, `score` and `ascore` rate one, `stream_rows` follows a run: docs/python.md.
Law: importing this package costs next to nothing. What a name needs is imported when the name is first asked for.
"""

from importlib import import_module

_HOMES = {
    "run": "interface",
    "arun": "interface",
    "score": "interface",
    "ascore": "interface",
    "RunOptions": "interface",
    "RunResult": "interface",
    "ScoreOptions": "interface",
    "Scored": "interface",
    "stream_rows": "client.rows",
    "TailOptions": "client.rows",
    "StarError": "core.errors",
    "ConfigError": "core.errors",
    "__version__": "core.version",
}
"""Where each public name lives; `__init__.pyi` says the same to type checkers."""

__all__ = [
    "ConfigError",
    "RunOptions",
    "RunResult",
    "ScoreOptions",
    "Scored",
    "StarError",
    "TailOptions",
    "__version__",
    "arun",
    "ascore",
    "run",
    "score",
    "stream_rows",
]


def __getattr__(name: str) -> object:
    """Import a public name's home and hand the name out."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
