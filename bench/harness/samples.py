"""What is scored in benchmarks: rows that may be shipped, or a file of yours, laid out as several kinds of work.

Pure but for reading files. The same arguments give the same samples, always. Where more are wanted than there are,
the words of the rows are shuffled: no two samples are alike, and none costs another what it would cost alone.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

from star_agents.core import rng
from star_agents.core.records import Sample

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "tests" / "data" / "golden" / "superfiltering_smollm2_open.jsonl"
CANDIDATES = ROOT / "bench" / "data" / "candidates.jsonl"
SET = 5
"""Answers to one prompt."""
LONG_PROMPT, LONG_RESPONSE = 128, 384
"""Tokens of a long sample."""

Cut = Callable[[str, int], str]
"""Takes a text and a number of tokens; returns its beginning of so many, or all of it."""


def rows_of(file: Path = ROWS) -> list[Sample]:
    """The rows of a file in Alpaca's format, JSON or JSON lines, that have a response."""
    text = file.read_text("utf-8")
    rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    samples = (Sample(row["instruction"], row["output"], row.get("input") or "") for row in rows)
    return [sample for sample in samples if sample.response.strip()]


def candidates(file: Path = CANDIDATES) -> list[list[Sample]]:
    """Real answers of several authors to the same prompts, by prompt."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [[Sample(row["instruction"], output) for output in row["outputs"]] for row in rows]


def independent(rows: Sequence[Sample], count: int) -> list[Sample]:
    """`count` samples with prompts of their own, spread evenly over the rows."""
    if count <= len(rows):
        return [rows[number * len(rows) // count] for number in range(count)]
    return list(islice(endless(rows), count))


def sets(rows: Sequence[Sample], count: int) -> list[Sample]:
    """About `count` samples: five answers to one prompt, then five to the next.

    The answers are those of five neighbouring rows: what they say is of no matter to what they cost.
    """
    prompts = independent(rows, max(1, count // SET))
    answers = cycle(islice(endless(rows), SET * len(prompts)))
    return [Sample(each.instruction, next(answers).response, each.context) for each in prompts for _ in range(SET)]


def long(rows: Sequence[Sample], count: int, cut: Cut) -> list[Sample]:
    """Samples of 512 tokens, a quarter of them the prompt's: texts of rows, one after the other."""
    source = endless(rows)
    return [Sample(_filled(source, LONG_PROMPT, cut), _filled(source, LONG_RESPONSE, cut)) for _ in range(count)]


def texts_of(samples: Iterable[Sample]) -> Iterator[str]:
    """All their texts, to train a tokenizer with."""
    return (text for each in samples for text in (each.instruction, each.context, each.response))


def write_samples(samples: Iterable[Sample], file: Path) -> Path:
    """For `read_samples`, perhaps in another process."""
    lines = (json.dumps([each.instruction, each.response, each.context]) for each in samples)
    file.write_text("".join(line + "\n" for line in lines))
    return file


def read_samples(file: Path) -> list[Sample]:
    """What `write_samples` wrote."""
    return [Sample(*json.loads(line)) for line in file.read_text().splitlines()]


def endless(rows: Sequence[Sample]) -> Iterator[Sample]:
    """The rows, and then for ever the rows with their words shuffled."""
    yield from rows
    for turn, row in enumerate(cycle(rows)):
        parts = (row.instruction, row.response, row.context)
        instruction, response, context = (_shuffled(text, f"{turn}/{at}") for at, text in enumerate(parts))
        yield Sample(instruction, response, context)


def _shuffled(text: str, name: str) -> str:
    words = text.split()
    rng.derive(17, "words", name).shuffle(words)
    return " ".join(words)


def _filled(source: Iterator[Sample], tokens: int, cut: Cut) -> str:
    """Responses joined until they are long enough, and cut."""
    text = ""
    while cut(text, tokens) == text:
        text += next(source).response + " "
    return cut(text, tokens)
