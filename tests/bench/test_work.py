"""What the scoring benchmarks count: useful tokens, operations and samples, where the truth is known."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness import samples as rows
from bench.harness.work import Shape, work_of
from star_agents.core.records import Sample
from star_agents.scoring.conventions import Pass

SHAPE = Shape(layer_weights=1000, attention_widths=((8, None), (8, 2)), head_weights=50)
WORDS = st.text("ab", max_size=6)


def test_a_sequence_alone_costs_what_the_formula_says() -> None:
    """Four tokens of which the last is only foreseen: three computed, which see 6 pairs, and 5 in a window of two."""
    found = work_of([Pass((1, 2, 3, 4), 2)], SHAPE)
    assert (found.tokens, found.scored) == (3, 2)
    assert found.flops == 2 * 1000 * 3 + 4 * 8 * (6 + 5) + 2 * 50 * 2


def test_what_begins_alike_is_counted_once() -> None:
    """The third token of the second sequence is all that is new, and it sees three; a repeated pass is free."""
    one, two = Pass((1, 2, 3, 9), 3), Pass((1, 2, 7, 9), 3)
    both = work_of([one, two, one], SHAPE)
    assert (both.tokens, both.scored) == (4, 2)
    assert both.flops == 2 * 1000 * 4 + 4 * 8 * ((6 + 3) + (5 + 2)) + 2 * 50 * 2


@given(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=8).map(tuple), max_size=8))
def test_useful_tokens_are_the_different_beginnings(sequences: list[tuple[int, ...]]) -> None:
    """The count by sorted neighbours is that of a set of all beginnings."""
    beginnings = {ids[:end] for ids in sequences for end in range(1, len(ids))}
    assert work_of([Pass(ids, 1) for ids in sequences], SHAPE).tokens == len(beginnings)


def test_independent_samples_are_all_different() -> None:
    """More samples than there are rows are shuffled rows, and no prompt occurs twice."""
    source = rows.rows_of()
    many = rows.independent(source, 3 * len(source))
    assert many[: len(source)] == source
    texts = [each.response for each in many if len(each.response.split()) > 12]
    assert len(set(texts)) == len(texts)
    assert rows.independent(source, 3 * len(source)) == many


def test_sets_are_five_answers_to_each_prompt() -> None:
    """Prompts stay together, and are as many as there are sets."""
    made = rows.sets(rows.rows_of(), 20)
    prompts = [(each.instruction, each.context) for each in made]
    assert [prompts.count(each) for each in prompts] == [rows.SET] * 20
    assert prompts == sorted(prompts, key=prompts.index)


def test_long_samples_have_the_length_asked_for() -> None:
    """A token a character: a quarter of each is the prompt."""
    (made,) = rows.long(rows.rows_of(), 1, lambda text, tokens: text[:tokens])
    assert (len(made.instruction), len(made.response)) == (rows.LONG_PROMPT, rows.LONG_RESPONSE)


def test_candidates_are_several_real_answers_each() -> None:
    """Four or five to a prompt, and no two alike."""
    for group in rows.candidates():
        assert len({each.instruction for each in group}) == 1
        assert len({each.response for each in group}) == len(group) >= 4


@given(st.lists(st.builds(Sample, WORDS, WORDS, WORDS), max_size=4))
def test_samples_are_read_as_they_were_written(samples: list[Sample]) -> None:
    """Through a file, with every text as it was."""
    with TemporaryDirectory() as folder:
        assert rows.read_samples(rows.write_samples(samples, Path(folder, "samples.jsonl"))) == samples


@pytest.mark.parametrize("count", [1, 7, 100])
def test_as_many_independent_samples_as_asked_for(count: int) -> None:
    """From the rows themselves while there are enough."""
    source = rows.rows_of()
    assert len(rows.independent(source, count)) == count
