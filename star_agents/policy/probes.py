"""Gold probes: two answers of which the better is known, asked of the judge beside the run's own (docs/judge.md).

Law: which seed carries a probe, which pair it is and which of its answers stands for the candidate follow from the
run's seed and the number of the seed alone. A higher rate keeps the probes of a lower one, and a resumed run draws
the same ones.
"""

import json
from dataclasses import dataclass, fields
from importlib.resources import files

from star_agents.core.errors import ConfigError
from star_agents.core.records import Candidate
from star_agents.core.rng import derive
from star_agents.policy.verdicts import Label

BUILTIN = "builtin"
"""The name of the gold set that comes with the package; it was written for it and has its licence."""

FIRST_LINE = 1


@dataclass(frozen=True, slots=True)
class GoldPair:
    """An instruction with two answers, of which anybody would call the same one better."""

    instruction: str
    better: str
    worse: str


@dataclass(frozen=True, slots=True)
class DrawnProbe:
    """A gold pair as the judge is asked about it. `gold` is its place in the set."""

    gold: int
    reference: Candidate
    candidate: Candidate
    expected: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """A gold set, and the share of seeds that carry a probe of it."""

    gold: tuple[GoldPair, ...]
    rate: float

    def draw(self, run_seed: int, seed: int) -> DrawnProbe | None:
        """The probe that goes with a seed, or None for most."""
        rng = derive(run_seed, "probe", seed)
        if rng.random() >= self.rate:
            return None
        number, is_better = rng.randrange(len(self.gold)), rng.random() < 0.5  # noqa: PLR2004  # a fair coin
        pair = self.gold[number]
        answers = (pair.worse, pair.better) if is_better else (pair.better, pair.worse)
        reference, candidate = (Candidate(at, pair.instruction, text, "") for at, text in enumerate(answers))
        return DrawnProbe(number, reference, candidate, "win" if is_better else "loss")


def builtin_gold() -> tuple[GoldPair, ...]:
    """The shipped gold set."""
    return read_gold(BUILTIN, (files(__package__) / "gold" / "builtin.jsonl").read_text(encoding="utf-8"))


def read_gold(name: str, text: str) -> tuple[GoldPair, ...]:
    """A gold set from JSON lines with `instruction`, `better` and `worse`; `name` is what errors call it.

    Raises:
        ConfigError: a line is no such object, an answer is blank or both are the same, or there is no line.
    """
    lines = [(number, line) for number, line in enumerate(text.split("\n"), FIRST_LINE) if line.strip()]
    if not lines:
        raise ConfigError(f"judge.probes.path: {name} holds no pair; give JSON lines with {_KEYS}")
    return tuple(_read_pair(f"{name}, line {number}", line) for number, line in lines)


_NAMES = tuple(field.name for field in fields(GoldPair))
_KEYS = ", ".join(_NAMES)


def _read_pair(place: str, line: str) -> GoldPair:
    try:
        given: dict[str, object] = json.loads(line)
        texts = [given.pop(name) for name in _NAMES]
    except (ValueError, TypeError, KeyError, AttributeError):
        given, texts = {}, []
    if given or not texts:
        raise ConfigError(f"judge.probes.path: {place}: must be an object with {_KEYS}, and nothing else")
    instruction, better, worse = (text if isinstance(text, str) else "" for text in texts)
    if not (instruction.strip() and better.strip() and worse.strip()):
        raise ConfigError(f"judge.probes.path: {place}: {_KEYS} must be texts that are not blank")
    if better == worse:
        raise ConfigError(f"judge.probes.path: {place}: both answers are the same, so neither is better")
    return GoldPair(instruction, better, worse)
