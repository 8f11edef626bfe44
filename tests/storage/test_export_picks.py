"""What of a run goes into a data set: scores, preference pairs, halves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import Graded
from star_agents.storage.export import ExportOptions, export
from star_agents.storage.picks import Choice, Left, Pick, Preferences, picks
from star_agents.storage.splits import split_of
from tests.loops import run_real
from tests.storage.contests import Answer, contest, row, write_run

ANY_LEAD = Preferences()


def paired(graded: Graded, wish: Preferences = ANY_LEAD) -> Pick | Left:
    (item,) = picks([row(graded)], Choice(preferences=wish))
    return item


def why(graded: Graded, wish: Preferences = ANY_LEAD) -> str:
    item = paired(graded, wish)
    assert isinstance(item, Left)
    return item.reason


THREE = (Answer(text="good", pi=0.9), Answer(text="fair", pi=0.5), Answer(text="poor", pi=0.1))


def test_a_pair_is_the_winner_and_the_worst_loser() -> None:
    """Two answers to one text; the furthest apart."""
    pick = paired(contest(7, THREE))
    assert isinstance(pick, Pick)
    assert pick.rejected is not None
    assert (pick.example.response, pick.rejected.response) == ("good", "poor")
    assert pick.example.question == pick.rejected.question == "Question 7?"


def test_a_margin_asks_for_distance() -> None:
    """Met to the last bit it is met; above it the seed leaves no pair, with the distance."""
    graded = contest(0, (Answer(text="good", pi=0.75), Answer(text="fair", pi=0.25)))
    assert isinstance(paired(graded, Preferences(margin=0.5)), Pick)
    item = paired(graded, Preferences(margin=0.51))
    assert isinstance(item, Left)
    assert (item.reason, item.detail) == ("export.margin", "0.500")


def test_equal_answers_make_no_pair() -> None:
    """Neither by their score nor by their text, even without a margin."""
    assert why(contest(0, (Answer(text="a", pi=0.5), Answer(text="b", pi=0.5)))) == "export.margin"
    assert why(contest(0, (Answer(text="a", pi=0.5), Answer(text="a", pi=0.1)))) == "export.no_loser"


def test_a_loser_of_another_wording_is_taken_only_when_asked() -> None:
    """DPO compares two answers to one prompt; with `any_prompt` the winner's prompt stands for both."""
    graded = contest(0, (Answer(text="good", pi=0.9), Answer(text="poor", pi=0.1, instruction="Else?")))
    assert why(graded) == "export.no_loser"
    pick = paired(graded, Preferences(any_prompt=True))
    assert isinstance(pick, Pick)
    assert pick.example.question == "Question 0?"


def test_a_spared_loser_counts_with_the_most_it_could_have_had() -> None:
    """Lazy judging left its pi open, and pi is at most pi_dual."""
    graded = contest(0, (Answer(text="good", pi=0.9), Answer(text="spared", pi_dual=0.3)))
    assert isinstance(paired(graded, Preferences(margin=0.6)), Pick)
    assert why(graded, Preferences(margin=0.61)) == "export.margin"


def test_a_text_that_was_cut_teaches_nothing_about_preference() -> None:
    """A candidate that ran into its token limit is no loser of a pair."""
    cut = Answer(text="poor and cu", pi=0.0, reason="truncated")
    assert why(contest(0, (Answer(text="good", pi=0.9), cut))) == "export.no_loser"


def test_a_low_score_and_an_unknown_one_are_left_out() -> None:
    """Each with its own reason; the bound itself is in."""
    rows = [row(contest(n, (Answer(text="a", pi=pi),))) for n, pi in enumerate((0.4, 0.5, None))]
    found = list(picks(rows, Choice(min_score=0.5)))
    assert [item.reason if isinstance(item, Left) else "" for item in found] == [
        "export.min_score",
        "",
        "export.no_score",
    ]


@given(st.lists(st.text(), unique=True, max_size=50), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_share_only_adds_to_the_test_rows(keys: Sequence[str], one: float, more: float) -> None:
    """So nothing that was once tested on is ever trained on."""
    small = {key for key in keys if split_of(key, one) == "test"}
    assert small <= {key for key in keys if split_of(key, one + more) == "test"}
    assert not {key for key in keys if split_of(key, 0.0) == "test"}


def test_the_share_is_about_what_was_asked() -> None:
    """Of ten thousand names a twentieth, within four standard deviations."""
    num_tests = sum(split_of(f"seed-{n}", 0.05) == "test" for n in range(10_000))
    assert 413 < num_tests < 587


def json_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def halves(folder: Path) -> dict[str, set[str]]:
    return {
        split: {line["metadata"]["source_id"] for line in json_lines(folder / f"{split}.jsonl")}
        for split in ("train", "test")
    }


def test_halves_stay_as_they_are_while_the_run_goes_on(tmp_path: Path) -> None:
    """Rows that come later, in another order, move no row from one half to the other."""
    seeds = [contest(n, (Answer(text=f"a{n}", pi=0.5),), source_id=f"id-{n}") for n in range(60)]
    found = []
    for name, some in (("part", seeds[10:40]), ("whole", seeds[::-1])):
        run_real(write_run(tmp_path / f"{name}.db", some))
        exported = export(
            tmp_path / f"{name}.db", tmp_path / name, row_format="messages", options=ExportOptions(test_share=0.4)
        )
        found.append(halves(tmp_path / name))
        assert exported.contents.splits.total() == len(some)
    part, whole = found
    assert part["test"] < whole["test"]
    assert part["train"] < whole["train"]
    assert len(whole["test"]) > 10
    assert not whole["train"] & whole["test"]


def test_pairs_are_written_with_both_lineages(tmp_path: Path) -> None:
    """And what gave no pair is counted, in the file and in the card."""
    seeds = [contest(0, THREE), contest(1, (Answer(text="alone", pi=0.5),)), contest(2, THREE, winner=None)]
    run_real(write_run(tmp_path / "run.db", seeds))
    exported = export(tmp_path / "run.db", tmp_path / "out", row_format="dpo")
    (pair,) = json_lines(exported.data_file)
    assert pair["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert pair["chosen"] == [{"role": "assistant", "content": "good"}]
    assert pair["rejected"] == [{"role": "assistant", "content": "poor"}]
    assert (pair["metadata"]["pi"], pair["rejected_metadata"]["pi"]) == (0.9, 0.1)
    assert exported.contents.reasons == {"export.no_loser": 1, "no_fallback": 1}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| `export.no_loser: no other answer to the same instruction has a known score` | 1 |" in card


def test_files_of_an_earlier_export_with_other_options_are_gone(tmp_path: Path) -> None:
    """A test half that is left over would be trained on."""
    run_real(write_run(tmp_path / "run.db", [contest(n, THREE) for n in range(20)]))
    for row_format in ("messages", "datasets"):
        out = tmp_path / row_format
        export(tmp_path / "run.db", out, row_format=row_format, options=ExportOptions(test_share=0.5))
        assert list(out.glob("test*"))
        export(tmp_path / "run.db", out, row_format=row_format)
        assert not list(out.glob("test*"))
        assert not list(out.glob(".tmp*"))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_every_finished_seed_is_accounted_for(tmp_path: Path, share: float) -> None:
    """Rows and dropped seeds add up to what the run finished, whatever is asked for."""
    seeds = [contest(n, THREE, winner=None if n % 5 == 0 else 1) for n in range(20)]
    run_real(write_run(tmp_path / "run.db", seeds))
    options = ExportOptions(choice=Choice(min_score=0.6), test_share=share)
    told: list[int] = []
    exported = export(tmp_path / "run.db", tmp_path / "out", row_format="alpaca", options=options, tell=told.append)
    assert exported.contents.rows + exported.contents.dropped == 20
    assert exported.contents.reasons == {"no_fallback": 4, "export.min_score": 16}
    assert told == list(range(1, 21))
