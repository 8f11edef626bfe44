"""A YAML file as plain data, with the line of every key, so that errors can point.

Stricter than YAML: duplicate keys are refused, only plain data is built (no tags that run code), and
aliases may not blow the file up. All problems are gathered, not only the first.
"""

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from star_agents.core.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_NODES = 50_000

Path = tuple[str | int, ...]
"""Where a value sits: keys and list indices from the root."""


@dataclass(slots=True)
class YamlSource:
    """Data of a YAML file and the line, from 1, on which each path's key stands."""

    name: str
    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def locate(self, path: Path) -> str:
        """`file:line: dotted.path` of a path, or of its nearest parent that stands in the file."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return f"{self.name}:{self.lines.get(known, 1)}: {dotted(path)}"


def dotted(path: Path) -> str:
    """`("pairs", "base", 0)` as `pairs.base[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "(whole file)"


def read_yaml(file: FilePath) -> YamlSource:
    """Read and parse a file.

    Raises:
        ConfigError: it is missing, unreadable, too large, not UTF-8 or not YAML.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}; check the path") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{file}: {len(content)} bytes is too large for a config (at most {MAX_BYTES})")
    try:
        return parse_yaml(content.decode("utf-8"), str(file))
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not a text file in UTF-8; give a YAML config") from None


def parse_yaml(text: str, name: str) -> YamlSource:
    """Parse text that came from `name`.

    Raises:
        ConfigError: the text is not YAML.
    """
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:  # a character that no text has
        raise ConfigError(f"{name}: not valid YAML: {error}") from None
    try:
        node = loader.get_single_node()
        builder = _Builder(loader, YamlSource(name, {}))
        if node is not None:
            builder.source.data = builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid YAML: {error}") from None
    finally:
        loader.dispose()
    return builder.source


class _Builder:
    """Walks YAML nodes into plain data, noting lines and duplicate keys."""

    def __init__(self, loader: yaml.SafeLoader, source: YamlSource) -> None:
        self.source = source
        self._loader = loader
        self._num_nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401  # plain data has any type
        self._num_nodes += 1
        if self._num_nodes > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} values (an alias that repeats itself?)")
        self.source.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._loader.flatten_mapping(node)
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(self._loader.construct_object(key_node))
            inner = (*path, key)
            if key in data:
                line = key_node.start_mark.line + 1
                first = self.source.lines[inner]
                self.source.problems.append(
                    f"{self.source.name}:{line}: {dotted(inner)}: given twice (first on line {first}); keep one"
                )
                continue
            self.source.lines[inner] = key_node.start_mark.line + 1
            data[key] = self.build(value_node, inner)
        return data
