"""Answers that say nothing of the question and try to win over the judge instead. None of them names Paris.

`tests/data/attacks/judge.jsonl` has one a line: its family, its text, and where it is a long one what is put before it
and how often. They were collected and written for this project.
"""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parents[1] / "data" / "attacks" / "judge.jsonl"


@dataclass(frozen=True)
class Attack:
    """A planted answer."""

    family: str
    text: str


def _read(line: str) -> Attack:
    told = json.loads(line)
    return Attack(told["family"], told.get("pad", "") * told.get("times", 0) + told["text"])


PLANTED = tuple(_read(line) for line in FILE.read_text(encoding="utf-8").split("\n") if line)
ATTACKS = tuple(attack.text for attack in PLANTED)
