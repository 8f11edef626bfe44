"""Ctrl-C while the program is still being imported: it ends, and shows nobody where it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import star_agents.__main__ as it; it.main()"


def interrupted(tmp_path: Path, where: str, *, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    """`star-agents --version` with a SIGINT in the first import of `where`."""
    folder = tmp_path / "planted"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {where!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    environ = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", PROGRAM, "validate", "missing.yaml"]
    if ignored:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("where", ["typer", "star_agents.cli.main", "star_agents.cli.report"])
def test_the_command_line_s_own_imports(tmp_path: Path, where: str) -> None:
    """It dies of the signal, as a shell expects of a program that is interrupted."""
    done = interrupted(tmp_path, where)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("where", ["pydantic", "star_agents.service.config.settings"])
def test_what_a_command_imports(tmp_path: Path, where: str) -> None:
    """130 and no traceback."""
    done = interrupted(tmp_path, where)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """Under nohup, or in the background of a script: it goes on, here to the error of a missing file."""
    done = interrupted(tmp_path, "typer", ignored=True)
    assert done.returncode == 78
    assert "missing.yaml" in done.stderr
