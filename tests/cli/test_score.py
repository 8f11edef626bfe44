"""`score` as a person meets it: usage, names of files, lines and the report."""

import asyncio
import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from star_agents.cli.score_paths import check_paths, default_out, default_selected
from star_agents.cli.score_screen import draw, line, print_lines, print_result, stopped
from star_agents.core.errors import ConfigError, SeedError
from star_agents.service.scores.choosing import Choice
from star_agents.service.scores.job import ScoreResult
from star_agents.service.scores.progress import Observer, ScoreStatus
from star_agents.service.scores.summary import ScoreTally
from tests.cli.test_bad_input import command
from tests.loops import run_virtual
from tests.service.score_world import make_job

STATUS = ScoreStatus(phase="scoring", rows=640, total=52_002, tokens_per_s=341.4, eta_s=3723.0, unscored=3, unusable=2)

WRONG_USES: dict[str, tuple[list[str], int, str]] = {
    "select without top": (["--select", "ifd"], 2, "--top: say how many rows (5000), or what share of them (10%)"),
    "top without select": (["--top", "5"], 2, "--select: say by what: dual, ifd, gap or ppl"),
    "a top of nothing": (["--select", "ifd", "--top", "0%"], 2, "--top: say how many rows"),
    "dual of one model": (["--select", "dual", "--top", "5"], 2, "--large: --select dual compares two models"),
    "chosen rows of no choice": (["--selected-out", "b.jsonl"], 2, "--selected-out: goes with --select and --top"),
    "no such suffix": (["--out", "o.csv"], 78, "--out o.csv: name a file that ends in .jsonl"),
    "no such folder": (["--out", "nowhere/o.jsonl"], 78, "--out nowhere/o.jsonl: there is no folder nowhere"),
    "a file in the way": (
        ["--out", "data.jsonl"],
        78,
        "--out data.jsonl: is there already, and not as `score` left it",
    ),
    "no such data": ([], 78, "nowhere.jsonl: no such file"),
}


@pytest.mark.parametrize(("options", "code", "told"), WRONG_USES.values(), ids=WRONG_USES)
def test_wrong_use_is_told_in_a_line(tmp_path: Path, options: list[str], code: int, told: str) -> None:
    """The documented code, the option and the mend; nothing is written."""
    (tmp_path / "data.jsonl").write_text(json.dumps({"instruction": "x"}))
    data = "data.jsonl" if options else "nowhere.jsonl"
    done = command("score", data, "--small", str(tmp_path), *options, cwd=tmp_path)
    words = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == code, done.stderr
    assert told in words.replace("Invalid value for ", "")
    assert "Traceback" not in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["data.jsonl"]


@pytest.mark.parametrize(
    ("data", "out", "selected"),
    [
        ("/far/away/alpaca.v2.jsonl.gz", "alpaca.v2.scores.jsonl", "alpaca.v2.scores.selected.jsonl"),
        ("pool.json", "pool.scores.jsonl", "pool.scores.selected.json"),
        ("pool.parquet", "pool.scores.jsonl", "pool.scores.selected.parquet"),
        ("hub:org/name", "name.scores.jsonl", "name.scores.selected.jsonl"),
    ],
)
def test_files_are_named_after_the_data(data: str, out: str, selected: str) -> None:
    """In the working directory; the chosen rows are a file of the data's own kind."""
    assert default_out(data) == Path(out)
    assert default_selected(data, default_out(data)) == Path(selected)


def test_chosen_rows_are_not_written_over_anything(tmp_path: Path) -> None:
    """Not over the scores, and not over a file from before there were scores to choose by."""
    data, out = str(tmp_path / "data.jsonl"), tmp_path / "o.jsonl"
    with pytest.raises(ConfigError, match="is where the scores go"):
        check_paths(data, out, out)
    (tmp_path / "best.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match=r"best\.jsonl: is there already"):
        check_paths(data, out, tmp_path / "best.jsonl")
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        check_paths(data, out, tmp_path / "d.jsonl")
    with pytest.raises(SeedError, match="unknown kind of file"):
        check_paths("data.csv", out, tmp_path / "new.jsonl")


def test_a_line_says_how_far_how_fast_and_what_went_wrong() -> None:
    """Nothing that is not known: no rate of no rows, no count of no failures."""
    assert line(STATUS) == "scoring: 640/52002 rows, 341 tok/s, eta 1:02:03, 3 without a score, 2 unusable"
    assert line(ScoreStatus(phase="scoring", total=10)) == "scoring: 0/10 rows, 0 tok/s, eta -"
    assert line(ScoreStatus(phase="reading data.jsonl")) == "reading data.jsonl"


def watch(observe: Observer, statuses: list[ScoreStatus], each_s: float) -> None:
    """Let something watch a `score` that is in one state after the other, for so long each."""

    async def main() -> None:
        current = statuses[0]
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(observe(lambda: current))
            for current in statuses:  # noqa: B007  # the lambda looks at it
                await asyncio.sleep(each_s)
            watching.cancel()

    run_virtual(main())


def test_plain_lines_come_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    """One in ten seconds, on standard error, and none while nothing changes."""
    watch(print_lines, [ScoreStatus(phase="loading the models"), STATUS, STATUS], 60.0)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["loading the models", line(STATUS)]
    assert not captured.out


def test_a_terminal_shows_a_bar() -> None:
    """With rows, rate, time left and failures; it is gone when the work is over."""
    page = StringIO()
    console = Console(file=page, force_terminal=True, width=120, color_system=None)
    watch(lambda look: draw(console, look), [ScoreStatus(phase="loading the models"), STATUS], 1.0)
    assert "loading the models" in page.getvalue()
    assert "640/52002 341 tok/s, eta 1:02:03, 3 without a score, 2 unusable" in page.getvalue()


def test_the_report_at_the_end(tmp_path: Path) -> None:
    """Rows by status, IFD by length, what was chosen and what not, seconds and tokens a second."""
    tally = ScoreTally()
    for ifd in (0.2, 0.4, 0.6):
        tally.add({"small": {"status": "ok", "ifd": ifd, "n_response_tokens": 30}})
    tally.add({"small": {"status": "empty", "ifd": None, "n_response_tokens": 0}})
    choice = Choice(np.array([1, 2]), {"no score under small: empty": 1, "not among the top 2": 1})
    status = ScoreStatus(phase="", rows=4, total=4, resumed=1, tokens=900, scoring_s=3.0)
    page = StringIO()
    job = make_job(tmp_path, out=Path("o.jsonl"), selected_out=Path("best.jsonl"))
    print_result(Console(file=page, width=80), job, ScoreResult(tally.report(), choice, status))
    text = page.getvalue()
    for expected in (
        "o.jsonl: 4 rows",
        "small: 1 empty, 3 ok",
        "IFD under small by response length",
        "best.jsonl: 2 rows chosen",
        "1 left out: no score under small: empty",
        "3 rows scored in 0:03, 900 tokens, 300 tok/s",
    ):
        assert expected in text
    assert re.search(r"21-50 │ +3 │", text)


def test_how_to_go_on(tmp_path: Path) -> None:
    """`--fresh` would throw away what was kept."""
    assert stopped(make_job(tmp_path)) == "stopped; what is done is kept: the same command goes on"
    assert stopped(make_job(tmp_path, fresh=True)).endswith("the same command goes on, without --fresh")
