"""Hundreds of bad configs (P15): each is refused in words that name the file and the place, and none with a traceback.

Made from the shipped configs by spoiling them at every place, and by hand where the fault is of YAML itself.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from star_agents.core.errors import ConfigError
from star_agents.service.config.validation import check, load_settings
from star_agents.service.config.yaml_source import YamlSource

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
CANARY = "sk-canary-0123456789abcdef"
ODD: tuple[Any, ...] = (
    "",
    "\x00",
    CANARY,
    [],
    {},
    [[]],
    {"a": {"b": [1]}},
    -1,
    0,
    0.5,
    1e308,
    float("nan"),
    10**30,
    True,
    None,
)
"""None is right everywhere; each is wrong somewhere."""

Spot = tuple[str | int, ...]


def spots(data: Any, above: Spot = ()) -> Iterator[Spot]:  # noqa: ANN401  # plain data
    """Every place of a config, sections and leaves."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield (*above, key)
        yield from spots(value, (*above, key))


def spoiled(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The config with one place spoiled: an odd value, a key that nobody knows beside it, or nothing there."""
    for *parents, last in spots(data):
        for value in ODD:
            with_value = copy.deepcopy(data)
            _at(with_value, parents)[last] = value
            yield with_value
        if isinstance(last, str):
            with_typo = copy.deepcopy(data)
            _at(with_typo, parents)[f"{last}x"] = 1
            yield with_typo
        without = copy.deepcopy(data)
        del _at(without, parents)[last]
        yield without


def _at(data: Any, parents: list[str | int]) -> Any:  # noqa: ANN401  # plain data
    for part in parents:
        data = data[part]
    return data


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_whatever_is_spoiled_is_told_in_words(file: Path) -> None:
    """At least 300 of each config are refused, every line names the file and a place, and no value is echoed."""
    refused = 0
    for data in spoiled(yaml.safe_load(file.read_text())):
        try:
            check(YamlSource("run.yaml", data))
        except ConfigError as error:
            refused += 1
            for problem in error.problems:
                place, _, told = problem.partition(": ")
                assert place.startswith("run.yaml"), problem
                assert len(told) > 10, problem
                assert CANARY not in problem
    assert refused >= 300


BY_HAND = {
    "nothing": "",
    "a comment": "# run:\n",
    "a word": "run",
    "a list": "- run\n- seeds\n",
    "a tab": "run:\n\tname: a\n",
    "an open quote": 'run: {name: "a}\n',
    "an open bracket": "run: {name: a\n",
    "the same key twice": "run: {name: a}\nrun: {name: b}\n",
    "the same key twice, deep": "run: {name: a, name: b}\n",
    "two documents": "run: {name: a}\n---\nrun: {name: b}\n",
    "an object of Python": "run: !!python/object/apply:os.system ['true']\n",
    "a tag": "run: !secret a\n",
    "an alias of nothing": "run: *a\n",
    "an alias of itself": "run: &a [*a]\n",
    "a merge": "a: &a {name: x}\nrun:\n  <<: *a\n",
    "a key that is a list": "? [a, b]\n: 1\n",
    "a key that is a number": "1: 2\n",
    "a key that is nothing": "null: 2\n",
    "a date": "run: {name: 2026-01-01}\n",
    "bytes": "run: {name: !!binary aGVsbG8=}\n",
    "a control character": "run: {name: a\x01}\n",
    "laughter": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "a deep hole": "run: " + "[" * 5000 + "]" * 5000 + "\n",
    "a number of ten thousand digits": f"run: {{name: a, seed: {'9' * 10_000}}}\n",
    "too much": "run: {name: a}\n#" + "x" * 1_000_001 + "\n",
}


@pytest.mark.parametrize("text", BY_HAND.values(), ids=BY_HAND)
def test_yaml_that_is_none(text: str, tmp_path: Path) -> None:
    """It is refused by name of its file."""
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_settings(file)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"run: \x80\n", "run: ü\n".encode("latin-1")])
def test_bytes_that_are_no_text(content: bytes, tmp_path: Path) -> None:
    """So are bytes that are not UTF-8."""
    file = tmp_path / "run.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_settings(file)
