"""From the section `judge` to what watches the judge: its probes, and when they raise the alarm."""

from pathlib import Path

from star_agents.core.errors import ConfigError
from star_agents.policy.drift import DriftOptions
from star_agents.policy.probes import BUILTIN, GoldPair, Probes, builtin_gold, read_gold
from star_agents.service.config.settings import JudgeSection


def gold_of(section: JudgeSection) -> tuple[GoldPair, ...]:
    """The gold set that the config names; empty where it asks for no probes. Blocks.

    Raises:
        ConfigError: the file cannot be read, or holds no gold set.
    """
    if section.probes is None:
        return ()
    path = section.probes.path
    if path == BUILTIN:
        return builtin_gold()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"judge.probes.path: {path} cannot be read ({type(error).__name__}); give JSON lines in UTF-8"
        ) from None
    return read_gold(path, text)


def probes_of(section: JudgeSection, gold: tuple[GoldPair, ...]) -> Probes | None:
    """What the judge stage draws probes from; nothing without a gold set."""
    return Probes(gold=gold, rate=section.probes.rate) if section.probes and gold else None


def drift_of(section: JudgeSection) -> DriftOptions:
    """When probes raise the alarm."""
    if section.probes is None:
        return DriftOptions()
    return DriftOptions(window=section.probes.window, min_accuracy=section.probes.min_accuracy)
