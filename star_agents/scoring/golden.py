"""Whether a model is on this machine, and whether its prompts come out as they should: one prompt, looked at.

Law: nothing is downloaded, and no weights are loaded.
"""

from collections.abc import Iterator
from pathlib import Path

from star_agents.core.errors import ScorerError
from star_agents.core.records import Sample

GOLDEN = Sample("Name three fruits.", "Apple, fig and pear.")


def weights_bytes(model: str) -> int | None:
    """The size of a model's weights on this machine: a folder, or a hub id's cached one; None where it is not here."""
    folder = folder_of(model)
    if folder is None:
        return None
    files = [file for kind in ("*.safetensors", "*.bin") for file in folder.glob(kind)]
    return sum(file.stat().st_size for file in files)


def folder_of(model: str) -> Path | None:
    """Where a model's files lie here, or None."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(model).is_dir():
        return Path(model)
    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def prompt_problems(folder: Path, template: str) -> Iterator[tuple[str, str]]:
    """What is wrong with the prompts of a causal model in a folder, and the mend of each.

    Raises:
        ConfigError: the template cannot be read, or never shows the instruction.
        ScorerError: its tokenizer cannot be read, or it has no token to begin a text with.
    """
    from transformers import AutoConfig, AutoTokenizer

    from star_agents.scoring.templates import load_template
    from star_agents.scoring.tokens import Tokens

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ScorerError(f"{folder}: its tokenizer cannot be read: {error}") from error
    tokens = Tokens(tokenizer, config)
    if template == "chat" and not tokenizer.chat_template:
        yield "it has no chat template: `plain` is used", "say scoring.template: plain, or take an instruct model"
    compiled = load_template(template, tokenizer)
    text, ids = compiled.text(GOLDEN), tokens.prompt(compiled.pieces(GOLDEN))
    if GOLDEN.instruction not in text:
        yield "its template changes the instruction", "say another scoring.template"
    if not text.endswith("\n"):
        yield f"its prompt ends in {text[-12:]!r} and not in a new line", "see that the answer is meant to go on there"
    if ids[:2] == [tokens.anchor, tokens.anchor]:
        yield "its template begins with two BOS tokens", "take one out of its chat template: scores are off"
