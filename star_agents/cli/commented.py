"""A config as a file for people: each key below a comment that says what it means and what else it could be. Pure.

Law: the comments are made of the schema, as the config reference is, so that no second text tells what a key means.
"""

import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import yaml

from star_agents.cli.reference import Row, key_rows, section_words
from star_agents.service.config.settings import Settings
from star_agents.service.config.yaml_source import Path, dotted, parse_yaml

WIDTH = 110


def commented(data: dict[str, Any], head: str) -> str:
    """The file. `head` stands above everything; of keys that repeat under several names the first is explained."""
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**20)
    schema = Settings.model_json_schema()
    paths = {line: path for path, line in parse_yaml(text, "draft").lines.items() if path and _is_key(path)}
    notes = _Notes(key_rows(schema), section_words(schema))
    lines = [f"# {line}" for line in wrap(head, WIDTH)]
    for number, line in enumerate(text.splitlines(), start=1):
        indent = " " * (len(line) - len(line.lstrip()))
        lines += [f"{indent}# {note}" if note else "" for note in notes.of(paths.get(number, ()))]
        lines.append(line)
    return "\n".join((*lines, ""))


class _Dumper(yaml.SafeDumper):
    """Lists in one line; everything else in lines of its own."""


def _in_a_line(dumper: _Dumper, value: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


_Dumper.add_representer(list, _in_a_line)


def _is_key(path: Path) -> bool:
    return all(isinstance(part, str) for part in path)


class _Notes:
    """What is said above a key, once."""

    def __init__(self, rows: dict[str, Row], sections: dict[str, str]) -> None:
        self._rows = rows
        self._sections = sections
        self._told = set[str]()

    def of(self, path: Path) -> Iterator[str]:
        """The lines above the key at a path."""
        if len(path) == 1:
            yield ""
            yield from wrap(self._sections.pop(str(path[0]), ""), WIDTH)
        elif (row := self._rows.get(dotted(_generic(path)))) and (told := _words(row)) not in self._told:
            self._told.add(told)
            yield from wrap(told, WIDTH, break_on_hyphens=False)


def _generic(path: Path) -> Path:
    """The path with NAME for a name of the user's own."""
    own = {"endpoints": 1, "agents": 2}.get(str(path[0]))
    return path if own is None or len(path) <= own else (*path[:own], "NAME", *path[own + 1 :])


def _words(row: Row) -> str:
    """`what it means (what it may be; default)`, without Markdown."""
    default = "" if row.default == "-" else f"; default {row.default}"
    return re.sub(r"`", "", f"{row.says} ({row.type}{default})")
