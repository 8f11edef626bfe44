"""What is served where. A handler reads the request, asks `Control`, and says what came of it; it decides nothing."""

from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from star_agents.core.errors import ConfigError
from star_agents.service.api_guard import body_of
from star_agents.service.api_json import json_response
from star_agents.service.control import Control
from star_agents.service.pool_request import PoolRequest
from star_agents.service.status import Phase
from star_agents.service.yaml_source import dotted

READY = frozenset({Phase.RUNNING, Phase.PAUSED})

API = "/api/v1"

M = TypeVar("M", bound=BaseModel)


class Routes:
    """The handlers of one service."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def table(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get(f"{API}/status", self.status),
            web.get(f"{API}/weights", self.weights),
            web.get(f"{API}/endpoints", self.endpoints),
            web.get(f"{API}/agents", self.agents),
            web.post(f"{API}/agents", self.change_pool),
            web.delete(f"{API}/agents/{{name}}", self.retire),
            web.post(f"{API}/pause", self.pause),
            web.post(f"{API}/resume", self.resume),
            web.post(f"{API}/drain", self.drain),
        ]

    async def healthz(self, _: web.Request) -> web.Response:
        """The process lives."""
        return json_response({"ok": True})

    async def readyz(self, _: web.Request) -> web.Response:
        """The run has begun and takes orders."""
        is_ready = self._control.status().phase in READY
        return json_response({"ready": is_ready}, status=200 if is_ready else 503)

    async def status(self, _: web.Request) -> web.Response:
        """Everything there is to see."""
        return json_response(self._control.status())

    async def weights(self, _: web.Request) -> web.Response:
        """The newest weights."""
        now = self._control.status()
        pairs = {pair.pair: pair.p for pair in now.pairs if pair.p is not None}
        return json_response({"version": now.weights_version, "p": pairs})

    async def endpoints(self, _: web.Request) -> web.Response:
        """What each endpoint does."""
        now = self._control.status()
        return json_response({"endpoints": now.endpoints, "servers": now.servers})

    async def agents(self, _: web.Request) -> web.Response:
        """Who takes part, and every change of the pool."""
        return json_response(self._control.cast())

    async def change_pool(self, request: web.Request) -> web.Response:
        """Agents and pairs join and leave, in one step."""
        return json_response(await self._control.change_pool(await _read(request, PoolRequest)))

    async def retire(self, request: web.Request) -> web.Response:
        """An agent, or a pair, leaves."""
        asked = {"retire": [request.match_info["name"]], "reason": request.query.get("reason", "on request")}
        return json_response(await self._control.change_pool(_checked(asked, PoolRequest)))

    async def pause(self, _: web.Request) -> web.Response:
        """Take in no more seeds."""
        return json_response({"phase": self._control.pause()})

    async def resume(self, _: web.Request) -> web.Response:
        """Take in seeds again."""
        return json_response({"phase": self._control.resume()})

    async def drain(self, _: web.Request) -> web.Response:
        """Finish what is planned, and end."""
        return json_response({"phase": self._control.drain()}, status=202)


async def _read(request: web.Request, model: type[M]) -> M:
    """The body as a model has it.

    Raises:
        HTTPBadRequest: it is not JSON.
        ConfigError: it is not as the model says; one line a field.
    """
    try:
        value = orjson.loads(await body_of(request))
    except orjson.JSONDecodeError:
        raise web.HTTPBadRequest(reason="the body is not JSON") from None
    return _checked(value, model)


def _checked(value: object, model: type[M]) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise ConfigError(*(f"{dotted(detail['loc'])}: {detail['msg']}" for detail in found)) from None
