"""The matrix products of a model, in the numbers and the layout that the machine is quickest with.

A product's weights may have a dtype of their own; all else in the model keeps its own, so that the sum that runs
through the layers, the norms and the attention are exact where only products are rounded. On x86, oneDNN with weights
packed beforehand is more than twice as fast in float32 as the library that torch takes by itself where the processor
is not Intel's (docs/scoring.md has the figures).
"""

import platform
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from star_agents.scoring.settings import DtypeName

_X86 = {"x86_64", "AMD64"}
_FEW, _FINE, _COARSE = 256, 16, 64
_LARGEST = torch.finfo(torch.float16).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Which numbers each part of a model is computed in."""

    body: torch.dtype
    """All that is not named below: embeddings, the sum through the layers, norms, attention."""
    products: torch.dtype
    """What goes into the matrix products of the layers."""
    head: torch.dtype
    """What goes into the output matrix's product. What comes out, and its softmax, is float32 where a kernel can."""


def even(rows: int) -> int:
    """The next number of rows that products are made with: multiples of 16 where there are few, else of 64.

    oneDNN compiles a product anew for every number of rows and keeps what it compiled: with any number, a worker grew
    by a tenth of a megabyte with each sample.
    """
    step = _FINE if rows <= _FEW else _COARSE
    return -(-rows // step) * step


def choose_precision(dtype: DtypeName, device: str) -> Precision:
    """What a setting means on a device; `auto` is float32 on a CPU and float16 on all else.

    Half precision is for products first of all: rounding the rest too doubles the error of bfloat16, and the rest is
    where float16 would overflow. Only bfloat16 on a GPU rounds everything but sums, for that is the quickest there;
    it is not the default because it does not keep the order of scores (docs/scoring.md).
    """
    is_cpu = device == "cpu"
    name = dtype if dtype != "auto" else "float32" if is_cpu else "float16"
    products: torch.dtype = getattr(torch, name)
    body = torch.bfloat16 if name == "bfloat16" and not is_cpu else torch.float32
    return Precision(body=body, products=products, head=body if is_cpu and name == "bfloat16" else products)


class Product(nn.Module):
    """A linear layer whose product takes `dtype`, whatever goes in, and gives `out`; to be used on `device`.

    Sums are float32 and are rounded once, to `out`, where a kernel can do so. What is too large for float16 goes in as
    its largest number: a few states of some models are, and infinity would spoil all that sees them. A CPU multiplies
    float16 slowly: there operands are rounded and multiplied as float32, which gives a GPU's numbers.
    """

    _weight: Tensor
    _bias: Tensor | None

    def __init__(self, layer: nn.Linear, dtype: torch.dtype, out: torch.dtype, device: str = "cpu") -> None:
        super().__init__()
        self._dtype, self._out = dtype, out
        self._kept = torch.float32 if dtype is torch.float16 and device == "cpu" else dtype
        bias: Tensor | None = layer.bias  # torch's types leave out that there may be none
        self.register_buffer("_bias", None if bias is None else bias.detach().to(self._kept), persistent=False)
        self._packed: Tensor | None = None
        if layer.weight.dtype is dtype is self._kept and not _can_pack(dtype, device):
            self._weight = layer.weight  # the same parameter: an output matrix stays tied to the embeddings
            return
        weight = layer.weight.detach().to(dtype).to(self._kept)
        if _can_pack(self._kept, device):
            self._packed = _pack(weight)
        else:
            self.register_buffer("_weight", weight, persistent=False)

    @property
    def weight(self) -> Tensor:
        """The weights (out, in), for code that looks at them; unpacked anew each time."""
        return self._weight if self._packed is None else self._packed.to_dense()

    def forward(self, states: Tensor) -> Tensor:
        """States (..., in) to (..., out)."""
        states = self._rounded(states)
        if self._packed is not None:
            return _packed_product(states, self._packed, self._bias).to(self._out)
        if states.is_cuda and self._out is not self._kept and torch.__version__ >= "2.8":
            # A GPU adds up in float32 whatever goes in, and need not round that to what went in.
            sums = torch.mm(states.flatten(0, -2), self._weight.T, out_dtype=self._out).view(*states.shape[:-1], -1)
            return sums if self._bias is None else sums + self._bias.to(self._out)
        return linear(states, self._weight, self._bias).to(self._out)

    def _rounded(self, states: Tensor) -> Tensor:
        if self._dtype is torch.float16 and states.dtype is not torch.float16:
            states = states.clamp(-_LARGEST, _LARGEST)
        return states.to(self._dtype).to(self._kept)


def lay_products(network: PreTrainedModel, precision: Precision, device: str | None = None) -> None:
    """Replace the linear layers of a network that is in `precision.body` and stays where it is, or goes to `device`.

    One at a time, so that none is held twice; before it goes there, so that the device never holds the wider numbers.
    """
    head = network.get_output_embeddings()
    device = device or str(network.device)
    for name, module in list(network.named_modules()):
        if type(module) is not nn.Linear:
            continue
        dtype = precision.head if module is head else precision.products
        out = torch.float32 if module is head else precision.body
        if dtype is not module.weight.dtype or out is not dtype or _can_pack(dtype, device):
            network.set_submodule(name, Product(module, dtype, out, device))


def _can_pack(dtype: torch.dtype, device: str) -> bool:
    return device == "cpu" and dtype in {torch.float32, torch.bfloat16} and _has_packed_products()


@cache
def _has_packed_products() -> bool:
    ops = torch.ops.mkldnn
    return (
        platform.machine() in _X86
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        and hasattr(ops, "_reorder_linear_weight")
        and hasattr(ops, "_linear_pointwise")
    )


def _pack(weight: Tensor) -> Tensor:
    """Weights in oneDNN's own order; its operators have no public name, torch's compiler calls them by these."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)  # noqa: SLF001
    return packed


def _packed_product(states: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(states, packed, bias, "none", [], "")  # noqa: SLF001
    return found
