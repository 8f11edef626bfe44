"""Random models of a few thousand weights and a tokenizer trained on one page: any architecture, no download."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from star_agents.scoring.conventions import Pass
from star_agents.scoring.model import LanguageModel
from star_agents.scoring.tokens import Tokens

torch.set_num_threads(1)  # models this small are quicker without threads that wait for each other

BOS, EOS, HEADER = "<|bos|>", "<|eos|>", "<|user|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|bos|><|user|>{{ message['content'] | trim }}<|eos|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|user|>assistant\n{% endif %}"
)
PAGE = [
    "The quick brown fox jumps over the lazy dog, and then over 12 more dogs.",
    "Explain why the moon looks different on different nights.\nThe moon orbits the earth.",
    'She said: "Name three fruits!" He answered: apple, fig and pear.',
]
VOCABULARY = 320
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


@cache
def _trained() -> str:
    """A byte-level BPE with three special tokens, as JSON."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS, EOS, HEADER],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PAGE, trainer)
    return tokenizer.to_str()


def tiny_tokenizer(**options: str | None) -> PreTrainedTokenizerFast:
    """A tokenizer that adds nothing by itself; `options` go to transformers."""
    chosen = {"bos_token": BOS, "eos_token": EOS, "chat_template": CHAT_TEMPLATE, **options}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_trained()), **chosen)


def tiny_network(config: PreTrainedConfig | None = None, seed: int = 0) -> PreTrainedModel:
    """A random causal model; a small Llama unless another config is given. Weights are large enough to matter."""
    torch.manual_seed(seed)
    network = AutoModelForCausalLM.from_config(deepcopy(config) or LlamaConfig(**SIZES))
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.mul_(10)
    return network.float().eval()


def tiny_model(
    config: PreTrainedConfig | None = None,
    *,
    batch_tokens: int | None = None,
    seed: int = 0,
    may_pack: bool = True,
) -> LanguageModel:
    """A loaded model as scorers have it."""
    network = tiny_network(config, seed)
    return LanguageModel(network, Tokens(tiny_tokenizer(), network.config), batch_tokens, may_pack=may_pack)


def reference_nll(network: PreTrainedModel, each: Pass) -> float:
    """The textbook way: one sequence, all logits in float32."""
    ids = torch.tensor([each.ids])
    with torch.inference_mode():
        logits = network(input_ids=ids[:, :-1]).logits[0].float()
    return float(functional.cross_entropy(logits[each.start - 1 :], ids[0, each.start :]))


def save_tiny(folder: Path, seed: int = 0) -> str:
    """A model folder like one from a hub."""
    tiny_network(seed=seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def save_tiny_embedder(folder: Path) -> str:
    """An encoder's folder, of which sentence-transformers makes an embedder with mean pooling."""
    torch.manual_seed(0)
    sizes = {name: size for name, size in SIZES.items() if name not in {"num_key_value_heads", "head_dim"}}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    tiny_tokenizer(pad_token=EOS).save_pretrained(folder)
    return str(folder)
