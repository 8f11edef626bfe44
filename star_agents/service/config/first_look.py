"""What there is before there is a config: the seeds in a file, and the models of an endpoint."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from star_agents.core.errors import ConfigError, EndpointError
from star_agents.endpoints import preflight
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.formats.protocol import served_models
from star_agents.endpoints.spec import Api, EndpointSpec, Timeouts
from star_agents.service.config.draft import kind_of
from star_agents.service.config.secret_refs import resolve
from star_agents.storage.row_files import RawRow
from star_agents.storage.seed_rows import shape_of
from star_agents.storage.seeds import open_seeds, row_file

PATIENCE = Timeouts(connect_s=5.0, first_byte_s=10.0, total_s=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsSeen:
    """A source of seeds: its rows, usable or not, and the first usable one with its fields and its format."""

    rows: int
    row_format: str
    fields: tuple[str, ...]
    question: str


async def seeds_seen(path: str) -> SeedsSeen:
    """Look at a source of seeds.

    Raises:
        SeedError: it cannot be read, or holds no seed; it names the file, the place and the mend.
    """
    seeds = await open_seeds(path)
    [first] = await seeds.read(1)
    row = await asyncio.to_thread(_row, path, first.number)
    value = row.value if isinstance(row.value, dict) else {}
    return SeedsSeen(
        rows=await seeds.count(), row_format=shape_of(value), fields=tuple(map(str, value)), question=first.question
    )


def _row(path: str, number: int) -> RawRow:
    with closing(row_file(path).rows(number)) as rows:
        return next(rows)


async def models_at(base_url: str, api_key: str | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The models that an endpoint says it serves; none where it does not list them.

    `api_key` names a secret, as a config does.

    Raises:
        CallError: the endpoint is not to be had.
        ConfigError: there is no secret of that name, or the endpoint rejects it.
        EndpointError: the endpoint is not ready.
    """
    api: Api = "messages" if kind_of(base_url) == "anthropic" else "chat"
    secret = None if api_key is None else resolve(api_key, environ)
    spec = EndpointSpec(
        name="init", base_urls=(base_url,), model="", api=api, api_key=secret, timeouts=PATIENCE, lists_models=False
    )
    async with ReplicaClient(spec, base_url) as client:
        raw = await client.list_models()
    complaint = preflight.complaint(spec, base_url, raw)
    if isinstance(complaint, ConfigError | EndpointError):
        raise complaint
    return served_models(raw) or ()
