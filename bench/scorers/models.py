"""The models of the benchmarks: a folder with weights, or a shape that is filled with random numbers where it runs.

Random weights cost what trained ones do, so a machine without a network can measure a model of a billion.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from bench.harness.work import Shape
from star_agents.cli.models import cache_dir
from star_agents.scoring.zoo import resolve

_TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 2048}
_ONE_BILLION = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "vocab_size": 128256}
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {**_TINY, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
    "llama-1b": {**_ONE_BILLION, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64},
}
"""`llama-1b` is that of Llama 3.2 1B: 1.24 billion weights, the output matrix tied to the embeddings."""

_BOS = "<|bos|>"
_VOCABULARY = 2048
"""Of the tokenizer that random models get; its tokens are shorter than those of a model with a large one."""


def find_model(name: str, folder: Path, texts: Iterable[str]) -> str:
    """What `open_network` takes for a name of SHAPES, a packaged model, a folder or a hub id.

    A shape becomes a folder with a config, a tokenizer trained on `texts`, and no weights.
    """
    if name not in SHAPES:
        return resolve(name, cache_dir())
    target = folder / name
    LlamaConfig(**SHAPES[name], max_position_embeddings=4096, tie_word_embeddings=True).save_pretrained(target)
    _train_tokenizer(texts).save_pretrained(target)
    return str(target)


def find_weights(name: str, folder: Path, texts: Iterable[str]) -> str:
    """As `find_model`, for those who load a folder: a shape's random numbers are written down once."""
    model = find_model(name, folder, texts)
    if not has_weights(model):
        open_network(model, "cpu", torch.float32).save_pretrained(model)
    return model


def has_weights(model: str) -> bool:
    """False for the folder of a shape."""
    folder = Path(model)
    return not folder.is_dir() or any(folder.glob("*.safetensors"))


def open_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """Its tokenizer."""
    return AutoTokenizer.from_pretrained(model, trust_remote_code=False)


def open_network(model: str, device: str, dtype: torch.dtype) -> PreTrainedModel:
    """Load a model, or fill its shape with random numbers, the same in every process on a device."""
    if has_weights(model):
        network = AutoModelForCausalLM.from_pretrained(model, trust_remote_code=False, dtype=dtype)
        return network.to(device).eval()
    torch.manual_seed(17)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model), dtype=dtype)
    return network.to(device).eval()


def shape_of(model: str) -> Shape:
    """What its passes cost; its weights are not read."""
    config = AutoConfig.from_pretrained(model).get_text_config()
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    head = network.get_output_embeddings().weight
    tables = {id(head), id(network.get_input_embeddings().weight)}
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    windows = (config.sliding_window if kind == "sliding_attention" else None for kind in kinds)
    return Shape(
        layer_weights=sum(each.numel() for each in network.parameters() if id(each) not in tables),
        attention_widths=tuple((width, window) for window in windows),
        head_weights=head.numel(),
    )


def _train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE that adds nothing by itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=[_BOS], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=_BOS)
