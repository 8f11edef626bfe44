"""Which exit code an ending earns: the one place where errors become numbers (sysexits.h where it has one).

0   done, or stopped cleanly on request
1   stopped for a reason that the last line names
2   wrong usage of the command line
69  a model server, an endpoint, a hub or the service of a run is not to be had
73  the run folder is in use, or holds another run; another `score` is at the same --out
74  the store cannot be written or read
75  stopped at the budget; raise it and resume
78  the config or the data must be mended
130, 143  left at once on a second SIGINT or SIGTERM; `score` stops on the first
"""

from collections.abc import Collection

from star_agents.core.errors import (
    ConfigError,
    EndpointError,
    HubError,
    ModelFetchError,
    ModelServerError,
    PortTakenError,
    RunExistsError,
    RunInUseError,
    SeedError,
    ServiceGoneError,
    StarError,
    StoreError,
)

BUDGET_REACHED = "budget reached"
"""`service.status.Ending.BUDGET`, by value: reading exit codes must not import the service."""

EX_UNAVAILABLE = 69
EX_CANTCREAT = 73
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_CONFIG = 78
INTERRUPTED = 130

_CODES: tuple[tuple[type[StarError], int], ...] = (
    (ConfigError, EX_CONFIG),
    (SeedError, EX_CONFIG),
    (PortTakenError, EX_CONFIG),
    (RunInUseError, EX_CANTCREAT),
    (RunExistsError, EX_CANTCREAT),
    (StoreError, EX_IOERR),
    (ModelServerError, EX_UNAVAILABLE),
    (ModelFetchError, EX_UNAVAILABLE),
    (EndpointError, EX_UNAVAILABLE),
    (HubError, EX_UNAVAILABLE),
    (ServiceGoneError, EX_UNAVAILABLE),
)


def exit_code(error: StarError) -> int:
    """The exit code of an error that ends a command."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


_FINDINGS = {"config": EX_CONFIG, "store": EX_IOERR, "unavailable": EX_UNAVAILABLE}
"""By `service.doctor.Cause`, by value; of several the first counts."""


def findings_code(causes: Collection[str]) -> int:
    """The exit code of `doctor`, by what its failures lie at."""
    return next((code for cause, code in _FINDINGS.items() if cause in causes), 0)


def ending_code(ending: str) -> int:
    """The exit code of a run that ended without an error."""
    return EX_TEMPFAIL if ending == BUDGET_REACHED else 0
