"""What the documents show is so: configs are configs, commands are commands, links lead somewhere."""

import ast
import importlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from star_agents.cli.main import app
from star_agents.cli.reference import reference
from star_agents.service.config.settings import Settings
from star_agents.service.config.validation import load_settings
from tests.docs.pages import PAGES, ROOT, Block, Command, blocks, commands, links, plain_names

BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [command for page in PAGES for command in commands(page)]
WHOLE = [command for command in COMMANDS if command.is_whole]
OURS = [command for command in WHOLE if Path(command.words[0]).name == "star-agents"]
VERBS = get_command(app).commands  # type: ignore[attr-defined]  # the application is a group
MENTIONS = [
    command
    for command in COMMANDS
    if not command.is_whole and (command.words[0] == "star-agents" or command.words[0] in VERBS)
]
CHEAP = {"schema", "validate configs/quickstart.yaml", "models list", "mock-server --list-faults"}


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` in it, mapping by mapping; a list or a value is replaced whole."""
    both = {
        key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in change.items()
    }
    return {**base, **both}


def resolved(words: list[str]) -> tuple[Any, list[str]]:
    """The command of the real command line that the first words name, and the rest of them."""
    found: Any = get_command(app)
    while words and (inner := getattr(found, "commands", {}).get(words[0].split("|")[0])):
        found, words = inner, words[1:]
    return found, words


@pytest.mark.parametrize("block", of("yaml"), ids=lambda block: block.place)
def test_every_config_is_valid(block: Block, tmp_path: Path) -> None:
    """A block of YAML is a whole config, or says what it is merged into."""
    config = yaml.safe_load(block.text)
    if block.comment:
        base = ROOT / block.comment.removeprefix("merged into ")
        config = merged(yaml.safe_load(base.read_text()), config)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    load_settings(file)


@pytest.mark.parametrize("file", sorted(ROOT.glob("configs/*.yaml")), ids=lambda file: file.name)
def test_every_shipped_config_is_valid(file: Path) -> None:
    """So fragments are merged into something sound."""
    load_settings(file)


@pytest.mark.parametrize("command", OURS, ids=str)
def test_every_command_is_one(command: Command) -> None:
    """The real command line takes every word of it; nothing is run."""
    found, rest = resolved(list(command.words[1:]))
    assert not hasattr(found, "commands"), f"no such command: {rest}"
    found.make_context(found.name, rest)


@pytest.mark.parametrize("command", MENTIONS, ids=str)
def test_every_mention_is_of_a_command(command: Command) -> None:
    """A mention within a sentence may leave things out; the command and each option that it names are there."""
    words = [word for word in command.words if word != "star-agents"]
    found, _ = resolved(words)
    known = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert not hasattr(found, "commands") or words[0].startswith(("COMMAND", "--")), f"no such command: {words}"
    assert set(re.findall(r"--[a-z][a-z-]*", " ".join(words))) <= known | {"--help"}


@pytest.mark.parametrize("command", [c for c in OURS if " ".join(c.words[1:]) in CHEAP], ids=str)
def test_cheap_commands_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs no run and no server is run as it stands."""
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, list(command.words[1:]))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("command", [c for c in WHOLE if re.match(r"python|pytest", c.words[0])], ids=str)
def test_what_python_is_to_run_is_there(command: Command) -> None:
    """A module, a script or a file of tests that a document names exists."""
    words = command.words[1:]
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1])
    for word in words:
        assert not word.endswith(".py") or (ROOT / word).exists()


@pytest.mark.parametrize("block", of("python"), ids=lambda block: block.place)
def test_every_block_of_python_is_sound(block: Block) -> None:
    """It compiles, and what it imports of ours is there."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("star_agents"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, name.name) for name in node.names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Within the repository; sections are looked at by the build of the site."""
    missing = [target for target in links(page) if not (page.parent / target.partition("#")[0]).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_that_is_named_is_linked(page: Path) -> None:
    """Who reads of another page gets there by a click."""
    assert list(plain_names(page)) == []


def test_the_reference_is_up_to_date() -> None:
    """docs/config-reference.md is what `star-agents schema --format markdown` prints."""
    assert (ROOT / "docs" / "config-reference.md").read_text() == reference(Settings.model_json_schema())
