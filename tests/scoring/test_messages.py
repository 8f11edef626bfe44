import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from star_agents.core.records import ModelScore, Sample, Scores
from star_agents.scoring.messages import (
    GREETING,
    LENGTH,
    LOAD,
    ORDER,
    REPLY,
    Codec,
    Embed,
    Embedded,
    Failed,
    LoadEmbedder,
    LoadScorer,
    Message,
    Ready,
    Score,
    Scored,
    Withdraw,
    Withdrawn,
    clean,
    encode,
)
from star_agents.scoring.settings import ScoringSettings

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
finite = st.none() | st.floats(allow_nan=False, allow_infinity=False)
samples = st.builds(Sample, texts, texts, texts)
model_scores = st.builds(ModelScore, nll_alone=finite, ppl_cond=finite, ifd=finite, reason=st.none() | texts)
settings = st.builds(ScoringSettings, small=texts, large=st.none() | texts, max_tokens=st.integers(1, 9999))

dialogue = st.one_of(
    st.tuples(st.just(LOAD), st.builds(LoadScorer, settings, texts) | st.builds(LoadEmbedder, texts, texts)),
    st.tuples(
        st.just(GREETING),
        st.builds(Ready, texts, st.integers(1, 9), st.dictionaries(texts, texts)) | st.builds(Failed, texts),
    ),
    st.tuples(
        st.just(ORDER),
        st.builds(Score, st.lists(samples).map(tuple))
        | st.builds(Embed, st.lists(texts).map(tuple))
        | st.builds(Withdraw, st.integers(0, 10**9)),
    ),
    st.tuples(
        st.just(REPLY),
        st.builds(
            Scored,
            st.lists(st.builds(Scores, model_scores, st.none() | model_scores)).map(tuple),
            st.integers(0, 10**9),
            st.floats(0, 1e6),
        )
        | st.builds(Embedded, st.lists(texts).map(tuple))
        | st.just(Withdrawn()),
    ),
)


@given(dialogue)
def test_what_is_said_is_what_is_heard(said: tuple[Codec[Message], Message]) -> None:
    """Every message comes back from its frame equal, numbers bit for bit."""
    codec, message = said
    frame = encode(message)
    assert LENGTH.unpack(frame[: LENGTH.size]) == (len(frame) - LENGTH.size,)
    assert codec.decode(frame[LENGTH.size :]) == message


def test_a_message_out_of_turn_is_an_error() -> None:
    """A greeting is no reply."""
    with pytest.raises(ValidationError):
        REPLY.decode(encode(Ready("cpu", 1))[LENGTH.size :])


@given(st.text(max_size=20))
def test_clean_text_can_be_sent_and_is_otherwise_untouched(text: str) -> None:
    """Only lone surrogates change."""
    cleaned = clean(text)
    cleaned.encode()
    assert clean(cleaned) == cleaned
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert cleaned == text
