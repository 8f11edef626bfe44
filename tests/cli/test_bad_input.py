"""Whatever a person gives it, the command line answers in clear lines and a documented code, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from star_agents.storage.folder import RunFolder, hold
from tests.service.configs import SOUND, spoiled

SEED = {"instruction": "Name a colour.", "output": "Blue."}


def command(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "STAR_AGENTS_ABSENT_KEY"}
    return subprocess.run(
        [sys.executable, "-m", "star_agents", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environ,
    )


def write(folder: Path, config: dict[str, Any], seeds: bytes | None = None) -> Path:
    (folder / "seeds.jsonl").write_bytes(json.dumps(SEED).encode() if seeds is None else seeds)
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def rows(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


BAD_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (spoiled("extra", 1), "extra: unknown key; known here: run, seeds"),
    "typo": (spoiled("run.sed", 1), "run.sed: unknown key; did you mean `seed`?"),
    "wrong type": (spoiled("sampling.pairs_per_seed", "two"), "sampling.pairs_per_seed: should be a valid integer"),
    "no such endpoint": (spoiled("agents.response.calm.endpoint", "locla"), "no such endpoint; did you mean `local`?"),
    "empty pool": (spoiled("pairs.pool", []), "pairs.pool: the pool is empty"),
    "secret unset": (
        spoiled("endpoints.local.api_key", "${STAR_AGENTS_ABSENT_KEY}"),
        "endpoints.local.api_key: env:STAR_AGENTS_ABSENT_KEY is not set",
    ),
    "no such seeds": (spoiled("seeds.path", "nowhere.jsonl"), "seeds.path: nowhere.jsonl: no such file in /"),
}


@pytest.mark.parametrize(("config", "expected"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
@pytest.mark.parametrize("verb", ["validate", "serve-run"])
def test_a_bad_config_is_one_line(tmp_path: Path, verb: str, config: dict[str, Any], expected: str) -> None:
    """Exit code 78, one line that names the place and the mend, and nothing started."""
    done = command(verb, write(tmp_path, config), cwd=tmp_path)
    assert done.returncode == 78
    assert expected in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("star-agents: ")]) == 1
    assert "Traceback" not in done.stderr


def test_a_missing_key_does_not_hide_missing_seeds(tmp_path: Path) -> None:
    """Both are told at once."""
    config = spoiled("endpoints.local.api_key", "${STAR_AGENTS_ABSENT_KEY}")
    done = command("validate", write(tmp_path, {**config, "seeds": {"path": "nowhere.jsonl"}}), cwd=tmp_path)
    assert done.returncode == 78
    assert "env:STAR_AGENTS_ABSENT_KEY is not set" in done.stderr
    assert f"seeds.path: nowhere.jsonl: no such file in {tmp_path}; check the path" in done.stderr


BAD_SEEDS: dict[str, tuple[bytes, str]] = {
    "no instruction anywhere": (rows(*[{"output": "x"}] * 3), "seeds.jsonl"),
    "too many bad rows": (rows(*[SEED] * 5, *[{"output": "x"}] * 20), "rows are unusable"),
    "not JSON": (b"this is prose\n" * 20, "seeds.jsonl"),
    "binary": (bytes(range(256)) * 40, "seeds.jsonl"),
    "empty": (b"", "seeds.jsonl"),
}


@pytest.mark.parametrize(("seeds", "expected"), BAD_SEEDS.values(), ids=BAD_SEEDS)
def test_bad_seeds_are_one_line(tmp_path: Path, seeds: bytes, expected: str) -> None:
    """Exit code 78, and the line names the file."""
    done = command("validate", write(tmp_path, SOUND, seeds), cwd=tmp_path)
    assert done.returncode == 78
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_few_bad_rows_are_skipped(tmp_path: Path) -> None:
    """Rows without an instruction are named, counted and skipped."""
    done = command("validate", write(tmp_path, SOUND, rows(SEED, {"output": "x"}, SEED)), cwd=tmp_path)
    assert done.returncode == 0
    assert "ok, 3 seeds" in done.stdout


def test_a_run_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Exit code 73, and the line names the process that holds it."""
    file = write(tmp_path, SOUND)
    (tmp_path / "runs").mkdir()
    with hold(RunFolder(tmp_path / "runs" / "test")):
        done = command("serve-run", file, cwd=tmp_path)
    assert done.returncode == 73
    assert f"process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr


WRONG_USES: dict[str, tuple[list[str], int, str]] = {
    "missing config": (["validate", "nowhere.yaml"], 78, "nowhere.yaml: cannot be read"),
    "no argument": (["validate"], 2, "config"),
    "no such command": (["serve"], 2, "No such command"),
    "no such run": (["status", "nowhere"], 78, "nowhere: holds no run"),
    "export of no run": (["export", "nowhere"], 78, "nowhere: holds no run"),
    "wrong format": (["export", "nowhere", "--format", "csv"], 2, "csv"),
    "no such model": (["models", "pull", "gpt-9"], 78, "gpt-9"),
    "model not pulled": (["score", "seeds.jsonl", "--small", "./nowhere", "--out", "o.jsonl"], 78, "./nowhere"),
}


@pytest.mark.parametrize(("arguments", "code", "expected"), WRONG_USES.values(), ids=WRONG_USES)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: list[str], code: int, expected: str) -> None:
    """The documented code, and a line that says what is wrong."""
    write(tmp_path, SOUND)
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_ours_leaves_no_half_written_file(tmp_path: Path) -> None:
    """`score` that fails leaves no output behind."""
    write(tmp_path, SOUND, b"not json\n")
    command("score", "seeds.jsonl", "--small", str(tmp_path), "--out", "out.jsonl", cwd=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.yaml", "seeds.jsonl"]
