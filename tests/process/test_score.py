"""`score` killed and interrupted: nothing lost, nothing doubled, and the same bytes as if nobody had."""

import json
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from star_agents.storage.seeds import row_file
from tests.process.harness import ROOT, started, wait_for
from tests.process.score_child import BLOCK_ROWS
from tests.scoring.tiny import save_tiny

GOLDEN = ROOT / "tests" / "data" / "golden" / "superfiltering_smollm2_open.jsonl"
NUM_ROWS = 4000
NUM_WORKERS = 2


def write_data(path: Path, num_rows: int) -> None:
    rows = (
        {"instruction": f"Say {number}.", "output": f"row {number} " * (1 + number % 9)} for number in range(num_rows)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def start(folder: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """A process whose output goes to a file that failures show."""
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=ROOT, stdout=output, stderr=output, text=True
        )
    started.append(process)
    return process


def output(folder: Path) -> str:
    return (folder / "output.txt").read_text()


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_and_compare(folder: Path, kind: str, num_kills: int) -> None:
    """Kill a job at random rows, again and again, and compare what it leaves in the end with an unbroken job."""
    chance = random.Random(num_kills)
    write_data(folder / "data.jsonl", NUM_ROWS)
    for name in ("whole", "broken"):
        (folder / name).mkdir()
    jobs: dict[str, list[str | Path]] = {
        name: ["-m", "tests.process.score_child", folder / "data.jsonl", folder / f"{name}{kind}", folder / name]
        for name in ("whole", "broken")
    }
    assert start(folder, *jobs["whole"]).wait(120) == 0, output(folder)
    asked = folder / "broken" / "asked"
    for left in range(num_kills, 0, -1):
        done = num_lines(asked)
        target = done + chance.randint(0, max(0, 2 * (NUM_ROWS - done)) // (left + 1))  # rows are asked twice too
        process = start(folder, *jobs["broken"])
        wait_for(lambda: process.poll() is not None or num_lines(asked) >= target, output(folder))  # noqa: B023
        process.kill()
        process.wait()
    assert start(folder, *jobs["broken"]).wait(120) == 0, output(folder)
    assert (folder / f"broken{kind}").read_bytes() == (folder / f"whole{kind}").read_bytes()
    in_flight = (2 * NUM_WORKERS + 2) * BLOCK_ROWS
    assert num_lines(asked) <= NUM_ROWS + num_kills * in_flight
    assert not (folder / f"broken{kind}.part").exists()


@pytest.mark.timeout(300)
def test_killed_at_random_rows(tmp_path: Path) -> None:
    """SIGKILL, four times; what is asked again is at most what was in flight."""
    kill_and_compare(tmp_path, ".jsonl", 4)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.zst", ".parquet"])
def test_killed_again_and_again(tmp_path: Path, kind: str) -> None:
    """The same, twenty times, for every kind of output."""
    kill_and_compare(tmp_path, kind, 20)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "signals",
    [[signal.SIGINT], pytest.param([signal.SIGTERM, signal.SIGINT, signal.SIGTERM], marks=pytest.mark.slow)],
    ids=["once", "thrice"],
)
def test_signals_stop_it_and_it_goes_on(tmp_path: Path, signals: list[signal.Signals]) -> None:
    """Ctrl-C: code 130 and how to go on; SIGTERM: 143. What is durable is kept, and the last start ends well."""
    num_rows = 3000 * len(signals)
    write_data(tmp_path / "data.jsonl", num_rows)
    small = save_tiny(tmp_path / "small", seed=1)
    options = ["--small", small, "--device", "cpu", "--max-tokens", "64", "--out", str(tmp_path / "scores.jsonl")]
    command = ["-m", "star_agents", "score", str(tmp_path / "data.jsonl"), *options]
    part = tmp_path / "scores.jsonl.part"
    for number in signals:
        before = num_lines(part)
        process = start(tmp_path, *command)
        wait_for(lambda: process.poll() is not None or num_lines(part) > before + 128, output(tmp_path))  # noqa: B023
        process.send_signal(number)
        assert process.wait(60) == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], output(tmp_path)
        assert num_lines(part) > before
    assert output(tmp_path).count("stopped; what is done is kept: the same command goes on") == len(signals)
    assert "Traceback" not in output(tmp_path)
    assert start(tmp_path, *command).wait(120) == 0, output(tmp_path)
    (scored,) = re.findall(r"(\d+) rows scored in", output(tmp_path))
    assert 0 < int(scored) < num_rows
    assert [row["number"] for row in read_rows(tmp_path / "scores.jsonl")] == list(range(num_rows))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_real_models_killed_and_chosen_from(tmp_path: Path) -> None:
    """Two packaged models, killed after a block: the bytes of an unbroken start, and the reference's numbers."""
    golden = sorted(read_rows(GOLDEN), key=lambda row: len(row["output"]))[:80]
    texts = ({key: row[key] for key in ("instruction", "input", "output")} for row in golden)
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))

    def score(out: str, *options: str) -> subprocess.Popen[str]:
        models = ["--small", "smollm2-135m", "--large", "gemma3-270m", "--ifd", "superfiltering", "--device", "cpu"]
        return start(
            tmp_path, "-m", "star_agents", "score", tmp_path / "data.jsonl", *models, *options, "--out", tmp_path / out
        )

    part = tmp_path / "broken.parquet.part"
    process = score("broken.parquet")
    wait_for(lambda: process.poll() is not None or num_lines(part) > 64, output(tmp_path))
    process.kill()
    process.wait()
    assert num_lines(part) > 64, output(tmp_path)
    assert score("broken.parquet").wait(300) == 0, output(tmp_path)
    assert score("whole.parquet").wait(300) == 0, output(tmp_path)
    assert (tmp_path / "broken.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    rows: list[Any] = [row.value for row in row_file(str(tmp_path / "whole.parquet")).rows(0)]
    for row, expected in zip(rows, golden, strict=True):
        if row["small"]["ifd"] is not None:
            assert row["small"]["ifd"] == pytest.approx(float(expected["ifd"]), rel=1e-4)
    best = sorted((row for row in rows if row["gap"] is not None), key=lambda row: (-row["gap"], row["number"]))[:8]
    choice = ["--select", "gap", "--top", "10%", "--selected-out", str(tmp_path / "best.jsonl")]
    assert score("whole.parquet", *choice).wait(60) == 0, output(tmp_path)
    data = (tmp_path / "data.jsonl").read_text().splitlines()
    assert (tmp_path / "best.jsonl").read_text().splitlines() == [
        data[n] for n in sorted(row["number"] for row in best)
    ]
