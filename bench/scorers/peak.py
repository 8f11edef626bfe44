"""What the machine's matrix products can do at best: large square ones of one dtype, for a second.

On a CPU there are two libraries for it, and the better one counts: torch's own choice, and oneDNN with weights that
it has laid out beforehand.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.scorers.contract import Answer, Task, drive
from star_agents.scoring.products import Product

SIZES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}


def opened(task: Task) -> Answer:
    """Answers `{"seconds": ...}` by operations a second; a multiply-add is two."""

    def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = task.device.partition(":")[0]
        trials = [(size, product) for size in SIZES[kind] for product in products(size, task.device, task.torch_dtype)]
        share = question["seconds"] / len(trials)
        return {"flops_per_s": max(rate(size, product, share) for size, product in trials)}

    return answer


def products(size: int, device: str, dtype: torch.dtype) -> list[Callable[[], Tensor]]:
    """The ways there are to multiply two square matrices."""
    one, two = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    ways: list[Callable[[], Tensor]] = [lambda: one @ two]
    if device == "cpu":
        layer = torch.nn.Linear(size, size, bias=False)
        layer.weight = torch.nn.Parameter(two)
        ways.append(partial(Product(layer, dtype, dtype), one))
    return ways


@torch.inference_mode()
def rate(size: int, product: Callable[[], Tensor], seconds: float) -> float:
    """Operations a second, over about so long, after one product that is not counted."""
    product()
    _wait()
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        product()
        _wait()
        count += 1
    return 2.0 * count * size**3 / took


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    drive(opened)
