"""What is served where. A handler reads the request, asks `Control`, and says what came of it; it decides nothing."""

import asyncio
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import orjson
import yaml
from aiohttp import web
from pydantic import BaseModel, ValidationError

from star_agents.core.errors import ConfigError
from star_agents.service.api.askers import asker_of
from star_agents.service.api.bodies import json_response
from star_agents.service.api.control import Control
from star_agents.service.api.guard import MAY_WRITE, body_of, long_body_of
from star_agents.service.api.rows import Browsing
from star_agents.service.api.stream import Streams, number_of
from star_agents.service.changes.pool_request import PoolRequest
from star_agents.service.changes.retune import RetuneRequest
from star_agents.service.config.yaml_source import dotted
from star_agents.service.run.feed import read_rows
from star_agents.service.view import metrics
from star_agents.service.view.status import Phase
from star_agents.storage.weight_history import Version

READY = frozenset({Phase.RUNNING, Phase.PAUSED})

API = "/api/v1"

M = TypeVar("M", bound=BaseModel)


@cache
def read_openapi() -> dict[str, Any]:
    """The OpenAPI document of the service. Blocks."""
    document = yaml.safe_load(files(__package__).joinpath("openapi.yaml").read_text(encoding="utf-8"))
    return dict(document)


class Routes:
    """The handlers of one service."""

    def __init__(self, control: Control, *, with_metrics: bool = True) -> None:
        self._with_metrics = with_metrics
        self._control = control
        self._streams = Streams(control)
        self._browsing = Browsing(control)

    def table(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            *([web.get("/metrics", self.metrics)] if self._with_metrics else []),
            web.get(f"{API}/openapi.json", self.openapi),
            web.get(f"{API}/status", self.status),
            web.get(f"{API}/token", self.token),
            web.get(f"{API}/timeline", self.timeline),
            web.get(f"{API}/weights", self.weights),
            web.get(f"{API}/weights/history", self.history),
            web.get(f"{API}/rows", self._streams.rows),
            web.get(f"{API}/rows/page", self._browsing.page),
            web.get(f"{API}/rows/{{number}}", self._browsing.row),
            web.get(f"{API}/seeds/{{number}}", self._browsing.seed),
            web.get(f"{API}/scores", self._browsing.scores),
            web.get(f"{API}/events", self._streams.events),
            web.post(f"{API}/seeds", self.feed),
            web.get(f"{API}/endpoints", self.endpoints),
            web.get(f"{API}/agents", self.agents),
            web.post(f"{API}/agents", self.change_pool),
            web.delete(f"{API}/agents/{{name}}", self.retire),
            web.post(f"{API}/pause", self.pause),
            web.post(f"{API}/resume", self.resume),
            web.post(f"{API}/drain", self.drain),
            web.post(f"{API}/retune", self.retune),
            web.get(f"{API}/commands", self.commands),
        ]

    async def healthz(self, _: web.Request) -> web.Response:
        """The process lives."""
        return json_response({"ok": True})

    async def readyz(self, _: web.Request) -> web.Response:
        """The run has begun and takes orders."""
        is_ready = self._control.status().phase in READY
        return json_response({"ready": is_ready}, status=200 if is_ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        """Figures for Prometheus."""
        return web.Response(body=await self._control.metrics(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def openapi(self, _: web.Request) -> web.Response:
        """What is served here, for programs."""
        return json_response(await asyncio.to_thread(read_openapi))

    async def status(self, _: web.Request) -> web.Response:
        """Everything there is to see."""
        return json_response(self._control.status())

    async def token(self, request: web.Request) -> web.Response:
        """What the token of this request is good for."""
        return json_response({"may_write": request[MAY_WRITE]})

    async def timeline(self, request: web.Request) -> web.Response:
        """How the run went over time, over all of its starts."""
        return json_response({"samples": self._control.timeline(number_of(request.query, "after"))})

    async def weights(self, _: web.Request) -> web.Response:
        """The newest weights."""
        now = self._control.status()
        pairs = {pair.pair: pair.p for pair in now.pairs if pair.p is not None}
        return json_response({"version": now.weights_version, "p": pairs})

    async def history(self, request: web.Request) -> web.Response:
        """Earlier weights, a thousand versions at a time."""
        step = number_of(request.query, "step") or 1
        versions = await self._control.history(number_of(request.query, "after"), step=step)
        return json_response({"versions": [_version(version) for version in versions]})

    async def feed(self, request: web.Request) -> web.Response:
        """Seeds, one JSON object a line; all of them or none."""
        at = number_of(request.query, "at") if "at" in request.query else None
        rows = read_rows(await long_body_of(request))
        return json_response({"fed": await self._control.feed(asker_of(request), rows, at=at)})

    async def endpoints(self, _: web.Request) -> web.Response:
        """What each endpoint does."""
        now = self._control.status()
        return json_response({"endpoints": now.endpoints, "servers": now.servers})

    async def agents(self, _: web.Request) -> web.Response:
        """Who takes part, and every change of the pool."""
        return json_response(self._control.cast())

    async def change_pool(self, request: web.Request) -> web.Response:
        """Agents and pairs join and leave, in one step."""
        return json_response(await self._control.change_pool(asker_of(request), await _read(request, PoolRequest)))

    async def retire(self, request: web.Request) -> web.Response:
        """An agent, or a pair, leaves."""
        asked = {"retire": [request.match_info["name"]], "reason": request.query.get("reason", "on request")}
        return json_response(await self._control.change_pool(asker_of(request), _checked(asked, PoolRequest)))

    async def pause(self, request: web.Request) -> web.Response:
        """Take in no more seeds."""
        return json_response({"phase": await self._control.pause(asker_of(request))})

    async def resume(self, request: web.Request) -> web.Response:
        """Take in seeds again."""
        return json_response({"phase": await self._control.resume(asker_of(request))})

    async def drain(self, request: web.Request) -> web.Response:
        """Finish what is planned, and end."""
        return json_response({"phase": await self._control.drain(asker_of(request))}, status=202)

    async def retune(self, request: web.Request) -> web.Response:
        """Other limits from now on."""
        return json_response(await self._control.retune(asker_of(request), await _read(request, RetuneRequest)))

    async def commands(self, request: web.Request) -> web.Response:
        """Orders that were given, a thousand at a time."""
        return json_response({"commands": await self._control.commands(number_of(request.query, "after"))})


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


def _version(version: Version) -> dict[str, object]:
    weights = version.weights
    p = {str(pair): p for pair, p in zip(weights.pairs, weights.p, strict=True)}
    return {"version": weights.version, "applied_seq": version.applied_seq, "p": p}
