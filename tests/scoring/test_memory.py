"""What of a CPU's memory a pass may take."""

from pathlib import Path

import pytest
import torch

from star_agents.scoring import memory
from star_agents.scoring.memory import CPU_TOKENS, Gauge, is_out_of_memory
from tests.scoring.tiny import tiny_network


def test_a_cpu_pass_has_a_ceiling_from_the_start() -> None:
    """There is no telling how much a pass took, so it never grows."""
    gauge = Gauge(tiny_network())
    gauge.begin()
    assert (gauge.start, gauge.ceiling, gauge.share()) == (CPU_TOKENS, CPU_TOKENS, 1.0)


def test_little_free_memory_means_small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 hidden and 4 inner widths of 4 bytes are 2816 bytes a token."""
    monkeypatch.setattr(memory, "_cpu_room", lambda: 28_161)
    assert Gauge(tiny_network()).ceiling == 10
    monkeypatch.setattr(memory, "_cpu_room", lambda: 0)
    assert Gauge(tiny_network()).ceiling == 1


def test_half_of_what_the_kernel_says_is_free(tmp_path: Path) -> None:
    """And no bound where it does not say."""
    assert memory._cpu_room(tmp_path) > 1 << 60
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 999 kB\nMemAvailable:    100 kB\n")
    assert memory._cpu_room(tmp_path) == 51_200


def test_running_out_of_memory_is_told_from_other_errors() -> None:
    """The CPU's allocator has no class for it."""
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
