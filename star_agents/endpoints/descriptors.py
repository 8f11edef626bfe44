"""Fitting the calls in flight to the file descriptors that this process may have.

Law: what all endpoints together may open, and a reserve for the rest of the program, stays below the limit; the
limit itself is never moved, for it is the user's.
"""

import logging
import resource
from collections.abc import Sequence
from dataclasses import replace

from star_agents.endpoints.spec import EndpointSpec
from star_agents.endpoints.transport import SPARE_CONNECTIONS

RESERVE = 128
"""For the store, logs, scorers, model servers and the API."""

_log = logging.getLogger(__name__)


def wanted(specs: Sequence[EndpointSpec]) -> int:
    """The file descriptors of a run that calls these endpoints, its reserve included."""
    return sum(spec.concurrency + SPARE_CONNECTIONS * len(spec.base_urls) for spec in specs) + RESERVE


def soft_limit() -> int | None:
    """The file descriptors that this process may have; None where there is no end of them."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def fitted(specs: Sequence[EndpointSpec], limit: int | None = None) -> list[EndpointSpec]:
    """The specs, every concurrency cut by the same share where they ask for more than may be opened.

    `limit` stands in for the process's own, which is warned about once where it is too low.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    spare = sum(SPARE_CONNECTIONS * len(spec.base_urls) for spec in specs)
    asked, room = sum(spec.concurrency for spec in specs), most - RESERVE - spare
    if most == resource.RLIM_INFINITY or asked <= room:
        return list(specs)
    _log.warning(
        "%d calls in flight need %d file descriptors, and there are %d: fewer calls are made at once; `ulimit -n %d`",
        asked,
        asked + spare + RESERVE,
        most,
        asked + spare + RESERVE,
    )
    share = max(room, 0) / asked
    return [replace(spec, concurrency=max(1, int(spec.concurrency * share))) for spec in specs]
