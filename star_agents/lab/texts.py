"""What is written in the laboratory. An answer's text carries its true quality, so that whoever reads it can know.

Law: a text says all that its reader needs, as in a real run: the judge reads the answers in the prompt that it is
sent, and the scorer in the sample.
"""

import re
from collections.abc import Iterable

from star_agents.core.calls import Message

_QUALITY = re.compile(r"answer of quality (\d\.\d{6})")
_TASK = re.compile(r"Task (\d+)")


def task(number: int) -> str:
    """The instruction of a seed."""
    return f"Task {number}"


def rewritten(number: int, agent: str) -> str:
    """The instruction as an instruction agent makes it."""
    return f"Task {number}, made new by {agent}"


def answer(quality: float, *ids: int | str) -> str:
    """An answer of this quality; `ids` make it one of its kind."""
    return f"answer of quality {quality:.6f} ({' '.join(map(str, ids))})"


def number_of(instruction: str) -> int:
    """The seed that an instruction is of."""
    found = _TASK.match(instruction)
    assert found is not None, f"not an instruction of the laboratory: {instruction!r}"  # noqa: S101  # our own text
    return int(found[1])


def quality_of(response: str) -> float:
    """The true quality of an answer."""
    (quality,) = qualities_in([Message("", response)])
    return quality


def qualities_in(messages: Iterable[Message]) -> list[float]:
    """The qualities of the answers that a prompt shows, in the order in which it shows them."""
    return [float(found) for message in messages for found in _QUALITY.findall(message.content)]
