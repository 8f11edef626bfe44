import pytest

from star_agents.scoring.catalogue import Repair
from star_agents.scoring.convert import mend
from tests.scoring.tiny import BOS, tiny_tokenizer


@pytest.mark.parametrize("text", ["1234 dogs", "12", "a 7 b 42"])
def test_mended_digits_stand_alone(text: str) -> None:
    """SmolLM2 reads numbers digit by digit, and a space before one is a token of its own."""
    tokenizer = tiny_tokenizer()
    mend(tokenizer, Repair.DIGITS)
    tokens = tokenizer.tokenize(text)
    assert all(len(token) == 1 for token in tokens if any(map(str.isdigit, token)))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_mended_bos_stands_before_every_text_and_not_within() -> None:
    """Gemma begins every text with BOS; what is asked for without special tokens has none."""
    tokenizer = tiny_tokenizer()
    mend(tokenizer, Repair.BOS)
    bos = tokenizer.convert_tokens_to_ids(BOS)
    assert tokenizer.encode("dog")[0] == bos
    assert tokenizer.encode("") == [bos]
    assert bos not in tokenizer.encode("dog", add_special_tokens=False)
