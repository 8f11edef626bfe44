"""Training examples as each family of trainers reads them. Pure: one example in, one row out.

Every row carries its lineage under the one key `metadata`, which trainers leave alone. Its keys are always the
same and its texts are never null, so that readers which guess a column's type from the first rows guess right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Cell = str | int | float | bool | None

ExportFormat = Literal["messages", "alpaca", "sharegpt", "parquet", "datasets", "dpo"]


@dataclass(frozen=True, slots=True)
class Example:
    """An instruction and its response, with what Alpaca calls the input as `context`, and where they came from."""

    instruction: str
    response: str
    context: str
    metadata: Mapping[str, Cell]

    @property
    def question(self) -> str:
        """The instruction with its context, as one user turn."""
        return f"{self.instruction}\n\n{self.context}" if self.context else self.instruction


def as_messages(example: Example) -> dict[str, Any]:
    """OpenAI's and TRL's conversational format."""
    turns = [{"role": "user", "content": example.question}, {"role": "assistant", "content": example.response}]
    return {"messages": turns, "metadata": example.metadata}


def as_alpaca(example: Example) -> dict[str, Any]:
    """Stanford Alpaca's format."""
    return {
        "instruction": example.instruction,
        "input": example.context,
        "output": example.response,
        "metadata": example.metadata,
    }


def as_sharegpt(example: Example) -> dict[str, Any]:
    """ShareGPT's format as FastChat reads it."""
    turns = [{"from": "human", "value": example.question}, {"from": "gpt", "value": example.response}]
    return {"id": str(example.metadata["seed"]), "conversations": turns, "metadata": example.metadata}


def as_preference(winner: Example, loser: Example) -> dict[str, Any]:
    """TRL's conversational preference format with an explicit prompt: the winner's question and two answers to it."""
    return {
        "prompt": [{"role": "user", "content": winner.question}],
        "chosen": [{"role": "assistant", "content": winner.response}],
        "rejected": [{"role": "assistant", "content": loser.response}],
        "metadata": winner.metadata,
        "rejected_metadata": loser.metadata,
    }


SHAPES: dict[ExportFormat, Callable[[Example], dict[str, Any]]] = {
    "messages": as_messages,
    "alpaca": as_alpaca,
    "sharegpt": as_sharegpt,
    "parquet": as_messages,
    "datasets": as_messages,
}
"""The shape of a row in each format that has one example a row; tables hold rows of the messages shape."""
