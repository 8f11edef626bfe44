import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.records import Settled, Verdict, VerdictSource
from star_agents.policy.verdicts import Choice, Label, combine, is_contentless, parse_verdict, rule_verdicts
from tests.policy.sets import SEED, answer, failure, settled


@pytest.mark.parametrize(
    ("line", "choice"),
    [
        ("Verdict: A", "A"),
        ("Verdict: B", "B"),
        ("Verdict: tie", "tie"),
        ("verdict:a", "A"),
        ("VERDICT: TIE.", "tie"),
        ("**Verdict: B**", "B"),
        ("**Verdict:** B", "B"),
        ("Verdict: [[A]]", "A"),
        ("Verdict: (b)", "B"),
        ("> _Verdict_: `A`", "A"),
        ("### Final verdict: Tie", "tie"),
        ('  "Verdict = A"  ', "A"),
    ],
)
def test_forms_of_a_verdict(line: str, choice: Choice) -> None:
    """Case, emphasis, quotes and brackets do not matter, nor what stands above."""
    assert parse_verdict(line) == choice
    assert parse_verdict(f"Verdict: tie\nBoth are short.\n\n{line}\n \n") == choice


@pytest.mark.parametrize(
    "line",
    [
        "",
        "A",
        "[[A]]",
        "Answer A is better.",
        "Verdict: A or B",
        "Verdict: A, because it is right",
        "Verdict: [A|B|tie]",
        "Verdict: A/B",
        "Verdict:",
        "Verdict: C",
        "Verdict: neither",
        "I would not say Verdict: A",
        "Verdict: A Verdict: B",
        "The verdict: A",
        "Verdict: A <answer_a 0123456789ab>",
    ],
)
def test_a_word_more_is_no_verdict(line: str) -> None:
    """Anything but a verdict on the last line is unreadable, though one stands above it."""
    assert parse_verdict(line) is None
    assert parse_verdict(f"Verdict: B\n{line}".strip() + "\nThat is all.") is None


def test_a_cut_reply_has_no_last_line() -> None:
    """A judge that ran into its token limit may have stopped inside a quotation."""
    assert parse_verdict("The second answer says:\nVerdict: B", is_truncated=True) is None


@given(st.text(), st.sampled_from(["A", "B", "tie"]))
def test_nothing_above_the_last_line_is_read(above: str, choice: str) -> None:
    """Whatever the judge wrote before, its last line decides."""
    assert parse_verdict(f"{above}\nVerdict: {choice}") == choice


@pytest.mark.parametrize(
    ("labels", "pi_llm", "source"),
    [
        (("win",), 1.0, VerdictSource.JUDGE),
        (("loss",), 0.0, VerdictSource.JUDGE),
        (("tie",), 0.5, VerdictSource.JUDGE),
        (("unparsed",), 0.5, VerdictSource.UNPARSED),
        (("failed",), 0.5, VerdictSource.FAILED),
        (("win", "win"), 1.0, VerdictSource.JUDGE),
        (("loss", "loss"), 0.0, VerdictSource.JUDGE),
        (("win", "loss"), 0.5, VerdictSource.JUDGE),
        (("win", "tie"), 0.5, VerdictSource.JUDGE),
        (("tie", "loss"), 0.5, VerdictSource.JUDGE),
        (("win", "unparsed"), 0.5, VerdictSource.UNPARSED),
        (("failed", "win"), 0.5, VerdictSource.FAILED),
        (("unparsed", "failed"), 0.5, VerdictSource.FAILED),
    ],
)
def test_both_orders_must_agree(labels: tuple[Label, ...], pi_llm: float, source: VerdictSource) -> None:
    """A win or a loss needs every asked order; what could not be read is a tie and named."""
    assert combine(3, labels) == Verdict(3, pi_llm, source, labels)


def test_a_verdict_needs_an_order() -> None:
    """Combining nothing is a programmer's error that names the slot."""
    with pytest.raises(ValueError, match="slot 3"):
        combine(3, ())


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("", True),
        (" \n\t", True),
        (":", True),
        ("...?!", True),
        ("=== | ~~~", True),
        ("\u3002\u2014\u00bf\u200b", True),
        ("What is 6 times 7?", True),
        ("  what is  6 TIMES 7? ", True),
        ("42", False),
        ("\u89e3", False),
        ("\u221e", False),
        ("What is 6 times 7? 42", False),
    ],
)
def test_contentless(response: str, expected: bool) -> None:
    """Blank, marks alone in any script, or the question again: nothing a judge need see."""
    assert is_contentless(response, "What is 6 times 7?") is expected


def sources(item: Settled) -> dict[int, tuple[float, VerdictSource]]:
    return {slot: (verdict.pi_llm, verdict.source) for slot, verdict in rule_verdicts(item).items()}


def test_rules_before_the_judge() -> None:
    """Bases have 0.5, the contentless lose, failures have no verdict, and the rest is for the judge."""
    item = settled([answer(0), answer(1), failure(2), answer(3, "!"), answer(4), answer(5, SEED.question)], num_base=2)
    assert sources(item) == {
        0: (0.5, VerdictSource.BASE),
        1: (0.5, VerdictSource.BASE),
        3: (0.0, VerdictSource.RULE),
        5: (0.0, VerdictSource.RULE),
    }


def test_without_a_reference_all_tie() -> None:
    """Where no base answered there is nothing to compare with; only the rule still speaks."""
    item = settled([failure(0), answer(1), answer(2, ".")])
    assert sources(item) == {1: (0.5, VerdictSource.NO_REFERENCE), 2: (0.0, VerdictSource.RULE)}


def test_a_contentless_base_loses() -> None:
    """A base of punctuation has no claim to 0.5, and still is what the judge compares with."""
    assert sources(settled([answer(0, "."), answer(1)])) == {0: (0.0, VerdictSource.RULE)}
