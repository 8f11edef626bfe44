"""Finished rows looked at by number, for the page: some of them, one of them whole, and the scores of the newest.

Law: no request can ask for more than a page holds, however many rows there are.
"""

from aiohttp import web

from star_agents.core.errors import ConfigError
from star_agents.service.api.bodies import json_response, problem
from star_agents.service.api.control import Control
from star_agents.service.api.stream import number_of
from star_agents.service.view.row_view import line, whole
from star_agents.storage.browse import ScorePoint

MOST_ROWS = 200
"""On one page."""

MOST_SCORED = 2000
"""Rows whose scores are looked at: fewer than stay in SQLite, so no file is opened for them."""

DIGITS = 4
"""Of a score in a picture."""


class Browsing:
    """The handlers that look at rows of one service."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def page(self, request: web.Request) -> web.Response:
        """Rows from a number on, and how many there are."""
        first, limit = max(1, number_of(request.query, "first")), _at_most(request, "limit", MOST_ROWS, usual=50)
        last, rows = await self._control.page(first, limit)
        return json_response({"last": last, "rows": [line(row) for row in rows]})

    async def row(self, request: web.Request) -> web.Response:
        """One row with its candidates, scores, verdicts and calls."""
        number = number_of(request.match_info, "number")
        found = await self._control.row(number)
        return problem(404, f"no row {number} is finished") if found is None else json_response(whole(*found))

    async def seed(self, request: web.Request) -> web.Response:
        """Which row a seed led to."""
        seed = number_of(request.match_info, "number")
        found = await self._control.number_of_seed(seed)
        return problem(404, f"seed {seed} is not finished") if found is None else json_response({"row": found})

    async def scores(self, request: web.Request) -> web.Response:
        """IFD under both models, candidate by candidate, of the newest rows."""
        points = await self._control.points(_at_most(request, "rows", MOST_SCORED, usual=500))
        groups: dict[str, list[tuple[float, float]]] = {"selected": [], "base": [], "other": []}
        for point in points:
            groups[_group(point)].append((round(point.small, DIGITS), round(point.large, DIGITS)))
        return json_response(groups)


def _group(point: ScorePoint) -> str:
    if point.is_selected:
        return "selected"
    return "base" if point.is_base else "other"


def _at_most(request: web.Request, name: str, most: int, *, usual: int) -> int:
    """A count in a query.

    Raises:
        ConfigError: it is none, or more than may be asked for.
    """
    count = number_of(request.query, name) or usual
    if count > most:
        raise ConfigError(f"{name}: at most {most}")
    return count
