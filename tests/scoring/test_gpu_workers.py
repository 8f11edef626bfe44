"""Workers on real GPUs: what only a device can show of placement and of faults that stick to it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from star_agents.core.records import Sample, Scores
from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.settings import ScoringSettings
from tests.loops import run_real
from tests.scoring.stubs import PLANTED
from tests.scoring.tiny import save_tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SAMPLES = [Sample(f"Question {number}?", "An answer. " * number) for number in range(1, 65)]


def scored(folder: Path, settings: ScoringSettings, plant: str = "{}") -> tuple[list[Scores], int, int]:
    """Scores, restarts and workers of a pool with a planted fault."""
    (Path(settings.small) / "plant.json").write_text(plant)

    async def main() -> tuple[list[Scores], int, int]:
        async with ScorerPool(settings, log_dir=folder, folder=folder, command=PLANTED) as pool:
            found = await pool.score(SAMPLES)
            return found, pool.snapshot().restarts, pool.snapshot().workers

    return run_real(main())


def ifds(found: list[Scores]) -> list[float | None]:
    return [each.small.ifd for each in found] + [each.large.ifd for each in found if each.large]


@pytest.mark.fault("F-58")
def test_a_real_device_assert_ends_the_worker_and_its_batch_is_replayed(tmp_path: Path) -> None:
    """An index out of bounds in a kernel poisons the CUDA context; the next process has a new one."""
    settings = ScoringSettings(small=save_tiny(tmp_path / "small"), device="cuda:0", dtype="float32")
    calm, _, _ = scored(tmp_path, settings)
    (tmp_path / "kernel").touch()
    found, restarts, _ = scored(tmp_path, settings, f'{{"kernel_once": "{tmp_path / "kernel"}"}}')
    assert ifds(found) == pytest.approx(ifds(calm), rel=1e-4)
    assert restarts == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_auto_takes_every_gpu(tmp_path: Path, workers: int) -> None:
    """Together, apart and several a device give the same scores as one worker on the CPU."""
    small, large = save_tiny(tmp_path / "small", 1), save_tiny(tmp_path / "large", 2)
    chosen = ScoringSettings(small=small, large=large, dtype="float32", workers=workers)
    expected, _, _ = scored(tmp_path, replace(chosen, device="cpu"))
    found, _, count = scored(tmp_path, chosen)
    assert count == workers * torch.cuda.device_count()
    assert ifds(found) == pytest.approx(ifds(expected), rel=1e-3)
    last = f"cuda:{torch.cuda.device_count() - 1}"
    apart, _, _ = scored(tmp_path, replace(chosen, device="cuda:0", large_device=last))
    assert ifds(apart) == pytest.approx(ifds(expected), rel=1e-3)
