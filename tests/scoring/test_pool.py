"""Life and death of scorer processes, with a worker that has the real plumbing and no model."""

import asyncio
import os
import signal
import subprocess
from asyncio import TaskGroup
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from star_agents.core.errors import ScorerError
from star_agents.core.records import Sample
from star_agents.scoring.child import WORKER_ENVIRON
from star_agents.scoring.crew import CrewState
from star_agents.scoring.messages import LoadScorer, Score, encode
from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.settings import ScoringSettings
from tests.fakes.scoring import length_score
from tests.loops import run_real
from tests.scoring.stubs import STUB, appears, asked, is_gone, pids, pool, until


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_scores_come_in_order_and_equal_samples_are_asked_once(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """More samples than one request holds, each twice, on either event loop; prints do not disturb the frames."""
    samples = [Sample("q", f"r{number}") for number in range(80)] * 2

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            assert await scorer.score(samples) == [length_score(sample) for sample in samples]
            assert await scorer.score([]) == []
            status = scorer.snapshot()
        assert (status.state, status.samples, status.restarts, status.busy) == (CrewState.READY, 80, 0, 0)
        assert status.tokens_per_s == pytest.approx(80 / 1.5)
        assert scorer.snapshot().state is CrewState.CLOSED

    run_real(main(), factory=factory)
    assert len(asked(tmp_path)) == 80
    assert "a library prints" in (tmp_path / "logs" / "scorer-0.log").read_text()


def test_a_dead_worker_is_replaced_and_its_batch_replayed(tmp_path: Path) -> None:
    """SIGKILL in the middle of a batch costs a restart and no score."""
    samples = [Sample("q", "wait:a"), Sample("q", "r")]

    async def main() -> None:
        async with pool(tmp_path) as scorer, TaskGroup() as group:
            scoring = group.create_task(scorer.score(samples))
            await appears(tmp_path / "a.waiting")
            os.kill(pids(tmp_path)[0], signal.SIGKILL)
            (tmp_path / "a.go").touch()
            assert await scoring == [length_score(sample) for sample in samples]
            assert scorer.snapshot().restarts == 1

    run_real(main())
    assert len(pids(tmp_path)) == 2


def test_a_cancelled_call_leaves_the_pool_usable(tmp_path: Path) -> None:
    """What the worker is at is finished and forgotten; what it had not begun is never begun."""
    samples = [Sample("q", "wait:a"), *(Sample("q", f"r{number}") for number in range(99))]

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await scorer.score(samples)
            await until(lambda: "request 1 is taken back" in (tmp_path / "logs" / "scorer-0.log").read_text())
            (tmp_path / "a.go").touch()
            assert await scorer.score([Sample("q", "next")]) == [length_score(Sample("q", "next"))]
            assert scorer.snapshot().restarts == 0

    run_real(main())
    assert len(asked(tmp_path)) == 32 + 1


def test_two_calls_at_once_both_get_their_scores(tmp_path: Path) -> None:
    """Calls share the worker; neither sees the other's samples."""

    async def main() -> None:
        async with pool(tmp_path) as scorer, TaskGroup() as group:
            calls = {
                name: group.create_task(scorer.score([Sample(name, f"r{number}") for number in range(40)]))
                for name in ("a", "bb")
            }
        for name, call in calls.items():
            assert call.result() == [length_score(Sample(name, f"r{number}")) for number in range(40)]

    run_real(main())


@pytest.mark.parametrize(
    ("obstacle", "message"),
    [
        ("cannot_load", "no such model"),
        ("die_on_load", r"(?s)exit code 9.*about to die"),
        ("sleep_on_load", r"(?s)not ready within 2 s.*a library prints"),
    ],
)
def test_a_worker_that_cannot_start_says_why(tmp_path: Path, obstacle: str, message: str) -> None:
    """Entering the pool fails with the worker's own words or the end of its log, and no process is left."""
    (tmp_path / obstacle).touch()

    async def main() -> None:
        with pytest.raises(ScorerError, match=message):
            async with pool(tmp_path, start_timeout_s=2.0 if obstacle == "sleep_on_load" else 30.0):
                pass

    run_real(main())
    assert all(is_gone(pid) for pid in pids(tmp_path))


def test_a_program_that_is_not_there_is_a_scorer_error(tmp_path: Path) -> None:
    """What the system says of a command becomes our own error."""

    async def main() -> None:
        settings = ScoringSettings(small=str(tmp_path), device="stub")
        with pytest.raises(ScorerError, match="cannot be started"):
            async with ScorerPool(settings, log_dir=tmp_path, command=("/nowhere/python",)):
                pass

    run_real(main())


def test_closing_the_pool_fails_those_who_wait(tmp_path: Path) -> None:
    """Leaving the block ends the worker at once, whatever it computes."""

    async def main() -> None:
        async with TaskGroup() as group:
            async with pool(tmp_path) as scorer:
                scoring = group.create_task(outcome(scorer))
                await appears(tmp_path / "a.waiting")
            assert "closed" in await scoring
            assert "closed" in await outcome(scorer)

    async def outcome(scorer: ScorerPool) -> str:
        with pytest.raises(ScorerError) as caught:
            await scorer.score([Sample("q", "wait:a")])
        return str(caught.value)

    run_real(main())
    assert is_gone(pids(tmp_path)[0])


def test_auto_fills_every_device(tmp_path: Path) -> None:
    """The first worker says how many devices of its sort there are; each gets a worker, and they share the work."""
    samples = [Sample("q", f"wait:{name}") for name in "abc"]

    async def main() -> None:
        async with pool(tmp_path, device="auto") as scorer:
            assert scorer.snapshot().workers == 3
            async with TaskGroup() as group:
                for sample in samples:
                    group.create_task(scorer.score([sample]))
                for name in "abc":
                    await appears(tmp_path / f"{name}.waiting")
                assert scorer.snapshot().busy == 3
                for name in "abc":
                    (tmp_path / f"{name}.go").touch()

    run_real(main())
    devices = {line.split()[1] for line in (tmp_path / "started").read_text().splitlines()}
    assert devices == {"stub:0", "stub:1", "stub:2"}


def test_a_worker_knows_little_of_its_parents_environment(tmp_path: Path) -> None:
    """No key of the control process reaches a child."""
    environ = {"OPENAI_API_KEY": "sk-1", "HF_TOKEN": "hf-1", "HF_HOME": "/models"}

    async def main() -> None:
        async with pool(tmp_path, environ=environ) as scorer:
            await scorer.score([Sample("q", "environment")])

    run_real(main())
    known = {line.partition("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    assert "HF_HOME" in known
    assert not {"OPENAI_API_KEY", "HF_TOKEN"} & known
    assert set(WORKER_ENVIRON) <= known


def test_ctrl_c_is_the_parents_business(tmp_path: Path) -> None:
    """A worker that gets SIGINT goes on, in a session of its own."""

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            (pid,) = pids(tmp_path)
            os.kill(pid, signal.SIGINT)
            assert os.getsid(pid) != os.getsid(0)
            await scorer.score([Sample("q", "r")])
            assert scorer.snapshot().restarts == 0

    run_real(main())


def test_a_worker_whose_parent_is_gone_ends_at_once(tmp_path: Path) -> None:
    """Its standard input closes, as SIGKILL of the parent makes it: it finishes no batch and begins none."""
    with subprocess.Popen(STUB, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdin is not None
        worker.stdin.write(encode(LoadScorer(ScoringSettings(small=str(tmp_path)), "stub")))
        worker.stdin.write(encode(Score((Sample("q", "wait:for ever"),))))
        worker.stdin.write(encode(Score((Sample("q", "next"),))))
        worker.stdin.flush()
        run_real(appears(tmp_path / "for ever.waiting"))
        run_real(until(lambda: "next" in asked(tmp_path, "prepared")))
        worker.stdin.close()
        assert worker.wait(10) == 0
    assert asked(tmp_path) == ["wait:for ever"]


def test_text_that_no_encoding_carries_is_repaired(tmp_path: Path) -> None:
    """A lone surrogate reaches the worker as U+FFFD, and a pair of them as the character they spell."""

    async def main() -> None:
        async with pool(tmp_path) as scorer:
            await scorer.score([Sample("q", "a\ud800b"), Sample("q", "\ud83d\ude00")])

    run_real(main())
    assert asked(tmp_path) == ["a\ufffdb", "\U0001f600"]
