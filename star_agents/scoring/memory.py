"""What of a device's memory forward passes take, and whether it ran out.

On a GPU the allocator keeps the peak. A CPU's says nothing until it is too late, so there the largest batch follows
from the memory that is free when the model is loaded.
"""

import gc
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel

CPU_TOKENS = 2048
"""A few cores are busy with this much; more only falls out of their caches."""

GPU_TOKENS = 16384
_GPU_MOST_TOKENS = 131072
"""Beyond this a pass gains nothing from being longer."""

_SPARE = 0.5
"""Share of a CPU's free memory that a pass may take."""

_WIDTHS = 16
"""Values of hidden width that a token holds at a layer's peak, besides those of the MLP: roughly, and from above."""

_NEVER_GROWS = 1.0


class Gauge:
    """Measures the passes of one network: `begin`, a pass, `share`. Others may come and go on the device meanwhile."""

    def __init__(self, network: PreTrainedModel) -> None:
        self._device = network.device
        self._is_gpu = self._device.type == "cuda"
        self._resting = self._room = 0
        if self._is_gpu:
            self.start, self.ceiling = GPU_TOKENS, _GPU_MOST_TOKENS
        else:
            fits = _cpu_room() // _bytes_per_token(network.config.get_text_config(), network.dtype)
            self.start = self.ceiling = max(1, min(CPU_TOKENS, fits))

    def begin(self) -> None:
        """Note what is free, and forget the peak so far."""
        if self._is_gpu:
            self._resting = torch.cuda.memory_allocated(self._device)
            free, _ = torch.cuda.mem_get_info(self._device)
            self._room = free + torch.cuda.memory_reserved(self._device) - self._resting
            torch.cuda.reset_peak_memory_stats(self._device)

    def share(self) -> float:
        """The peak since `begin`, as a share of what was free then; 1 where nothing can be known."""
        if self._room <= 0:
            return _NEVER_GROWS
        return (torch.cuda.max_memory_allocated(self._device) - self._resting) / self._room

    def recover(self) -> None:
        """Give back what a failed pass held; call it where that pass's frame is gone."""
        gc.collect()
        if self._is_gpu:
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """True for a GPU's out-of-memory error, and for the CPU allocator's, which has no class of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _bytes_per_token(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    hidden = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    return dtype.itemsize * (_WIDTHS * hidden + 4 * inner)


def _cpu_room(root: Path = Path("/")) -> int:
    """Bytes that a pass may take on the CPU; no bound where the kernel does not say what is free."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 1 << 62
    return int(int(kib) * 1024 * _SPARE)
