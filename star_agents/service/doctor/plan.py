"""Which checks there are: of the machine, of a config, of a run. Nothing is looked at here.

Law: a config that cannot be read is a finding like any other, and takes nothing from the checks that need none.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from star_agents.core.errors import ConfigError, SeedError
from star_agents.endpoints.servers.launcher import probed
from star_agents.endpoints.spec import EndpointSpec
from star_agents.service.config import wiring
from star_agents.service.config.secret_refs import EndpointSecrets, resolve_secrets
from star_agents.service.config.settings import LocalEndpoint, Settings
from star_agents.service.config.validation import load_settings
from star_agents.service.doctor import endpoints, gpu, machine, models, run
from star_agents.service.doctor.checks import Check, Finding, Findings, fail, in_thread, ok
from star_agents.service.replay import recorded_settings
from star_agents.service.run.job import gather_inputs
from star_agents.storage.folder import RunFolder
from star_agents.storage.recovery import read_standing
from star_agents.storage.seeds import open_seeds

INPUTS_DEADLINE_S = 600.0
"""Counting ten million seeds takes minutes."""
RUN_DEADLINE_S = 3600.0
"""Reading a run whole takes minutes where it is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to look over. Without `calls` endpoints are asked what they serve, and no model is called."""

    config: Path | None
    run: RunFolder | None
    calls: bool
    cache_dir: Path
    environ: Mapping[str, str]


def checks(wish: Wish) -> list[Check]:
    """Everything that is to be looked at, in the order in which it is shown."""
    settings, found = _read(wish.config)
    first = [_plain("config", lambda: found)] if wish.config else []
    config = _of_config(settings, wish) if settings is not None else ()
    run = _of_run(wish.run) if wish.run is not None else ()
    return [*first, *_of_machine(settings, wish), *config, *run]


def _read(config: Path | None) -> tuple[Settings | None, list[Finding]]:
    if config is None:
        return None, []
    try:
        return load_settings(config), []
    except ConfigError as error:
        return None, [fail("config", problem) for problem in error.problems]


def _plain(subject: str, look: Callable[[], Findings], **options: float) -> Check:
    """A check that blocks."""

    async def run() -> Findings:
        return await in_thread(lambda: list(look()))

    return Check(subject=subject, look=run, **options)


def _of_machine(settings: Settings | None, wish: Wish) -> Iterator[Check]:
    specs = [] if settings is None else [assumed_spec(name, settings) for name in settings.endpoints]
    yield _plain("packages", machine.packages)
    yield _plain("sqlite", lambda: [machine.sqlite()])
    yield Check(subject="gpu", look=lambda: gpu.gpus(settings), deadline_s=gpu.DEADLINE_S)
    yield _plain("memory", lambda: [machine.memory(_needed(settings, wish.cache_dir))])
    if settings is not None or wish.run is None:  # to look a run over nothing has to be written
        yield _plain("disk", lambda: machine.disk(Path(settings.run.dir) if settings else Path()))
    yield _plain("descriptors", lambda: [machine.descriptors(specs)])
    if settings is not None:
        service = settings.service
        yield _plain("port", lambda: [machine.port(service.host, service.port)])


def _needed(settings: Settings | None, cache_dir: Path) -> int:
    try:
        return 0 if settings is None else models.cpu_bytes(settings, cache_dir)
    except ConfigError:  # a model that is not here: another check tells
        return 0


def _of_config(settings: Settings, wish: Wish) -> Iterator[Check]:
    yield Check(subject="inputs", look=lambda: _inputs(settings, wish.environ), deadline_s=INPUTS_DEADLINE_S)
    for path, model in models.models_of(settings):
        yield _plain("models", partial(models.present, path, model, wish.cache_dir))
    golden = partial(models.templates, settings.scoring, wish.cache_dir)
    yield _plain("template", golden, deadline_s=models.DEADLINE_S)
    for name, section in settings.endpoints.items():
        if isinstance(section, LocalEndpoint):
            yield Check(subject="endpoint", look=partial(_engine, name, section, wish.environ))
        else:
            yield from _of_endpoint(name, settings, wish)


async def _inputs(settings: Settings, environ: Mapping[str, str]) -> Findings:
    """Keys, templates and seeds, as `validate` reads them."""
    inputs = await gather_inputs(settings, environ)
    return [ok("inputs", f"{inputs.num_seeds} seeds, {len(inputs.pool)} pairs and {len(inputs.base)} base")]


async def _engine(name: str, section: LocalEndpoint, environ: Mapping[str, str]) -> Findings:
    """What would serve an endpoint of our own."""
    spec, *_ = wiring.server_specs(name, section, model=section.model, environ=environ)
    installed = await probed(spec)
    return [ok("endpoint", f"{name}: {installed.engine} is in {spec.python}; the run starts it")]


def _of_endpoint(name: str, settings: Settings, wish: Wish) -> Iterator[Check]:
    alone = settings.model_copy(update={"endpoints": {name: settings.endpoints[name]}})
    try:
        secrets = resolve_secrets(alone, wish.environ)[name]
    except ConfigError:  # `inputs` tells
        return
    spec = wiring.endpoint_spec(name, settings.endpoints[name], secrets, None)
    for url in spec.base_urls:
        yield Check(subject="endpoint", look=partial(endpoints.replica, spec, url, calls=wish.calls))
    if wish.calls and settings.judge.endpoint == name and settings.judge.verdict == "choice":
        yield Check(subject="judge", look=partial(endpoints.judge_choice, spec))


def assumed_spec(name: str, settings: Settings) -> EndpointSpec:
    """An endpoint as far as it is known before anything is started or any secret is read."""
    section = settings.endpoints[name]
    spec = wiring.endpoint_spec(name, section, EndpointSecrets(), None)
    return replace(spec, concurrency=wiring.assumed_concurrency(section))


def _of_run(folder: RunFolder) -> Iterator[Check]:
    path = folder.database
    yield _plain("database", lambda: run.database(path), deadline_s=RUN_DEADLINE_S)
    yield _plain("shards", lambda: run.shard_files(path), deadline_s=RUN_DEADLINE_S)
    yield Check(subject="weights", look=lambda: _weights(path), deadline_s=RUN_DEADLINE_S)


async def _weights(path: Path) -> Findings:
    num_seeds = await _counted(path)
    return [await in_thread(lambda: run.weights(path, num_seeds))]


async def _counted(path: Path) -> int | None:
    """The seeds of a run's file; None where it is not where it was."""
    standing = await in_thread(lambda: read_standing(path))
    try:
        section = recorded_settings(standing.manifest.config).seeds
        if section.path is None:
            return 0
        seeds = await open_seeds(section.path, row_format=section.format, limit=section.limit)
        return await seeds.count()
    except (ConfigError, SeedError):
        return None
