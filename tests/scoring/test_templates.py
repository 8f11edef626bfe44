from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError
from star_agents.core.records import Sample
from star_agents.scoring.templates import Render, alpaca, alpaca_header, chat, compile_template, from_file, plain
from tests.scoring.tiny import tiny_tokenizer

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("render", [plain, alpaca, alpaca_header, chat(tiny_tokenizer())])
@given(instruction=words.filter(str.strip), context=st.just("") | words.filter(str.strip))
def test_a_compiled_template_writes_what_its_renderer_writes(render: Render, instruction: str, context: str) -> None:
    """Also for texts with space around them, which the tiny chat template strips."""
    sample = Sample(instruction, "", context)
    assert compile_template(render).text(sample) == render(instruction, context)


def test_pieces_tell_data_from_template() -> None:
    """Only what came from the data set is marked as data."""
    pieces = compile_template(alpaca).pieces(Sample("Add.", "", "1 2"))
    assert [piece.text for piece in pieces if piece.is_data] == ["Add.", "1 2"]


def test_a_file_is_a_template_of_its_own(tmp_path: Path) -> None:
    """A Jinja file shows instruction and context where it likes, and keeps its last newline."""
    file = tmp_path / "template.jinja"
    file.write_text("Q: {{ instruction }}{% if context %} ({{ context }}){% endif %}\nA:\n")
    template = compile_template(from_file(file))
    assert template.text(Sample("Why?", "", "now")) == "Q: Why? (now)\nA:\n"
    assert template.text(Sample("{{ context }}", "")) == "Q: {{ context }}\nA:\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{{ instruction", "template.jinja"),
        (b"{{ instruction }} {{ typo }}", "typo"),
        (b"no place for it", "never shows"),
        (b"\xff\xfe", "template.jinja"),
        (b"{{ instruction.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_bad_file_is_a_config_error(tmp_path: Path, content: bytes, message: str) -> None:
    """The error names the file or what is wrong in it."""
    file = tmp_path / "template.jinja"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        compile_template(from_file(file))


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    """A path that is not there is the user's to mend."""
    with pytest.raises(ConfigError, match="nowhere"):
        from_file(tmp_path / "nowhere.jinja")
