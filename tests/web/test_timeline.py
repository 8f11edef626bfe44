"""The run over time: samples of totals that stay few, in a file that may break off anywhere."""

import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.service.run.timeline import MOST, TIMELINE_FILE, Sample, Timeline, thinned
from tests.loops import run_real
from tests.service.service_world import status


def sample(number: int) -> Sample:
    return Sample(number=number, start=1, at="2026-01-02T03:04:05.678+00:00", done=number, kept=number)


def test_however_many_there_are_few_and_the_newest_are_all_there() -> None:
    """Ten times as many as fit: at most `MOST`, the newest half without a gap, the first one still there."""
    samples: list[Sample] = []
    for number in range(1, 10 * MOST):
        samples = thinned([*samples, sample(number)])
        assert len(samples) < MOST
    newest = [one.number for one in samples[-(MOST // 2) :]]
    assert newest == list(range(newest[0], 10 * MOST))
    assert samples[0].number == 1
    gaps = [after.number - before.number for before, after in pairwise(samples)]
    assert gaps == sorted(gaps, reverse=True)  # the older, the coarser


def loaded(file: Path) -> Timeline:
    timeline = Timeline(file)
    timeline.load()
    return timeline


async def note(timeline: Timeline, *counts: int) -> None:
    for done in counts:
        await timeline.note(replace(status(), seeds_done=done))


def test_a_later_start_goes_on(tmp_path: Path) -> None:
    """It finds what the earlier one noted, numbers on, and counts as another start; what is known is not told again."""
    file = tmp_path / TIMELINE_FILE
    for start in (1, 2):
        timeline = loaded(file)
        run_real(note(timeline, 10 * start, 10 * start + 1, 10 * start + 2))
    known = loaded(file)
    told = [(one.number, one.start, one.done) for one in known.after(2)]
    assert told == [(3, 1, 12), (4, 2, 20), (5, 2, 21), (6, 2, 22)]
    assert known.after(5)[0].tokens == {"e": 18}
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.fault("F-70")
def test_f70_in_memory_it_is_as_large_as_its_file(tmp_path: Path) -> None:
    """A run of hours holds its samples as their lines: little more than the file, not three times as much."""
    file = tmp_path / TIMELINE_FILE
    samples = [replace(sample(number), tokens={"small": number, "large": number}) for number in range(1, MOST - 1)]
    file.write_bytes(b"\n".join(map(orjson.dumps, samples)) + b"\n")
    del samples
    loaded(file)  # what is made once
    tracemalloc.start()
    try:
        timeline = loaded(file)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(timeline.after(0)) == MOST - 2
    assert held < 1.5 * file.stat().st_size


@given(cut=st.integers(0, 600))
def test_a_file_that_broke_off_anywhere_is_read_and_gone_on_with(cut: int) -> None:
    """Half a line is left out, and costs none of those that come after it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / TIMELINE_FILE
        run_real(note(loaded(file), 1, 2, 3))
        file.write_bytes(file.read_bytes()[:cut])
        whole = file.read_bytes().count(b"\n")
        second = loaded(file)
        assert whole <= len(second.after(0)) <= whole + 1  # the last line may lack nothing but its end
        run_real(note(second, 4))
        assert loaded(file).after(0) == second.after(0)


def test_a_folder_that_cannot_be_written_costs_the_file_alone(tmp_path: Path) -> None:
    """The samples of this start are there all the same."""

    async def main() -> None:
        timeline = Timeline(tmp_path / "nowhere" / TIMELINE_FILE)
        await timeline.note(status())
        assert len(timeline.after(0)) == 1

    run_real(main())
