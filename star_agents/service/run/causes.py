"""Of everything that failed together, the one error to tell a person about."""

from collections.abc import Iterator

from star_agents.core.errors import StarError


def leading(failures: ExceptionGroup[Exception]) -> Exception:
    """The first error that was made for people, else the first."""
    flat = list(_flatten(failures))
    return next((error for error in flat if isinstance(error, StarError)), flat[0])


def _flatten(failure: Exception) -> Iterator[Exception]:
    if isinstance(failure, ExceptionGroup):
        for inner in failure.exceptions:
            yield from _flatten(inner)
    else:
        yield failure
