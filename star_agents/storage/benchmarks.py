"""Leaving out rows that hold a question of a benchmark: one n-gram of 13 words in common is enough.

Law: a row stays only if no benchmark n-gram is in its question or in any of its answers. Words are compared without
case and punctuation, as GPT-3's clean-up did (Brown et al. 2020, appendix C, which also lets shorter questions count
whole, down to 8 words). Shorter ones would hit by chance: they are not looked for, and are counted.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from star_agents.core.errors import SeedError
from star_agents.storage.picks import CONTAMINATED, Left, Pick, left
from star_agents.storage.row_files import RawRow
from star_agents.storage.seed_rows import UnusableRowError, to_seed
from star_agents.storage.seeds import row_file

NGRAM_WORDS = 13
MIN_WORDS = 8

_FIELDS = ("question", "prompt", "problem", "query", "text", "goal", "ctx")
"""Where benchmarks keep their question, in the order of looking; before them the fields that seeds have."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """Words that a row shares with a benchmark: `part` is `question`, `response` or `rejected`."""

    seed: int
    source_id: str
    part: str
    words: str
    benchmark: str


Report = Callable[[Overlap], None]


@dataclass(slots=True)
class Benchmarks:
    """The n-grams of benchmark questions, by their number of words, and which question each is of."""

    questions: int = 0
    too_short: int = 0
    _grams: dict[int, dict[str, str]] = field(default_factory=dict, repr=False)

    def add(self, question: str, place: str) -> None:
        """Take one question, found at a place that a person can look up."""
        words = _words(question)
        self.questions += 1
        size = min(NGRAM_WORDS, len(words))
        if size < MIN_WORDS:
            self.too_short += 1
            return
        grams = self._grams.setdefault(size, {})
        for gram in _ngrams(words, size):
            grams.setdefault(gram, place)

    def find(self, text: str) -> tuple[str, str] | None:
        """The first n-gram that a text shares with a question, and where the question is."""
        words = _words(text)
        for size, grams in self._grams.items():
            for gram in _ngrams(words, size):
                if gram in grams:
                    return gram, grams[gram]
        return None

    def sift(self, stream: Iterator[Pick | Left], report: Report) -> Iterator[Pick | Left]:
        """Leave out what overlaps, and report each with its words."""
        for item in stream:
            overlap = self._overlap(item) if isinstance(item, Pick) else None
            if overlap is None or isinstance(item, Left):
                yield item
            else:
                report(overlap)
                yield left(item, CONTAMINATED, overlap.benchmark)

    def _overlap(self, pick: Pick) -> Overlap | None:
        parts = zip(("question", "response", "rejected"), (pick.example.question, *pick.responses), strict=False)
        for part, text in parts:
            if (found := self.find(text)) is not None:
                return Overlap(pick.seed, str(pick.example.metadata["source_id"]), part, *found)
        return None


def read_benchmarks(path: Path) -> Benchmarks:
    """The questions in a file: `.txt` with one a line, or any file that seeds may be in. Blocks.

    Raises:
        SeedError: it cannot be read, holds no question, or a row of it has no field with one.
    """
    benchmarks = Benchmarks()
    for question, place in _lines(path) if path.suffix == ".txt" else map(_question, row_file(str(path)).rows(0)):
        benchmarks.add(question, place)
    if not benchmarks.questions:
        raise SeedError(f"{path}: holds no question to look for")
    return benchmarks


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield line, f"{path}:{number}"
    except (OSError, UnicodeDecodeError) as error:
        raise SeedError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _question(row: RawRow) -> tuple[str, str]:
    if row.problem is not None:
        raise SeedError(f"{row.place}: {row.problem}")
    if isinstance(row.value, str):
        return row.value, row.place
    try:
        return to_seed(row.number, row.value, "auto").question, row.place
    except UnusableRowError:
        fields = row.value if isinstance(row.value, dict) else {}
        found = next((fields[name] for name in _FIELDS if isinstance(fields.get(name), str)), None)
    if found is None:
        raise SeedError(f"{row.place}: no question in it: name its field instruction, messages or {', '.join(_FIELDS)}")
    return found, row.place


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _ngrams(words: list[str], size: int) -> Iterator[str]:
    return (" ".join(words[start : start + size]) for start in range(len(words) - size + 1))
