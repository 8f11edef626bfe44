import pytest

from star_agents.core.calls import Message
from star_agents.core.errors import ConfigError
from star_agents.policy.template import PromptTemplate


def test_two_parts() -> None:
    """The first line `---` parts the system message from the user's; later ones are text."""
    template = PromptTemplate("t", "Be {{ how }}.\n--- \nSay {{ what }}.\n---\nNow.")
    assert template.render({"how": "kind", "what": "yes"}) == (
        Message("system", "Be kind."),
        Message("user", "Say yes.\n---\nNow."),
    )


@pytest.mark.parametrize("text", ["Say {{ what }}.", "---\nSay {{ what }}.", "\n---\nSay {{ what }}.\n"])
def test_no_system_part(text: str) -> None:
    """Without a border, or with nothing above it, there is a user message alone."""
    assert PromptTemplate("t", text).render({"what": "yes"}) == (Message("user", "Say yes."),)


def test_a_value_cannot_move_the_border() -> None:
    """Parts are told apart before rendering: a border inside a value is text, and so is Jinja inside one."""
    value = "a\n---\n{{ b }}"
    assert PromptTemplate("t", "{{ v }}\n---\n{{ v }}").render({"v": value}) == (
        Message("system", value),
        Message("user", value),
    )


@pytest.mark.parametrize("text", ["", " \n", "Be kind.\n---\n", "---"])
def test_there_must_be_a_user_part(text: str) -> None:
    """A template that says nothing to the model is refused."""
    with pytest.raises(ConfigError, match=r"^prompt t, line [0-2]: there is no text for the user message"):
        PromptTemplate("t", text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{% for %}\n---\nuser", 1),
        ("system\n---\nuser\n{{ open", 4),
        ("user\n\n{{ a b }}", 3),
        ("{% unknown %}", 1),
        ("{{ x | random }}", 1),
    ],
)
def test_syntax_errors_name_the_line(text: str, line: int) -> None:
    """The line is that of the file, in whichever part the mistake is."""
    with pytest.raises(ConfigError, match=f"^prompt t, line {line}: "):
        PromptTemplate("t", text)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a\n{{ missing }}", 2, "'missing' is undefined"),
        ("{{ missing }}\n---\nuser", 1, "'missing' is undefined"),
        ("sys\n---\n\n{{ x.__class__.__mro__ }}", 4, "unsafe"),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ("{{ x + 1 }}", 1, "str"),
        ("{% include 'other' %}", 1, "other"),
        ("{{ range(3) }}", 1, "'range' is undefined"),
        ("{{ lipsum() }}", 1, "'lipsum' is undefined"),
    ],
)
def test_failures_name_the_line(text: str, line: int, why: str) -> None:
    """What a template may not do, or gets wrong, ends in one line for a person: no files, no Python, no chance."""
    template = PromptTemplate("t", text)
    with pytest.raises(ConfigError, match=f"^prompt t, line {line}: .*{why}"):
        template.render({"x": "text"})
