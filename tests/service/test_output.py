"""The data set that a run writes at its end: every format that `export` knows, and what is missing is told before."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast, get_args

import orjson
import pytest
import yaml

from star_agents.cli.export import Format
from star_agents.core.errors import ConfigError
from star_agents.core.records import Candidate, Graded
from star_agents.service.config.settings import OutputSection
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.run.engine import Engine
from star_agents.storage.folder import RunFolder
from star_agents.storage.formats import ExportFormat
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.service.configs import spoiled
from tests.storage.examples import MANIFEST, graded, plan, update

SEEDS = range(3, 10)
"""Their winners have a pi above the base's."""


def format_of(told: str) -> ExportFormat:
    """What a config comes to that says so."""
    return check(parse_yaml(yaml.safe_dump(spoiled("output.format", told)), "run.yaml")).output.format


def test_the_command_and_the_config_know_the_same_formats() -> None:
    """One list: what can be exported can be asked for in the config."""
    assert [str(known) for known in Format] == list(get_args(ExportFormat))
    for known in Format:
        assert format_of(str(known)) == known


async def fill(path: Path) -> None:
    """Seeds whose winner and base answered the same text, which is what a pair of answers is made of."""
    async with await RunStore.open(path, MANIFEST) as store:
        for number in SEEDS:
            await store.assign(plan(number))
        rows = (graded(number) for number in SEEDS)
        await store.learn(replace(update(1, *SEEDS), graded=tuple(map(_answered_alike, rows))))


def _answered_alike(row: Graded) -> Graded:
    base, best, failed = row.settled.outcomes
    assert isinstance(base, Candidate)
    assert isinstance(best, Candidate)
    alike = replace(base, instruction=best.instruction)
    return replace(row, settled=replace(row.settled, outcomes=(alike, best, failed)))


@pytest.mark.parametrize("row_format", get_args(ExportFormat))
def test_a_run_ends_with_a_data_set_of_its_format(tmp_path: Path, row_format: ExportFormat) -> None:
    """In the folder of that name, with a card: a row a winner, or a winner with its loser."""
    folder = RunFolder(tmp_path)

    async def main() -> None:
        await fill(folder.database)
        settings = SimpleNamespace(output=OutputSection(format=row_format))
        job = SimpleNamespace(settings=settings, folder=folder, allow_missing=False)
        ended = cast("Engine", SimpleNamespace(job=job, _on_lost=None))
        exported = await Engine.export(ended)
        assert exported.data_file.parent == folder.out / row_format
        assert exported.data_file.exists()
        assert exported.contents.rows == len(SEEDS)
        assert (folder.out / row_format / "README.md").exists()
        if row_format == "dpo":
            first = orjson.loads(exported.data_file.read_bytes().splitlines()[0])
            assert (first["chosen"][0]["content"], first["rejected"][0]["content"]) == (
                "Deep answer 3",
                "Base answer 3",
            )

    run_real(main())


def test_a_library_that_is_missing_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at its end, when the work is done: with the key and the mend."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"output\.format: datasets needs the hub extra: pip install"):
        format_of("datasets")
    assert format_of("dpo") == "dpo"
