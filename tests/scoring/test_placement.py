"""Which models stand on which device, how many workers there are, and how many threads each has."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import ScorerError
from star_agents.core.records import Sample, Scores
from star_agents.scoring.cores import share, usable_cores
from star_agents.scoring.patience import FLOOR_S, UNKNOWN_S_PER_BYTE, Patience
from star_agents.scoring.placement import place, spread, threads
from star_agents.scoring.pool import EmbedderPool, ScorerPool
from star_agents.scoring.settings import ScoringSettings
from tests.fakes.scoring import length_score
from tests.loops import run_real
from tests.scoring.stubs import STUB, asked, pool
from tests.scoring.tiny import save_tiny

PAIR = ScoringSettings(small="s", large="l")
ME = os.sched_getaffinity(0)


def where(settings: ScoringSettings) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(each.settings.small, each.settings.large, each.devices) for each in place(settings)]


def test_both_models_stand_together_unless_told_otherwise() -> None:
    """`large_device` puts them apart; a small model alone has no other half."""
    assert where(PAIR) == [("s", "l", ("auto",))]
    assert where(replace(PAIR, device="cuda:0, cuda:1")) == [("s", "l", ("cuda:0", "cuda:1"))]
    apart = [("s", None, ("cuda:0",)), ("l", None, ("cuda:1", "cuda:2"))]
    assert where(replace(PAIR, device="cuda:0", large_device="cuda:1,cuda:2")) == apart
    assert where(ScoringSettings(small="s", large_device="cuda:1")) == [("s", None, ("auto",))]


def test_auto_spreads_over_gpus_that_are_too_small_for_both() -> None:
    """The small model gets the first; where that cannot help, nothing is spread."""
    spreaded = spread(PAIR, 3)
    assert spreaded is not None
    assert [(each.settings.small, each.devices) for each in spreaded] == [
        ("s", ("cuda:0",)),
        ("l", ("cuda:1", "cuda:2")),
    ]
    assert spread(PAIR, 1) is None
    assert spread(replace(PAIR, large=None), 4) is None
    assert spread(replace(PAIR, device="cuda:0"), 4) is None


@given(st.integers(1, 128), st.integers(1, 8), st.integers(1, 4), st.booleans())
def test_workers_on_the_cpu_share_its_cores(cores: int, workers: int, gpus: int, large_on_cpu: bool) -> None:
    """All threads together are no more than the cores, unless there are more workers than cores."""
    gpu_names = ",".join(f"cuda:{number}" for number in range(gpus))
    settings = replace(PAIR, device="cpu", large_device="cpu" if large_on_cpu else gpu_names, workers=workers)
    shares = place(settings)
    num_on_cpu = workers * (2 if large_on_cpu else 1)
    assert threads("cpu", shares, cores) * num_on_cpu <= max(cores, num_on_cpu)
    assert 1 <= threads("cuda:0", shares, cores) <= 4
    assert share(cores, 1) == cores


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, len(ME)),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "150000 100000"}, 1),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, len(ME)),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        ({f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": "0-9" for cpu in ME}, 1),
    ],
)
def test_cores_are_those_that_the_kernel_lets_us_use(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    """Affinity, quotas of version 1 and 2 at any level, and one thread a core."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert usable_cores(tmp_path) == expected


def test_a_worker_is_told_its_threads(tmp_path: Path) -> None:
    """Two workers on the CPU have half the cores each, unless the environment names a number."""
    half = max(1, usable_cores() // 2)

    async def main(environ: dict[str, str]) -> list[str]:
        settings = ScoringSettings(small=str(tmp_path), device="cpu", workers=2)
        async with ScorerPool(settings, log_dir=tmp_path, environ=environ, command=STUB) as scorer:
            assert scorer.snapshot().workers == 2
            assert scorer.capacity == 4
            await scorer.score([Sample("q", "environment")])
        return (tmp_path / "environment").read_text().splitlines()

    assert f"OMP_NUM_THREADS={half}" in run_real(main({}))
    assert "OMP_NUM_THREADS=7" in run_real(main({"OMP_NUM_THREADS": "7"}))


def test_models_apart_give_one_score(tmp_path: Path) -> None:
    """Each model has workers of its own, and a sample's scores are joined."""
    large = tmp_path / "large"
    large.mkdir()
    samples = [Sample("q", f"r{number}") for number in range(40)]
    first = [length_score(sample).small for sample in samples]

    async def main() -> None:
        async with pool(tmp_path, large=str(large), device="stub:0", large_device="stub:1,stub:2") as scorer:
            assert await scorer.score(samples) == [Scores(one, one) for one in first]
            assert scorer.snapshot().workers == 3
            assert scorer.fingerprint == {"small": "stub", "large": "stub"}

    run_real(main())
    assert len(asked(tmp_path)) == len(asked(large)) == 40
    assert {line.split()[1] for line in asked(large, "started")} == {"stub:1", "stub:2"}


def test_models_that_do_not_fit_together_are_put_apart(tmp_path: Path) -> None:
    """`auto` finds that out by trying; where the device is named, the error names the setting that mends it."""
    large = tmp_path / "large"
    large.mkdir()
    (tmp_path / "one_model_only").touch()

    async def main() -> None:
        async with pool(tmp_path, large=str(large), device="auto") as scorer:
            assert scorer.snapshot().workers == 3
            assert (await scorer.score([Sample("q", "r")]))[0].large is not None
        with pytest.raises(ScorerError, match=r"do not fit together .*scoring\.large_device"):
            async with pool(tmp_path, large=str(large), device="cuda:0"):
                pass

    run_real(main())
    assert asked(tmp_path, "started")[-2].split()[1] == "cuda:0"
    assert {line.split()[1] for line in asked(large, "started")} == {"cuda:1", "cuda:2"}


def test_a_poison_sample_has_a_status_under_both_models(tmp_path: Path) -> None:
    """Apart or together, the row of a sample that kills has an error for each."""
    large = tmp_path / "large"
    large.mkdir()

    async def main() -> None:
        for place_of_large in (None, "stub:1"):
            async with pool(tmp_path, large=str(large), large_device=place_of_large) as scorer:
                ((small, other),) = [(one.small, one.large) for one in await scorer.score([Sample("q", "poison")])]
                assert other is not None
                assert (small.reason, other.reason) == ("worker_died", "worker_died")

    run_real(main())


@pytest.mark.slow
def test_a_real_worker_computes_with_its_threads(tmp_path: Path) -> None:
    """PyTorch takes the number from the environment; the embedder gets half."""
    save_tiny(tmp_path / "small")
    command = (sys.executable, "-c", "import torch,sys; sys.stderr.write(f'threads {torch.get_num_threads()}')")
    chosen = ScoringSettings(small=str(tmp_path / "small"), device="cpu", workers=2)
    half = max(1, usable_cores() // 2)

    async def main() -> None:
        with pytest.raises(ScorerError, match=f"threads {half}"):
            async with ScorerPool(chosen, log_dir=tmp_path, environ=dict(os.environ), command=command):
                pass
        with pytest.raises(ScorerError, match=f"threads {half}"):
            async with EmbedderPool("none", log_dir=tmp_path, environ=dict(os.environ), command=command):
                pass

    run_real(main())


@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(1e-3, 1e4))), st.integers(1, 10**6), st.integers(0, 5))
def test_patience_is_far_above_what_was_ever_needed(seen: list[tuple[int, float]], size: int, deaths: int) -> None:
    """The newest pace is no hang, a larger request may take longer, and every death doubles the bound."""
    patience = Patience()
    for num_bytes, seconds in seen:
        patience.note(num_bytes, seconds)
    bound = patience.bound_s(size, deaths)
    assert bound >= FLOOR_S
    assert patience.bound_s(size + 1, deaths) >= bound
    assert patience.bound_s(size, deaths + 1) == pytest.approx(2 * bound)
    newest = seen[-1][1] / seen[-1][0] if seen else UNKNOWN_S_PER_BYTE
    assert bound >= newest * size
