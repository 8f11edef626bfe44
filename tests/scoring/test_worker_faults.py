"""Workers that die, hang and are killed (section E of docs/faults.md), with workers that hold no model."""

import os
import signal
from asyncio import TaskGroup
from pathlib import Path

import orjson
import pytest

from star_agents.core.errors import ScorerError
from star_agents.core.records import ModelScore, Sample, Scores, ScoreStatus
from star_agents.scoring import crew, patience, worker_log
from star_agents.scoring.crew import CrewState
from star_agents.scoring.quarantine import Quarantine, name_of
from tests.fakes.scoring import length_score
from tests.loops import run_real
from tests.scoring.stubs import appears, asked, is_gone, pids, pool, until

DEAD = Scores(ModelScore(ScoreStatus.ERROR, reason="worker_died"))


def many(count: int, *poison: int) -> list[Sample]:
    """Samples with an answer of their own, some of which kill whoever scores them."""
    return [Sample(f"q{number}", "poison" if number in poison else f"r{number}") for number in range(count)]


def expected(samples: list[Sample]) -> list[Scores]:
    return [DEAD if sample.response == "poison" else length_score(sample) for sample in samples]


@pytest.mark.fault("F-59")
@pytest.mark.parametrize("poison", [(0,), (13,), (3, 4)])
def test_a_poison_sample_is_found_by_halving(tmp_path: Path, poison: tuple[int, ...]) -> None:
    """Only the samples that kill have no score; a single one among 32 costs 2 + log2(32) restarts."""
    samples = many(32, *poison)

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            assert await scorer.score(samples) == expected(samples)
            assert scorer.snapshot().quarantined == len(poison)

    run_real(main())
    deaths = asked(tmp_path).count("poison")
    assert 7 <= deaths <= (7 if len(poison) == 1 else 12)


@pytest.mark.fault("F-59")
def test_a_quarantined_sample_is_never_tried_again(tmp_path: Path) -> None:
    """Not in this run, and not after a resume; the file names it without its text."""
    samples = many(3, 1)

    async def main() -> None:
        for _ in range(2):
            async with pool(tmp_path, folder=tmp_path) as scorer:
                assert await scorer.score(samples) == expected(samples)
                assert await scorer.score(samples[1:]) == expected(samples[1:])
                assert scorer.snapshot().quarantined == 1

    run_real(main())
    assert asked(tmp_path).count("poison") == 4  # twice together, once in a half, once alone
    (line,) = (tmp_path / "quarantine.jsonl").read_bytes().splitlines()
    noted = orjson.loads(line)
    assert noted["sample"] == name_of(samples[1])
    assert (noted["instruction_chars"], noted["response_chars"]) == (2, 6)
    assert "killed by the kernel, perhaps out of memory" in noted["cause"]
    assert b"poison" not in line


@pytest.mark.fault("F-59")
def test_a_quarantine_survives_a_torn_line(tmp_path: Path) -> None:
    """A note that a crash cut off is passed over; the next one begins a line of its own."""
    file = tmp_path / "quarantine.jsonl"
    first, second = Sample("q", "first"), Sample("q", "second", "c")

    async def main() -> None:
        await Quarantine(file).add(first, "died")
        file.write_bytes(file.read_bytes() + b'{"sample": "tor')
        again = Quarantine(file)
        await again.load()
        assert first in again
        await again.add(second, "died")
        last = Quarantine(file)
        await last.load()
        assert first in last
        assert second in last
        assert Sample("q", "", "c") not in last

    run_real(main())


@pytest.mark.fault("F-59")
def test_halving_does_not_use_up_the_crews_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deaths of parts are expected and not counted: the crew is as alive after them as before."""
    monkeypatch.setattr(crew, "MAX_DEATHS_IN_A_ROW", 4)
    samples = many(32, 5)

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            assert await scorer.score(samples) == expected(samples)

    run_real(main())


@pytest.mark.fault("F-58")
def test_a_device_that_kills_whatever_it_is_given_is_given_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many deaths in a row without a reply between them end the crew, and everybody is told."""
    monkeypatch.setattr(crew, "MAX_DEATHS_IN_A_ROW", 3)

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            with pytest.raises(ScorerError, match="died in a row"):
                await scorer.score(many(9, *range(9)))
            assert scorer.snapshot().state is CrewState.FAILED

    run_real(main())


@pytest.mark.fault("F-58")
def test_a_device_lost_for_good_fails_those_who_wait(tmp_path: Path) -> None:
    """Where no worker can be started again, every caller is told, now and later, and nobody hangs."""

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            (tmp_path / "cannot_load").touch()
            with pytest.raises(ScorerError, match="no such model"):
                await scorer.score([Sample("q", "die once:a")])
            assert scorer.snapshot().state is CrewState.FAILED
            with pytest.raises(ScorerError, match="no such model"):
                await scorer.score([Sample("q", "r")])

    run_real(main())


@pytest.mark.fault("F-58")
def test_a_worker_that_dies_while_it_loads_again_is_given_another_chance(tmp_path: Path) -> None:
    """As where memory is still held by the one before it."""

    async def main() -> None:
        async with pool(tmp_path) as scorer, TaskGroup() as group:
            (tmp_path / "die_on_load").touch()
            scoring = group.create_task(scorer.score([Sample("q", "die once:a")]))
            await until(lambda: len(pids(tmp_path)) >= 3)
            (tmp_path / "die_on_load").unlink()
            assert await scoring == [length_score(Sample("q", "die once:a"))]

    run_real(main())


@pytest.mark.fault("F-59")
def test_a_worker_that_is_killed_while_it_is_idle_is_replaced_at_once(tmp_path: Path) -> None:
    """Its death is charged to no request."""

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            os.kill(pids(tmp_path)[0], signal.SIGKILL)
            await until(lambda: scorer.snapshot().restarts > 0)
            assert await scorer.score(many(1)) == expected(many(1))
            assert scorer.snapshot().restarts == 1

    run_real(main())


@pytest.mark.fault("F-59")
def test_a_death_is_charged_to_the_request_that_was_computed(tmp_path: Path) -> None:
    """What was prepared behind it is tried by the next worker, and has lost nothing."""
    waiting, behind = [Sample("q", "wait:a")], many(2, 0)

    async def main() -> None:
        async with pool(tmp_path) as scorer, TaskGroup() as group:
            first = group.create_task(scorer.score(waiting))
            await appears(tmp_path / "a.waiting")
            second = group.create_task(scorer.score(behind))
            await until(lambda: "poison" in asked(tmp_path, "prepared"))
            os.kill(pids(tmp_path)[0], signal.SIGKILL)
            (tmp_path / "a.go").touch()
            assert await first == expected(waiting)
            assert await second == expected(behind)

    run_real(main())
    # Computed twice together and once alone; that it was prepared once more, behind the first, was not held against it.
    assert asked(tmp_path).count("poison") == 3
    assert asked(tmp_path, "prepared").count("poison") == 4


@pytest.mark.fault("F-59")
def test_an_error_of_preparing_is_raised_in_its_own_turn(tmp_path: Path) -> None:
    """The request before it has its reply first, and is not blamed."""
    waiting, bad = [Sample("q", "wait:a")], [Sample("q", "cannot be prepared")]

    async def main() -> None:
        async with pool(tmp_path) as scorer, TaskGroup() as group:
            first = group.create_task(scorer.score(waiting))
            await appears(tmp_path / "a.waiting")
            second = group.create_task(scorer.score(bad))
            await until(lambda: bad[0].response in asked(tmp_path, "prepared"))
            assert scorer.snapshot().restarts == 0
            (tmp_path / "a.go").touch()
            assert await first == expected(waiting)
            assert await second == [DEAD]

    run_real(main())
    assert asked(tmp_path) == ["wait:a"]
    assert "a tokenizer gives up" in (tmp_path / "logs" / "scorer-0.log").read_text()


@pytest.mark.fault("F-58")
def test_a_worker_that_hangs_is_killed_and_its_batch_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No reply for far longer than was usual: killed, started again, and the batch scored."""
    samples = [Sample("q", "hang once:a"), Sample("q", "r")]

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            await scorer.score(many(4))
            monkeypatch.setattr(patience, "FLOOR_S", 0.5)
            assert await scorer.score(samples) == expected(samples)
            assert scorer.snapshot().restarts == 1

    run_real(main())
    assert is_gone(pids(tmp_path)[0])


@pytest.mark.fault("F-58")
def test_a_stopped_worker_is_killed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP is a hang that not even its standard input ends, and the error says that it was stuck."""
    monkeypatch.setattr(patience, "FLOOR_S", 0.2)
    monkeypatch.setattr(patience, "UNKNOWN_S_PER_BYTE", 0.0)

    async def main() -> None:
        async with pool(tmp_path, folder=tmp_path) as scorer:
            for pid in pids(tmp_path):
                os.kill(pid, signal.SIGSTOP)
            assert await scorer.score(many(1)) == expected(many(1))
            assert await scorer.score([Sample("q", "hang")]) == [DEAD]

    run_real(main())
    assert "was stuck: no reply within" in (tmp_path / "quarantine.jsonl").read_text()


def test_a_request_is_prepared_while_another_is_computed(tmp_path: Path) -> None:
    """Two requests at most are with a worker, and replies come in order."""
    samples = [Sample("q", "wait:a"), *many(95)]

    async def main() -> None:
        async with pool(tmp_path) as scorer, TaskGroup() as group:
            scoring = group.create_task(scorer.score(samples))
            await appears(tmp_path / "a.waiting")
            await until(lambda: len(asked(tmp_path, "prepared")) == 64)
            assert scorer.snapshot().queued == 1
            (tmp_path / "a.go").touch()
            assert await scoring == expected(samples)

    run_real(main())
    assert asked(tmp_path) == [sample.response for sample in samples]


def test_a_log_keeps_its_newest_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over its cap a worker's log is cut to whole lines of its end; what it writes then follows them."""
    file = tmp_path / "scorer-0.log"
    lines = [f"line {number}" for number in range(1000)]
    file.write_text("\n".join(lines) + "\n")
    with file.open("a+b") as log:
        assert not worker_log.trim(log.fileno(), cap_bytes=10**6)
        assert worker_log.trim(log.fileno(), cap_bytes=1000, kept_bytes=100)
        os.write(log.fileno(), b"more\n")
    kept = file.read_text().splitlines()
    assert kept == [*lines[-len(kept) + 1 :], "more"]
    assert 5 < len(kept) < 15


def test_what_is_no_file_is_not_trimmed() -> None:
    """A pipe or a terminal has no size."""
    reader, writer = os.pipe()
    assert not worker_log.trim(writer, cap_bytes=0)
    os.close(reader)
    os.close(writer)


def test_several_posts_share_the_work_of_one_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A post whose workers keep dying is given up; the others take over what it held, and the run goes on."""
    monkeypatch.setattr(crew, "MAX_DEATHS_IN_A_ROW", 1)
    samples = [Sample("q", "wait:a"), Sample("q", "wait:b")]

    async def main() -> None:
        async with pool(tmp_path, workers=2) as scorer, TaskGroup() as group:
            calls = [group.create_task(scorer.score([sample])) for sample in samples]
            for name in "ab":
                await appears(tmp_path / f"{name}.waiting")
            os.kill(pids(tmp_path)[0], signal.SIGKILL)
            for name in "ab":
                (tmp_path / f"{name}.go").touch()
            assert [await call for call in calls] == [[length_score(sample)] for sample in samples]
            assert (scorer.snapshot().workers, scorer.snapshot().state) == (1, CrewState.READY)

    run_real(main())
