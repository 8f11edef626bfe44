"""The samples of `bench.scoring`, written down for the processes that score them, and what they cost at least."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers.utils import logging

from bench.harness import samples as rows
from bench.harness.work import Work, work_of
from bench.scorers.models import find_model, open_tokenizer, shape_of
from star_agents.core.records import Sample
from star_agents.scoring.conventions import superfiltering
from star_agents.scoring.tokens import Tokens

PROFILES = ("rows", "sets", "512", "replies")
COUNTS = {"cpu": {"rows": 32, "sets": 30, "512": 6, "replies": 20}, "cuda": dict.fromkeys(PROFILES, 512)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model by name, a file of rows, profiles, and how many samples of each, if that is wished."""

    model: str
    data: Path
    profiles: tuple[str, ...]
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of samples, where processes find it, and what it costs a model at least."""

    name: str
    file: Path
    count: int
    work: Work


def lay_out(wanted: Wanted, kind: str, folder: Path) -> tuple[str, list[Profile]]:
    """The model as processes open it, and every profile written for them, with its work counted.

    `kind` of device, `cpu` or `cuda`, says how many samples there are where that is not wished.
    """
    logging.set_verbosity_error()
    source = rows.rows_of(wanted.data)
    model = find_model(wanted.model, folder, rows.texts_of(source))
    tokenizer, shape = open_tokenizer(model), shape_of(model)
    convention = superfiltering(Tokens(tokenizer, tokenizer), 1024)

    def cut(text: str, tokens: int) -> str:
        ids = tokenizer.encode(text, add_special_tokens=False)
        return text if len(ids) < tokens else str(tokenizer.decode(ids[:tokens]))

    profiles = []
    for name in wanted.profiles:
        count = wanted.count or COUNTS[kind][name]
        made = make(name, source, count, cut)
        passes = [each for sample in made for each in convention.lay_out(sample).passes or ()]
        file = rows.write_samples(made, folder / f"{name}.jsonl")
        profiles.append(Profile(name=name, file=file, count=len(made), work=work_of(passes, shape)))
    return model, profiles


def make(name: str, source: Sequence[Sample], count: int, cut: rows.Cut) -> list[Sample]:
    """The samples of a profile."""
    match name:
        case "rows":
            return rows.independent(source, count)
        case "sets":
            return rows.sets(source, count)
        case "replies":
            return [sample for answers in rows.candidates() for sample in answers][:count]
        case _:
            return rows.long(source, count, cut)
