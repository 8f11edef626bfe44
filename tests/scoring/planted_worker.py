"""A worker with real models and a planted fault, as the file `plant.json` beside the small model says.

The fault is a hook on every embedding that looks up tokens, so it strikes whichever way the scorer runs the model:
`room`: more tokens than this at a time are out of memory. `assert_once`: a file; while it is there, the first lookup
takes it away and raises what a failed device assert raises. `kernel_once`: the same, and the device fails in earnest.
"""

import sys
from pathlib import Path
from typing import Any

import orjson
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from star_agents.scoring import worker
from star_agents.scoring.messages import Load, LoadScorer

take_up = worker.take_up


def is_struck(flag: str | None) -> bool:
    """Whether a fault that strikes once does so now."""
    if flag is None or not Path(flag).exists():
        return False
    Path(flag).unlink()
    return True


def plant(load: Load) -> Any:  # noqa: ANN401  # as `worker.take_up`
    """Load the models, then plant the fault."""
    taken = take_up(load)
    assert isinstance(load, LoadScorer)
    faults = orjson.loads((Path(load.settings.small) / "plant.json").read_bytes())

    def strike(module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        if not args or not isinstance(module, torch.nn.Embedding):
            return
        if args[0].numel() > faults.get("room", 10**9):
            raise torch.OutOfMemoryError("CUDA out of memory (planted)")
        if is_struck(faults.get("assert_once")):
            raise torch.AcceleratorError("CUDA error: device-side assert triggered (planted)")
        if is_struck(faults.get("kernel_once")):
            torch.zeros(1, device="cuda")[torch.full((64,), 10**6, device="cuda")].sum().item()

    register_module_forward_pre_hook(strike)
    return taken


if __name__ == "__main__":
    worker.take_up = plant
    sys.exit(worker.main())
