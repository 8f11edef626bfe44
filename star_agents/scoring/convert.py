"""A GGUF file becomes a model folder that transformers, vLLM and we load alike: bfloat16 weights, whole tokenizer.

Run as a child process (`python -m star_agents.scoring.convert SOURCE TARGET REPAIR MAX_TOKENS`), so that the
control process never pays for torch.
"""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from star_agents.scoring.catalogue import Repair


def convert(source: Path, target: Path, repair: Repair, max_tokens: int) -> None:
    """Dequantize the GGUF file `source` into the folder `target`."""
    where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    mend(tokenizer, repair)
    tokenizer.model_max_length = max_tokens
    model = AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    tokenizer.save_pretrained(target)
    model.save_pretrained(target)


def mend(tokenizer: TokenizersBackend, repair: Repair) -> None:
    """Put back, in place, what the conversion lost of the tokenizer."""
    backend: Tokenizer = tokenizer.backend_tokenizer
    if repair is Repair.DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
        return
    bos, bos_id = tokenizer.bos_token, tokenizer.bos_token_id
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, bos_id)]
    )


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("repair", type=Repair)
    parser.add_argument("max_tokens", type=int)
    asked = parser.parse_args()
    convert(asked.source, asked.target, asked.repair, asked.max_tokens)


if __name__ == "__main__":
    main()
