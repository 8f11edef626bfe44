"""What a start is asked to do, and everything that can be found out before anything is started."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from star_agents.core import clock
from star_agents.core.cast import Agents
from star_agents.core.errors import ConfigError, SeedError
from star_agents.core.records import Agent, AgentPair
from star_agents.policy.probes import GoldPair
from star_agents.policy.prompts import Prompts
from star_agents.service.config import judging, wiring
from star_agents.service.config.secret_refs import EndpointSecrets, resolve_secrets
from star_agents.service.config.settings import SeedsSection, Settings
from star_agents.service.run.identity import fingerprint, record
from star_agents.storage.folder import RunFolder
from star_agents.storage.manifest import Manifest
from star_agents.storage.seeds import Seeds, open_seeds

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One start of a run. The caller holds the folder's lock; `environ` is where secrets are looked up."""

    settings: Settings
    folder: RunFolder
    cache_dir: Path
    environ: Mapping[str, str]
    resume: bool = False
    limit: int | None = None
    """Seeds to plan in this start, or all."""
    allow_missing: bool = False
    """Go on, and export, without finished rows whose file is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The sound inputs of a run: nothing has been started, and nothing will fail for want of them."""

    secrets: Mapping[str, EndpointSecrets]
    prompts: Prompts
    agents: Agents
    judge: Agent
    base: tuple[AgentPair, ...]
    pool: tuple[AgentPair, ...]
    num_seeds: int
    manifest: Manifest
    templates: Mapping[str, str] = field(default_factory=dict)
    """Texts of template files, by the name the config uses."""
    gold: tuple[GoldPair, ...] = ()
    """What the judge's probes are drawn from; empty where there are none."""


async def gather_inputs(settings: Settings, environ: Mapping[str, str]) -> Inputs:
    """Read secrets, templates and seeds.

    Raises:
        ConfigError: something is missing or unsound; everything at once.
        SeedError: the seeds cannot be read to their end.
    """
    problems: list[str] = []
    secrets = _attempt(problems, lambda: resolve_secrets(settings, environ))
    texts = _attempt(problems, lambda: _read_templates(settings))
    gold = await asyncio.to_thread(_attempt, problems, lambda: judging.gold_of(settings.judge))
    seeds = await _opened(problems, settings.seeds)
    if problems or secrets is None or texts is None or gold is None:
        raise ConfigError(*problems)
    num_seeds, digest = (0, "fed") if seeds is None else (await seeds.count(), await seeds.sha256())
    inputs = _inputs(settings, texts, secrets, num_seeds=num_seeds, input_sha256=digest)
    return replace(inputs, gold=gold)


async def _opened(problems: list[str], section: SeedsSection) -> Seeds | None:
    """The seeds, or None with the problem noted; None, too, where all of a run's seeds are fed."""
    if section.path is None:
        return None
    try:
        return await open_seeds(section.path, row_format=section.format, limit=section.limit)
    except SeedError as error:
        problems.append(f"seeds.path: {error}")
        return None


def laboratory_inputs(settings: Settings) -> Inputs:
    """The inputs of a simulated run: the agents are the config's, the seeds are made up and nobody needs a secret.

    Raises:
        ConfigError: a template cannot be read, or is unsound.
    """
    num_seeds = settings.laboratory.seeds
    return _inputs(settings, _read_templates(settings), {}, num_seeds=num_seeds, input_sha256="laboratory")


def _inputs(
    settings: Settings,
    texts: dict[str, str],
    secrets: Mapping[str, EndpointSecrets],
    *,
    num_seeds: int,
    input_sha256: str,
) -> Inputs:
    prompts = wiring.prompts_of(settings.judge, texts)
    agents, judge = wiring.agents_of(settings, texts), wiring.judge_of(settings, texts)
    prompts.check((*agents.instruction.values(), *agents.response.values(), judge))
    return Inputs(
        secrets=secrets,
        prompts=prompts,
        agents=agents,
        judge=judge,
        base=wiring.base_of(settings.pairs),
        pool=wiring.pool_of(settings.pairs, settings.agents),
        num_seeds=num_seeds,
        manifest=_manifest(settings, texts, input_sha256),
        templates=texts,
    )


def _manifest(settings: Settings, texts: dict[str, str], input_sha256: str) -> Manifest:
    config = record(settings, texts)
    return Manifest(
        config=config,
        fingerprint=fingerprint(config),
        input_sha256=input_sha256,
        pairs=wiring.pool_of(settings.pairs, settings.agents),
        created=clock.wall(),
    )


def _read_templates(settings: Settings) -> dict[str, str]:
    problems: list[str] = []
    texts: dict[str, str] = {}
    for name, file in wiring.template_files(settings).items():
        try:
            texts[name] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"prompt {name}: cannot be read ({type(error).__name__}); give a Jinja file in UTF-8")
    if problems:
        raise ConfigError(*problems)
    return texts


def _attempt(problems: list[str], step: Callable[[], T]) -> T | None:
    """What a step gives, or None with its problems noted."""
    try:
        return step()
    except ConfigError as error:
        problems += error.problems
        return None
