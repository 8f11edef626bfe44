"""The run folder: private, and one process at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from star_agents.core.errors import ConfigError, RunInUseError
from star_agents.storage.folder import RunFolder, hold

HOLDER = """
import sys
from pathlib import Path
from star_agents.storage.folder import RunFolder, hold
with hold(RunFolder(Path(sys.argv[1]))):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """0700 with parents as needed; the lock is 0600."""
    folder = RunFolder(tmp_path / "runs" / "first")
    with hold(folder):
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert folder.lock.stat().st_mode & 0o777 == 0o600
        assert not folder.is_begun()


@pytest.mark.fault("F-72")
def test_a_second_process_is_turned_away_with_the_pid(tmp_path: Path) -> None:
    """The message names who holds the folder; a killed holder leaves no lock behind."""
    folder = RunFolder(tmp_path / "run")
    command = [sys.executable, "-c", HOLDER, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunInUseError, match=rf"in use by process {holder.pid} \(since 2"), hold(folder):
            pass
        holder.kill()
    with hold(folder):
        pass


@pytest.mark.fault("F-72")
def test_a_folder_is_held_once_within_a_process_too(tmp_path: Path) -> None:
    """Twice in one process is two runs in one folder all the same; letting go lets the next in."""
    folder = RunFolder(tmp_path)
    with hold(folder), pytest.raises(RunInUseError, match=f"process {os.getpid()}"), hold(folder):
        pass
    with hold(folder):
        pass


def test_a_holder_without_a_note_is_still_a_holder(tmp_path: Path) -> None:
    """A lock caught before its note was written turns away just as well."""
    folder = RunFolder(tmp_path)
    with hold(folder):
        folder.lock.write_text("")
        with pytest.raises(RunInUseError, match="another process"), hold(folder):
            pass


def test_a_symlinked_folder_or_lock_is_refused(tmp_path: Path) -> None:
    """Nobody can lead a run to write somewhere else."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="symlink: name the folder itself"), hold(RunFolder(tmp_path / "link")):
        pass
    (tmp_path / "real" / "run.lock").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError, match="symlink"), hold(RunFolder(tmp_path / "real")):
        pass
    assert not (tmp_path / "target").exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """The message is one line with the path and the reason."""
    (tmp_path / "run").write_text("")
    for path in (tmp_path / "run", tmp_path / "run" / "below"):
        with pytest.raises(ConfigError, match=rf"run.dir: {path} cannot be used"), hold(RunFolder(path)):
            pass
