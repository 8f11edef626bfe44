"""How much memory a piece of work takes at its peak: resident memory on a CPU, the allocator's own count on a GPU."""

import gc
from pathlib import Path

import torch

_SELF = Path("/proc/self")
_MIB = 2**20


class Gauge:
    """Measures one thing after the other, in MiB."""

    def __init__(self, device: str) -> None:
        self._is_gpu = device.startswith("cuda")
        self._resting = 0.0

    def begin(self) -> None:
        """Forget the peak so far, and note what is held at rest: the model, mostly."""
        gc.collect()
        if self._is_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._resting = torch.cuda.memory_allocated() / _MIB
        else:
            _SELF.joinpath("clear_refs").write_text("5")  # proc(5): resets the peak of resident memory
            self._resting = _status("VmRSS")

    def told(self) -> dict[str, float]:
        """The peak since then, and how far it is above what was held at rest."""
        peak = torch.cuda.max_memory_allocated() / _MIB if self._is_gpu else _status("VmHWM")
        return {"peak_mib": peak, "extra_mib": peak - self._resting}


def _status(name: str) -> float:
    lines = _SELF.joinpath("status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) / 1024
