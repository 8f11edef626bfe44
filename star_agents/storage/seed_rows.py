"""From a row of any known shape to a seed. Pure: one row in, one seed or one reason out.

`auto` looks at each row by itself, so a row means the same wherever a reader starts. Conversations give their
first exchange: the first user turn, and the first assistant turn after it. System turns are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from star_agents.core.records import Seed

MAX_TEXT_CHARS = 1_000_000
"""Characters in one text of a seed; a longer one makes the row unusable."""

MAX_ID_CHARS = 200

RowFormat = Literal["auto", "alpaca", "messages", "sharegpt", "self-instruct"]

_USER = frozenset({"user", "human"})
_ASSISTANT = frozenset({"assistant", "gpt", "model", "bot"})


class UnusableRowError(ValueError):
    """The row holds no instruction that can be used; the message says why."""


class Texts(NamedTuple):
    """The texts of a seed."""

    instruction: str
    response: str = ""
    context: str = ""


def to_seed(number: int, value: object, row_format: RowFormat, *, may_be_empty: bool = False) -> Seed:
    """The seed in a row; its instruction may be nothing but space only where `may_be_empty`.

    Raises:
        UnusableRowError: there is none, or a text is not text.
    """
    if not isinstance(value, dict):
        raise UnusableRowError(f"a {type(value).__name__}, not an object with fields")
    texts = _READERS[shape_of(value) if row_format == "auto" else row_format](value)
    if not may_be_empty and not texts.instruction.strip():
        raise UnusableRowError("the instruction is empty")
    return Seed(number, *texts, source_id=_source_id(value))


def shape_of(row: Mapping[str, object]) -> str:
    """The format that `auto` takes a row for.

    Raises:
        UnusableRowError: it is of none.
    """
    for field, shape in _SHAPES:
        if field in row:
            return shape
    fields = ", ".join(sorted(map(repr, row))[:8]) or "nothing"
    raise UnusableRowError(f"no field named instruction, messages or conversations; it has {fields}")


def _alpaca(row: Mapping[str, object]) -> Texts:
    """`instruction` with `input` (or `context`) and `output` (or `response`)."""
    return Texts(
        _text(row.get("instruction"), "instruction"),
        _text(row.get("output", row.get("response")), "output"),
        _text(row.get("input", row.get("context")), "input"),
    )


def _self_instruct(row: Mapping[str, object]) -> Texts:
    """`instruction` with the `input` and `output` of the first of its `instances`."""
    instances = _list(row.get("instances"), "instances")
    first = instances[0] if instances else {}
    if not isinstance(first, dict):
        raise UnusableRowError("instances[0] is not an object")
    return Texts(
        _text(row.get("instruction"), "instruction"),
        _text(first.get("output"), "instances[0].output"),
        _text(first.get("input"), "instances[0].input"),
    )


def _messages(row: Mapping[str, object]) -> Texts:
    """`messages`: a list of `role` and `content`."""
    return _first_exchange(_list(row.get("messages"), "messages"), "messages")


def _sharegpt(row: Mapping[str, object]) -> Texts:
    """`conversations`: a list of `from` and `value`."""
    return _first_exchange(_list(row.get("conversations"), "conversations"), "conversations")


def _first_exchange(turns: Sequence[object], field: str) -> Texts:
    instruction = None
    for position, turn in enumerate(turns):
        place = f"{field}[{position}]"
        if not isinstance(turn, dict):
            raise UnusableRowError(f"{place} is not an object")
        role = turn.get("role", turn.get("from"))
        content = turn.get("content", turn.get("value"))
        if instruction is None and role in _USER:
            instruction = _text(_joined(content), place)
        elif instruction is not None and role in _ASSISTANT:
            return Texts(instruction, _text(_joined(content), place))
    if instruction is None:
        raise UnusableRowError(f"{field} has no user turn")
    return Texts(instruction)


def _joined(content: object) -> object:
    """The text of a content given in parts, as OpenAI's API allows; anything else as it is."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if any(not isinstance(text, str) for text in texts):
        raise UnusableRowError("a turn has a part that is not text")
    return "".join(map(str, texts))


def _text(value: object, field: str) -> str:
    """A text that may be absent."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnusableRowError(f"{field} is a {type(value).__name__}, not text")
    if len(value) > MAX_TEXT_CHARS:
        raise UnusableRowError(f"{field} is longer than {MAX_TEXT_CHARS} characters")
    if "\0" in value:
        raise UnusableRowError(f"{field} holds a NUL character")
    return value


def _list(value: object, field: str) -> list[object]:
    if value is None:
        raise UnusableRowError(f"no field named {field}")
    if not isinstance(value, list):
        raise UnusableRowError(f"{field} is a {type(value).__name__}, not a list")
    return value


def _source_id(row: Mapping[str, object]) -> str | None:
    value = row.get("id")
    return str(value)[:MAX_ID_CHARS] if isinstance(value, (str, int)) else None


_READERS: dict[str, Callable[[Mapping[str, object]], Texts]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "sharegpt": _sharegpt,
    "self-instruct": _self_instruct,
}

_SHAPES = (
    ("messages", "messages"),
    ("conversations", "sharegpt"),
    ("instances", "self-instruct"),
    ("instruction", "alpaca"),
)
