import pytest

from star_agents.policy.prompts import Prompts
from star_agents.policy.rewrites import clean_rewrite

PLAIN = "Explain, in three steps, how tides arise."


@pytest.mark.parametrize(
    "wrapped",
    [
        PLAIN,
        f"  {PLAIN}\n",
        f'"{PLAIN}"',
        f"'{PLAIN}'",
        f"\u201c{PLAIN}\u201d",
        f"\u00ab {PLAIN} \u00bb",
        f"**{PLAIN}**",
        f"New instruction: {PLAIN}",
        f"Instruction:\n{PLAIN}",
        f"**New instruction:** {PLAIN}",
        f"### New Instruction:\n\n{PLAIN}",
        f"#Rewritten Prompt#: {PLAIN}",
        f"Rewritten instruction:\n\n{PLAIN}",
        f"Here is the new instruction: {PLAIN}",
        f"Sure! Here\u2019s a harder prompt:\n{PLAIN}",
        f"Of course, here's your rephrased instruction:\n\u201c{PLAIN}\u201d",
        f"<INSTRUCTION 0123456789ab>\n{PLAIN}\n</INSTRUCTION 0123456789ab>",
        f"<instruction 0123456789ab>\nNew instruction: {PLAIN}",
    ],
)
def test_wrapping_is_taken_off(wrapped: str) -> None:
    """A label, our own fence copied, or one pair of quotes around everything is not the instruction."""
    assert clean_rewrite(wrapped) == PLAIN
    assert Prompts.clean_rewrite(wrapped) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        '"Yes" or "no": which is shorter?',
        '"Yes" or "no"',
        "'Good day' in French, 'au revoir' in 'German'",
        "Rewrite the prompt: make it polite.",
        "Write an instruction: how to boil an egg.",
        "Instructions for a game: invent them.",
        "Task: sort the list.\n\n3, 1, 2",
        "Question: what is \u03c0?",
        "Give a new instruction",
        'Who said "I came, I saw, I conquered"?',
        "Sum up the text.\n\nNew instruction: none.",
        "```\nprint(1)\n```",
        '"',
    ],
)
def test_what_is_inside_stays(text: str) -> None:
    """Quotes, labels and code that belong to the instruction are left alone."""
    assert clean_rewrite(text) == text


@pytest.mark.parametrize("text", ["", " \n ", "New instruction:", '""', "<INSTRUCTION 0123456789ab>"])
def test_nothing_inside(text: str) -> None:
    """A reply that is only wrapping holds no instruction."""
    assert clean_rewrite(text) == ""
