"""A prompt is the template's own text around data, and it is always known which is which.

So the words `<|im_end|>` inside a data set stay words, while those of a chat template are the special token. A
template is compiled once, by rendering it with marks where the data goes; afterwards no renderer runs on data.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import PreTrainedTokenizerBase

from star_agents.core.errors import ConfigError
from star_agents.core.records import Sample

Render = Callable[[str, str], str]
"""Takes an instruction and a context (perhaps empty); returns the prompt."""

_INSTRUCTION = "\ue000instruction\ue001"
_CONTEXT = "\ue000context\ue001"
_MARK = re.compile(f"({_INSTRUCTION}|{_CONTEXT})")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt: the template's own text, or data."""

    text: str
    is_data: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled prompt: literal text and marks in turn, for samples without and with a context.

    `strips` says that the renderer removes space around what it is given, as some chat templates do.
    """

    bare: tuple[str, ...]
    with_context: tuple[str, ...]
    strips: bool = False

    def pieces(self, sample: Sample) -> tuple[Piece, ...]:
        """The sample's prompt; joined, its texts are what the renderer would have written."""
        data = {_INSTRUCTION: sample.instruction, _CONTEXT: sample.context}
        if self.strips:
            last = _CONTEXT if sample.context else _INSTRUCTION
            data[_INSTRUCTION] = data[_INSTRUCTION].lstrip()
            data[last] = data[last].rstrip()
        parts = self.with_context if sample.context else self.bare
        return tuple(Piece(data.get(part, part), part in data) for part in parts if part)

    def text(self, sample: Sample) -> str:
        """The sample's prompt as one text."""
        return "".join(piece.text for piece in self.pieces(sample))


def compile_template(render: Render) -> Template:
    """Find out where a renderer puts its data.

    Raises:
        ConfigError: the instruction appears nowhere in what it writes.
    """
    bare = render(_INSTRUCTION, "")
    if _INSTRUCTION not in bare:
        raise ConfigError("the scoring template never shows {{ instruction }}")
    return Template(
        bare=tuple(_MARK.split(bare)),
        with_context=tuple(_MARK.split(render(_INSTRUCTION, _CONTEXT))),
        strips=f" {_INSTRUCTION} " not in render(f" {_INSTRUCTION} ", ""),
    )


def plain(instruction: str, context: str) -> str:
    """The instruction on a line, the context on the next: Superfiltering's prompt, for models without a chat format."""
    return f"{instruction}\n{context}\n" if context else f"{instruction}\n"


def alpaca(instruction: str, context: str) -> str:
    """Stanford Alpaca's prompt, to the end of its last line."""
    return f"{alpaca_header(instruction, context)}\n"


def alpaca_header(instruction: str, context: str) -> str:
    """Alpaca's prompt as Cherry_LLM uses it: it ends in `### Response:`, and the response is glued on."""
    if context:
        return (
            "Below is an instruction that describes a task, paired with an input that provides further context. "
            "Write a response that appropriately completes the request.\n\n"
            f"### Instruction:\n{instruction}\n\n### Input:\n{context}\n\n### Response:"
        )
    return (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        f"### Instruction:\n{instruction}\n\n### Response:"
    )


def chat(tokenizer: PreTrainedTokenizerBase) -> Render:
    """The tokenizer's chat template, up to where the assistant begins to speak."""

    def render(instruction: str, context: str) -> str:
        question = f"{instruction}\n\n{context}" if context else instruction
        messages = [{"role": "user", "content": question}]
        return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    return render


def from_file(path: Path) -> Render:
    """A Jinja file that may show {{ instruction }} and {{ context }}; it runs in a sandbox.

    Raises:
        ConfigError: the file cannot be read, or is not Jinja.
    """
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    try:
        template = environment.from_string(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, TemplateError) as error:
        raise ConfigError(f"scoring template {path}: {error}") from error

    def render(instruction: str, context: str) -> str:
        try:
            return template.render(instruction=instruction, context=context)
        except TemplateError as error:
            raise ConfigError(f"scoring template {path}: {error}") from error

    return render


def load_template(name: str, tokenizer: PreTrainedTokenizerBase) -> Template:
    """The template of a name: `chat` (`plain` where the tokenizer has none), `plain`, `alpaca`, or a file's path."""
    match name:
        case "chat":
            return compile_template(chat(tokenizer) if tokenizer.chat_template else plain)
        case "plain":
            return compile_template(plain)
        case "alpaca":
            return compile_template(alpaca)
        case _:
            return compile_template(from_file(Path(name)))
