"""The house keeps its own rules: formatting, lint, types, walls. Each is one run of the tool itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(600)


def run(*command: str) -> None:
    executable = shutil.which(command[0], path=str(Path(sys.executable).parent)) or command[0]
    done = subprocess.run([executable, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def test_format() -> None:
    """Every file is formatted."""
    run("ruff", "format", "--check", ".")


def test_lint() -> None:
    """Every rule of ruff holds, but for the ignores explained in pyproject.toml."""
    run("ruff", "check", ".")


def test_types() -> None:
    """Mypy --strict accepts the package, the tests and the benchmarks."""
    run("mypy")


def test_walls() -> None:
    """Floors, wings and forbidden imports are as docs/design.md says."""
    run("lint-imports", "--no-cache")


def test_every_import_is_declared() -> None:
    """What the package imports is named among its dependencies, not found there by luck."""
    run("deptry", "star_agents")


def test_files_are_read_in_one_sitting() -> None:
    """No module of the package is longer than 400 lines."""
    long = {
        str(file.relative_to(ROOT)): count
        for file in (ROOT / "star_agents").rglob("*.py")
        if (count := len(file.read_text().splitlines())) > 400
    }
    assert not long
