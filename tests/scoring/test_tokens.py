from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import ScorerError
from star_agents.scoring.templates import Piece
from star_agents.scoring.tokens import Tokens
from tests.scoring.tiny import BOS, EOS, HEADER, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
TOKENS = Tokens(TOKENIZER, SimpleNamespace())
SPECIAL = {TOKENIZER.convert_tokens_to_ids(text) for text in (BOS, EOS, HEADER)}

spelled = st.lists(st.sampled_from([BOS, EOS, HEADER, "<|", "|>", "a", " ", "\n", "dog"]), max_size=8).map("".join)


@given(spelled)
def test_special_token_text_in_data_is_plain_text(text: str) -> None:
    """Data cannot spell a special token, and no character of it is lost."""
    ids = TOKENS.plain(text)
    assert not SPECIAL & set(ids)
    assert TOKENIZER.decode(ids) == text


@given(spelled, spelled)
def test_a_prompt_keeps_its_own_special_tokens_and_no_others(before: str, data: str) -> None:
    """Those of the template count, those in the data are text."""
    pieces = [Piece(before, is_data=False), Piece(data, is_data=True), Piece(EOS, is_data=False)]
    ids = TOKENS.prompt(pieces)
    assert [each for each in ids if each in SPECIAL] == [
        each for each in TOKENS.native(before + EOS) if each in SPECIAL
    ]
    assert TOKENIZER.decode(ids) == before + data + EOS


@given(st.text("ab \n", max_size=10))
def test_a_prompt_of_harmless_data_is_what_the_tokenizer_makes_of_it(data: str) -> None:
    """Token borders at the seams are the tokenizer's own, on the quick way and on the careful one."""
    pieces = [Piece(f"{BOS}the ", is_data=False), Piece(data, is_data=True), Piece(f"\n{EOS}", is_data=False)]
    ids = TOKENS.native("".join(piece.text for piece in pieces))
    assert TOKENS.prompt(pieces) == ids
    assert TOKENS._piecewise(pieces) == ids


def test_plain_after_prompt_stays_plain() -> None:
    """The tokenizer is told each time, so one call does not change the next."""
    first = TOKENS.plain(EOS)
    TOKENS.prompt([Piece(EOS, is_data=False)])
    assert TOKENS.plain(EOS) == first


def test_native_reads_special_tokens_and_cuts_the_tail() -> None:
    """The public programs hand texts to the tokenizer as they are."""
    assert TOKENS.native(f"{BOS}dog{EOS}", 1) == [TOKENIZER.convert_tokens_to_ids(BOS)]


@pytest.mark.parametrize(
    ("options", "config", "anchor"),
    [
        ({}, {}, BOS),
        ({"bos_token": None}, {"bos_token_id": 2}, HEADER),
        ({"bos_token": None}, {}, EOS),
        ({"bos_token": None, "eos_token": None}, {"eos_token_id": [1, 2]}, EOS),
    ],
)
def test_the_anchor_survives_a_lost_bos(options: dict[str, None], config: dict[str, object], anchor: str) -> None:
    """BOS of the tokenizer, else of the config; EOS where the model has no BOS."""
    tokens = Tokens(tiny_tokenizer(**options), SimpleNamespace(**config))
    assert tokens.anchor == TOKENIZER.convert_tokens_to_ids(anchor)


def test_a_model_without_any_anchor_is_refused() -> None:
    """Nothing could stand before the first token of R."""
    with pytest.raises(ScorerError, match="BOS"):
        Tokens(tiny_tokenizer(bos_token=None, eos_token=None), SimpleNamespace())
