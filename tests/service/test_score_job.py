"""`score` from data to scores: interrupted anywhere it goes on, and leaves what an unbroken start leaves."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError, RunInUseError, ScorerError, SeedError
from star_agents.service.scores.choosing import Rule, Selection, Top
from star_agents.service.scores.job import part_path
from star_agents.service.scores.progress import ScoreStatus
from star_agents.storage.score_journal import ScoreJournal
from star_agents.storage.seeds import row_file
from tests.loops import run_real
from tests.service.score_world import Crew, do, make_job, write_data

BEST = Selection(rule=Rule.GAP, top=Top(count=5))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.zst", ".parquet"])
def test_one_row_in_one_row_out(tmp_path: Path, kind: str) -> None:
    """In order, whatever a row is; the report counts each, and only the scores and their note are left."""
    write_data(tmp_path / "data.jsonl", 90)
    crew, out = Crew(), tmp_path / f"scores{kind}"
    result = run_real(do(make_job(tmp_path, out=out), crew))
    rows: list[Any] = [row.value for row in row_file(str(out)).rows(0)]
    assert [row["number"] for row in rows] == list(range(90))
    statuses = {name: [row["small"]["status"] for row in rows].count(name) for name in ("ok", "empty", "unusable")}
    assert result.report["rows"] == sum(statuses.values()) == 90
    assert result.report["status"] == {"small": statuses, "large": statuses}
    assert (result.status.unusable, result.status.unscored) == (statuses["unusable"], statuses["empty"])
    assert rows[8]["gap"] == rows[8]["small"]["ifd"] - rows[8]["large"]["ifd"]
    assert names(tmp_path) == sorted(["data.jsonl", out.name, f"{out.name}.meta.json"])
    assert sum(map(len, crew.asked)) == 90 - statuses["unusable"]


@pytest.mark.timeout(300)  # a disk that others keep busy
@settings(max_examples=30)
@given(
    num_rows=st.integers(1, 60),
    block_rows=st.integers(2, 9),
    kind=st.sampled_from([".jsonl", ".jsonl.zst", ".parquet"]),
    stops=st.lists(st.tuples(st.integers(0, 6), st.floats(0.0, 1.0)), max_size=3),
)
def test_interrupted_anywhere_it_leaves_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    num_rows: int,
    block_rows: int,
    kind: str,
    stops: list[tuple[int, float]],
) -> None:
    """Starts that end after some calls, with the part file cut at any byte; then one that ends well."""
    folder = tmp_path_factory.mktemp("job")
    write_data(folder / "data.jsonl", num_rows)
    whole, broken = (make_job(folder, out=folder / f"{name}{kind}", block_rows=block_rows) for name in ("a", "b"))
    unbroken = Crew()
    expected = run_real(do(whole, unbroken))
    for patience, share in stops:
        with_end = Crew(patience=patience)
        try:
            run_real(do(broken, with_end))
        except ScorerError:
            part = part_path(broken.out)
            if part.exists():
                part.write_bytes(part.read_bytes()[: int(part.stat().st_size * share)])
    crew = Crew()
    result = run_real(do(broken, crew))
    assert broken.out.read_bytes() == whole.out.read_bytes()
    assert result.report == expected.report
    assert all(call in unbroken.asked for call in crew.asked)  # as in the unbroken start, so scored in the same company
    assert not part_path(broken.out).exists()


def test_what_is_durable_is_not_asked_again(tmp_path: Path) -> None:
    """Nine calls before the end of the first start; the second makes up for what those in flight came to."""
    write_data(tmp_path / "data.jsonl", 200)
    first, second, seen = Crew(patience=9), Crew(), list[ScoreStatus]()
    with pytest.raises(ScorerError, match="tired"):
        run_real(do(make_job(tmp_path), first))
    result = run_real(do(make_job(tmp_path), second, seen))
    kept = result.status.resumed
    assert 9 - first.capacity - 2 <= kept / 4 <= 9
    assert len(second.asked) == (200 - kept) / 4
    assert {status.rows for status in seen} <= {0, *range(kept, 201, 4)}


def test_a_finished_job_is_found_finished(tmp_path: Path) -> None:
    """Nothing is loaded and nothing written; a choice can still be made, and made again."""
    write_data(tmp_path / "data.jsonl", 30)
    crew, job = Crew(), make_job(tmp_path)
    first = run_real(do(job, crew))
    content = job.out.read_bytes()
    again = run_real(do(job, crew))
    chosen = make_job(tmp_path, selection=BEST, selected_out=tmp_path / "best.jsonl")
    choices = [run_real(do(chosen, crew)).choice for _ in range(2)]
    assert crew.times_opened == 1
    assert (again.report, job.out.read_bytes()) == (first.report, content)
    rows = (tmp_path / "data.jsonl").read_bytes().splitlines(keepends=True)
    for choice in choices:
        assert choice is not None
        assert (tmp_path / "best.jsonl").read_bytes() == b"".join(rows[number] for number in choice.numbers)


def test_the_chosen_rows_are_the_best_of_the_scores(tmp_path: Path) -> None:
    """Scoring and choosing in one start; the rows are those of the data set, in its order."""
    write_data(tmp_path / "data.jsonl", 40)
    job = make_job(tmp_path, selection=BEST, selected_out=tmp_path / "best.jsonl", out=tmp_path / "s.parquet")
    run_real(do(job, Crew()))
    scores: list[Any] = [row.value for row in row_file(str(job.out)).rows(0)]
    gaps = sorted((-row["gap"], row["number"]) for row in scores if row["gap"] is not None)
    data = (tmp_path / "data.jsonl").read_text().splitlines()
    expected = [data[number] for number in sorted(number for _, number in gaps[:5])]
    assert (tmp_path / "best.jsonl").read_text().splitlines() == expected


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "small": ({"small": "org/other"}, "was begun with --small org/small, and now it is org/other"),
    "large": ({"large": None}, "was begun with --large org/large, and now it is not given"),
    "convention": ({"ifd": "cherry"}, "was begun with --ifd exact, and now it is cherry"),
    "template": ({"template": "alpaca"}, "was begun with --template chat, and now it is alpaca"),
    "length": ({"max_tokens": 64}, "was begun with --max-tokens 2048, and now it is 64"),
    "dtype": ({"dtype": "float16"}, "was begun with --dtype auto, and now it is float16"),
    "texts": ({"texts": True}, "was begun with --texts not given, and now it is given"),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("patience", [3, None], ids=["part", "finished"])
def test_other_settings_are_refused(tmp_path: Path, change: dict[str, Any], told: str, patience: int | None) -> None:
    """One line that names the option, both values and the mend; nothing is loaded, and the file stays."""
    write_data(tmp_path / "data.jsonl", 60)
    if patience is None:
        run_real(do(make_job(tmp_path), Crew()))
    else:
        with pytest.raises(ScorerError):
            run_real(do(make_job(tmp_path), Crew(patience=patience)))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    crew = Crew()
    with pytest.raises(ConfigError) as refusal:
        run_real(do(make_job(tmp_path, **change), crew))
    assert f"scores.jsonl: {told}; restore that, name another --out, or begin anew with --fresh" in str(refusal.value)
    assert crew.times_opened == 0
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_edited_data_are_refused(tmp_path: Path) -> None:
    """By content: the same rows in another file are the same data."""
    write_data(tmp_path / "data.jsonl", 60)
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path), Crew(patience=5)))
    content = (tmp_path / "data.jsonl").read_text()
    (tmp_path / "data.jsonl").write_text(content.replace("Say 59.", "Say 60."))
    with pytest.raises(ConfigError, match="DATA is not what it was when this file was begun; restore"):
        run_real(do(make_job(tmp_path), Crew()))
    (tmp_path / "copy.jsonl").write_text(content)
    assert run_real(do(make_job(tmp_path, data=str(tmp_path / "copy.jsonl")), Crew())).status.resumed > 0


def test_other_files_of_a_model_are_refused(tmp_path: Path) -> None:
    """A folder whose files were changed is another model, under the same name; a moved one is the same."""
    write_data(tmp_path / "data.jsonl", 60)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path, small=str(folder)), Crew(patience=5)))
    folder.rename(tmp_path / "moved")
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path, small=str(tmp_path / "moved")), Crew(patience=1)))
    (tmp_path / "moved" / "config.json").write_text('{"changed": 1}')
    with pytest.raises(ConfigError, match="the files of --small are not what they were"):
        run_real(do(make_job(tmp_path, small=str(tmp_path / "moved")), Crew()))


def test_a_template_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    """A template file may lie elsewhere; an edited one is another template."""
    write_data(tmp_path / "data.jsonl", 60)
    (tmp_path / "mine.jinja").write_text("{{ instruction }}\n")
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path, template=str(tmp_path / "mine.jinja")), Crew(patience=5)))
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "mine.jinja").rename(tmp_path / "moved" / "mine.jinja")
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path, template=str(moved)), Crew(patience=1)))
    moved.write_text("{{ instruction }}\n\n")
    with pytest.raises(ConfigError, match="the file of --template is not what it was"):
        run_real(do(make_job(tmp_path, template=str(moved)), Crew()))


@pytest.mark.fault("F-61")
def test_another_scorer_is_refused(tmp_path: Path) -> None:
    """What only the scoring processes know is looked at when they run: versions, and what `auto` came to."""
    write_data(tmp_path / "data.jsonl", 60)
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path), Crew(patience=5)))
    with pytest.raises(ConfigError) as refusal:
        run_real(do(make_job(tmp_path), Crew(fingerprint={"torch": "2.12", "device": "cuda"})))
    assert "was begun with torch 2.11, and now it is 2.12" in str(refusal.value)
    assert "was begun with a device of the kind cpu, and now it is cuda" in str(refusal.value)


def test_fresh_begins_anew(tmp_path: Path) -> None:
    """Over a part file, and over finished scores; after a stop it is gone on with without `--fresh`."""
    write_data(tmp_path / "data.jsonl", 60)
    run_real(do(make_job(tmp_path), Crew()))
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path, ifd="cherry", fresh=True), Crew(patience=5)))
    assert names(tmp_path) == ["data.jsonl", "scores.jsonl.part"]
    assert run_real(do(make_job(tmp_path, ifd="cherry"), Crew())).status.resumed > 0
    crew = Crew()
    assert run_real(do(make_job(tmp_path, fresh=True), crew)).status.resumed == 0
    assert len(crew.asked) == 15


def test_fresh_takes_nothing_away_before_the_models_run(tmp_path: Path) -> None:
    """A start that cannot load them costs nothing."""
    write_data(tmp_path / "data.jsonl", 60)
    run_real(do(make_job(tmp_path), Crew()))
    before = (tmp_path / "scores.jsonl").read_bytes()

    class NoModel(Crew):
        def opened(self) -> Any:  # noqa: ANN401  # never returns
            raise ScorerError("no such model")

    with pytest.raises(ScorerError, match="no such model"):
        run_real(do(make_job(tmp_path, fresh=True), NoModel()))
    assert (tmp_path / "scores.jsonl").read_bytes() == before
    assert names(tmp_path) == ["data.jsonl", "scores.jsonl", "scores.jsonl.meta.json"]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    """Or one that was edited since: the message says what to do, and nothing is loaded."""
    write_data(tmp_path / "data.jsonl", 30)
    (tmp_path / "scores.jsonl").write_text("mine")
    crew = Crew()
    with pytest.raises(ConfigError, match="is there already, and not as `score` left it: move it away"):
        run_real(do(make_job(tmp_path, fresh=fresh), crew))
    assert (tmp_path / "scores.jsonl").read_text() == "mine"
    assert crew.times_opened == 0


def test_killed_between_finishing_and_tidying_up(tmp_path: Path) -> None:
    """Finished scores with a part file beside them: the part is dropped. A note alone: the scores are written again."""
    write_data(tmp_path / "data.jsonl", 30)
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path), Crew(patience=6)))
    part = part_path(tmp_path / "scores.jsonl").read_bytes()
    run_real(do(make_job(tmp_path), Crew()))
    content = (tmp_path / "scores.jsonl").read_bytes()
    part_path(tmp_path / "scores.jsonl").write_bytes(part)
    crew = Crew()
    run_real(do(make_job(tmp_path), crew))
    assert (crew.times_opened, names(tmp_path)) == (0, ["data.jsonl", "scores.jsonl", "scores.jsonl.meta.json"])
    (tmp_path / "scores.jsonl").unlink()
    part_path(tmp_path / "scores.jsonl").write_bytes(part)
    run_real(do(make_job(tmp_path), crew))
    assert (tmp_path / "scores.jsonl").read_bytes() == content


def test_two_at_the_same_output(tmp_path: Path) -> None:
    """The second is told that the first is at it."""
    write_data(tmp_path / "data.jsonl", 30)
    journal = ScoreJournal(part_path(tmp_path / "scores.jsonl"))
    try:
        with pytest.raises(RunInUseError):
            run_real(do(make_job(tmp_path), Crew()))
    finally:
        journal.close()


def test_data_that_change_meanwhile_are_noticed(tmp_path: Path) -> None:
    """Scores of two versions of a data set are never published."""
    write_data(tmp_path / "data.jsonl", 60)

    class Editor(Crew):
        async def score(self, samples: Any) -> Any:  # noqa: ANN401  # as the port has it
            with (tmp_path / "data.jsonl").open("a") as file:
                file.write(json.dumps({"instruction": "one more"}) + "\n")
            return await super().score(samples)

    with pytest.raises(SeedError, match="was changed while it was scored"):
        run_real(do(make_job(tmp_path), Editor()))
    assert names(tmp_path) == ["data.jsonl"]


def test_a_wrong_data_set_ends_early(tmp_path: Path) -> None:
    """Too many rows without an instruction, also where they come after a resume: the line, the reason, the count."""
    write_data(tmp_path / "data.jsonl", 60)
    with (tmp_path / "data.jsonl").open("a") as file:
        file.writelines('{"output": "x"}\n' for _ in range(200))
    with pytest.raises(ScorerError):
        run_real(do(make_job(tmp_path), Crew(patience=15)))
    for _ in range(2):
        with pytest.raises(SeedError, match=r"data.jsonl:\d+: no field named instruction.* rows are unusable"):
            run_real(do(make_job(tmp_path), Crew()))


def test_cancelled_it_keeps_what_is_durable(tmp_path: Path) -> None:
    """Whatever it is in the middle of, its files are whole and closed when it is over."""
    write_data(tmp_path / "data.jsonl", 400)

    async def cancelled_after(turns: int) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(do(make_job(tmp_path), Crew()))
            for _ in range(turns):
                await asyncio.sleep(0.001)
            task.cancel()

    for turns in (0, 1, 3, 10, 30):
        run_real(cancelled_after(turns))
    run_real(do(make_job(tmp_path), Crew()))
    write_data(tmp_path / "other.jsonl", 400)
    other = make_job(tmp_path, data=str(tmp_path / "other.jsonl"), out=tmp_path / "other.scores.jsonl")
    run_real(do(other, Crew()))
    assert (tmp_path / "scores.jsonl").read_bytes() == other.out.read_bytes()
