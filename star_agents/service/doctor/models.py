"""Whether the models of a config are on this machine, and whether a prompt comes out of their templates well.

Law: nothing is downloaded and nothing is loaded; what is missing is told before a start would wait for it.
"""

from collections.abc import Iterator
from pathlib import Path

from star_agents.scoring.golden import folder_of, prompt_problems, weights_bytes
from star_agents.scoring.zoo import resolve
from star_agents.service.config.settings import LocalEndpoint, ScoringSection, Settings
from star_agents.service.doctor.checks import Finding, ok, warn

DEADLINE_S = 120.0
"""Importing the libraries from a slow disk takes long."""

DRIVER = Path("/proc/driver/nvidia")
AS_FLOAT32 = 2
"""Weights are stored in two bytes each, as a rule, and a CPU computes in four."""


def models_of(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every model that would run here, by its dotted path."""
    yield "scoring.small", settings.scoring.small
    if settings.scoring.large is not None:
        yield "scoring.large", settings.scoring.large
    if settings.memory.embedder is not None:
        yield "memory.embedder", settings.memory.embedder
    for name, section in settings.endpoints.items():
        if isinstance(section, LocalEndpoint):
            yield f"endpoints.{name}.model", section.model


def present(path: str, model: str, cache_dir: Path) -> list[Finding]:
    """Whether a model is here.

    Raises:
        ConfigError: it is packaged and was not pulled, or is a folder that is not there.
    """
    folder = folder_of(resolve(model, cache_dir))
    if folder is None:
        seen = f"{path}: {model} is not on this machine: a start would download it"
        return [warn("models", seen, f"hf download {model}, or name a folder")]
    return [ok("models", f"{path}: {model} is in {folder}")]


def templates(scoring: ScoringSection, cache_dir: Path) -> Iterator[Finding]:
    """The prompts of the scorers that are here; where one is not, `present` says so.

    Raises:
        ConfigError: the template is of no use.
        ScorerError: a model is of none.
    """
    models = {"scoring.small": scoring.small, "scoring.large": scoring.large}
    for path, model in models.items():
        folder = folder_of(resolve(model, cache_dir)) if model is not None else None
        if folder is None:
            continue
        bad = [warn("template", f"{path}: {seen}", mend) for seen, mend in prompt_problems(folder, scoring.template)]
        yield from bad or [ok("template", f"{path}: scoring.template {scoring.template} renders as it should")]


def cpu_bytes(settings: Settings, cache_dir: Path) -> int:
    """About what the scorers take of this machine's memory, where they run on its CPU.

    Raises:
        ConfigError: a model is not here, which `present` tells too.
    """
    scoring = settings.scoring
    names = [model for model in (scoring.small, scoring.large) if model is not None]
    if scoring.device != "cpu" and (scoring.device != "auto" or DRIVER.exists()):
        return 0
    sizes = (weights_bytes(resolve(name, cache_dir)) or 0 for name in names)
    return AS_FLOAT32 * scoring.workers * sum(sizes)
