"""Where a worker's models go. Only a worker can say: the control process does not import torch."""

import torch


def take_device(wish: str) -> tuple[str, int]:
    """The device for a wish, and how many of its sort a wish for `auto` is meant to fill: every GPU, else the CPU."""
    if wish != "auto":
        return wish, 1
    if torch.cuda.is_available():
        return "cuda:0", torch.cuda.device_count()
    return "cpu", 1
