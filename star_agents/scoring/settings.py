"""What the parts of this wing are told; checked by whoever reads the user's file, not here."""

from dataclasses import dataclass
from typing import Literal

ConventionName = Literal["exact", "superfiltering", "cherry"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSettings:
    """Which models score, where and how. Models are folders or hub ids (`zoo.resolve` knows packaged names).

    `device` is `auto` (every GPU, else the CPU) or names joined by commas: `cpu`, `cuda:0,cuda:1`; `large_device`, of
    the same form, is where the large model goes where it is not to stand beside the small one. There are `workers` a
    device. `dtype: auto` is float16 on a GPU and float32 on a CPU. `max_tokens` bounds prompt and response together
    under `exact`; the other conventions have limits of their own. `template` is `chat`, `plain`, `alpaca` or a Jinja
    file. `batch_tokens` bounds the tokens of a forward pass; None leaves it to the device.
    """

    small: str
    large: str | None = None
    device: str = "auto"
    large_device: str | None = None
    workers: int = 1
    dtype: DtypeName = "auto"
    max_tokens: int = 2048
    ifd: ConventionName = "exact"
    template: str = "chat"
    batch_tokens: int | None = None
    start_timeout_s: float = 600.0
