from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import Sample, ScoreStatus
from star_agents.scoring.conventions import (
    Exact,
    Glued,
    Layout,
    Pass,
    cherry,
    loss_ratio,
    perplexity_ratio,
    superfiltering,
)
from star_agents.scoring.templates import load_template
from star_agents.scoring.tokens import Tokens
from tests.scoring.tiny import BOS, EOS, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
TOKENS = Tokens(TOKENIZER, SimpleNamespace())
PLAIN = load_template("plain", TOKENIZER)
EXACT = Exact(TOKENS, PLAIN, 64)

nonempty = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def passes_of(layout: Layout) -> tuple[Pass, Pass]:
    assert layout.passes is not None
    return layout.passes


@given(st.sampled_from(["", " ", "\n", "\n\n", '"', "'", "\t", EOS, BOS, "\u200b", "é"]), nonempty)
def test_exact_scores_the_same_tokens_alone_and_given_the_prompt(head: str, rest: str) -> None:
    """However R begins: no token straddles the border, and both means run over R's own tokens."""
    alone, cond = passes_of(EXACT.lay_out(Sample("Why?", head + rest)))
    assert alone.ids[alone.start :] == cond.ids[cond.start :] == tuple(TOKENS.plain(head + rest))
    assert TOKENIZER.decode(cond.ids) == f"{BOS}Why?\n{head}{rest}"


def test_exact_puts_one_anchor_before_each_pass() -> None:
    """A chat template that writes the BOS itself gets no second one."""
    for name in ("chat", "plain"):
        alone, cond = passes_of(Exact(TOKENS, load_template(name, TOKENIZER), 64).lay_out(Sample("Hi", "yes")))
        assert alone.ids.count(TOKENS.anchor) == cond.ids.count(TOKENS.anchor) == 1
        assert alone.ids[0] == cond.ids[0] == TOKENS.anchor


@pytest.mark.parametrize(
    ("limit", "status", "num_scored"),
    [(9, ScoreStatus.OK, 3), (8, ScoreStatus.TRUNCATED, 2), (7, ScoreStatus.TRUNCATED, 1)],
)
def test_exact_cuts_the_tail_of_both_passes_and_says_so(limit: int, status: ScoreStatus, num_scored: int) -> None:
    """The head of R stays, the same head in both."""
    layout = Exact(TOKENS, PLAIN, limit).lay_out(Sample("wxyz", "qvj"))
    alone, cond = passes_of(layout)
    assert layout.status is status
    assert alone.ids[1:] == cond.ids[cond.start :] == tuple(TOKENS.plain("qvj")[:num_scored])


@pytest.mark.parametrize("limit", [6, 5, 1])
def test_exact_leaves_out_what_the_prompt_pushes_out(limit: int) -> None:
    """No room for a single token of R is a status of its own."""
    assert Exact(TOKENS, PLAIN, limit).lay_out(Sample("wxyz", "qvj")) == Layout(ScoreStatus.PROMPT_TOO_LONG, 6)


@pytest.mark.parametrize("convention", [EXACT, superfiltering(TOKENS, 99), cherry(TOKENS, 999)])
def test_an_empty_response_is_said_to_be_empty(convention: Exact) -> None:
    """It has no score, and that is not the score 0."""
    layout = convention.lay_out(Sample("Say nothing.", ""))
    assert (layout.status, layout.passes) == (ScoreStatus.EMPTY, None)


def test_superfiltering_needs_two_tokens_where_the_tokenizer_adds_none() -> None:
    """Alone, its first token has nothing before it."""
    convention = superfiltering(TOKENS, 99)
    assert convention.lay_out(Sample("Pick.", "q")).status is ScoreStatus.TOO_SHORT
    assert convention.lay_out(Sample("Pick.", "qv")).status is ScoreStatus.OK


def test_a_prompt_that_fills_the_window_leaves_nothing_to_score() -> None:
    """The limits of the public programs are bounded by the model's own positions."""
    assert superfiltering(TOKENS, 4).lay_out(Sample("wxyz", "qvj")).status is ScoreStatus.PROMPT_TOO_LONG


def test_superfiltering_cuts_both_passes_to_its_limit() -> None:
    """`tok(R)[:L - a + 1]` and `tok(P + R)[:L]`, with one more token than fits, said so."""
    layout = superfiltering(TOKENS, 8).lay_out(Sample("wxyz", "qvjqv"))
    alone, cond = passes_of(layout)
    assert layout.status is ScoreStatus.TRUNCATED
    assert (len(alone.ids), len(cond.ids), cond.start) == (4, 8, 5)


def test_a_row_whose_means_would_be_cut_unequally_is_left_out() -> None:
    """Cherry_LLM allows 4 tokens for its header; with a shorter one R alone would keep more of its tail."""
    convention = Glued(tokens=TOKENS, template=PLAIN, max_tokens=8, header="", header_room=4, ratio=loss_ratio)
    layout = convention.lay_out(Sample("wxyz", "qvjqv"))
    assert (layout.status, layout.reason, layout.passes) == (ScoreStatus.PROMPT_TOO_LONG, "cut_unequally", None)


def test_two_huge_perplexities_still_have_a_ratio() -> None:
    """exp(100) is beyond float32 and exp(800) beyond float64; their logarithms are not."""
    assert perplexity_ratio(100.0, 100.5) == pytest.approx(1.6487, rel=1e-4)
    assert perplexity_ratio(800.0, 795.0) == pytest.approx(0.0067379, rel=1e-4)
    assert loss_ratio(4.0, 3.0) == 0.75
