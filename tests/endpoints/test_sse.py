"""The parser of server-sent events: what is an event, and that slicing never changes the answer."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from star_agents.core.errors import EventTooLargeError
from star_agents.endpoints.formats import sse
from star_agents.endpoints.formats.sse import MAX_EVENT_BYTES, Event, SseParser


def parsed(*chunks: bytes) -> list[Event]:
    parser = SseParser("endpoint e")
    return [event for chunk in chunks for event in parser.feed(chunk)]


def datas(stream: bytes) -> list[str]:
    return [event.data.decode() for event in parsed(stream)]


@pytest.mark.fault("F-34")
@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\n\n", ["a"]),
        (b"data:  a \n\n", [" a "]),
        (b"data: a\r\n\r\n", ["a"]),
        (b"data: a\r\r", ["a"]),
        (b"data: a\r\n\ndata: b\n\r\n", ["a", "b"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data\n\n", [""]),
        (b"data:\ndata:\n\n", ["\n"]),
        (b": a comment\n\ndata: a\n\n", ["a"]),
        (b":\ndata: a\n: between\ndata: b\n\n", ["a\nb"]),
        (b"id: 7\nretry: 10\nother: x\ndata: a\n\n", ["a"]),
        (b"event: ping\n\ndata: a\n\n", ["a"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"\n\n\n", []),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"data: \xe2\x82\xac \xf0\x9f\x98\x80\n\n", ["\u20ac \U0001f600"]),
        ("data: a\u2028b\u0085c\x0bd\n\n".encode(), ["a\u2028b\u0085c\x0bd"]),
        (b"Data: a\ndata: b\n\n", ["b"]),
    ],
)
def test_f34_what_is_an_event(stream: bytes, expected: list[str]) -> None:
    """F-34: the three line ends, lines joined, comments, the byte order mark, and no event without its blank line."""
    assert datas(stream) == expected


def test_an_event_has_a_name() -> None:
    """The last one given, and only for that event."""
    events = parsed(b"event: ping\nevent: delta\ndata: a\n\ndata: b\n\n")
    assert events == [Event(b"a", b"delta"), Event(b"b")]


PIECES = st.sampled_from(
    [
        b"data",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"event: x",
        b"data: ",
        b"\xef\xbb\xbf",
        b"\xe2\x82\xac",
        b"a",
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=4), max_size=40).map(b"".join)


@pytest.mark.fault("F-34")
@given(STREAMS, st.lists(st.integers(0, 160), max_size=20))
@example(b"data: \xe2\x82\xac\r\n\r\ndata: b\r\n\r\n", list(range(40)))
def test_f34_any_slicing_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    """F-34: cut anywhere, in a character, between CR and LF, or not at all."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert parsed(*(stream[a:b] for a, b in itertools.pairwise(places))) == parsed(stream)


@pytest.mark.fault("F-11")
def test_f11_a_large_event_is_taken_and_a_larger_one_refused() -> None:
    """F-11: 5 MB in one line in small pieces is well; beyond the cap it ends at the cap, not at the event's end."""
    piece = b"x" * 65_536
    (event,) = parsed(b"data: ", *([piece] * 80), b"\n\n")
    assert len(event.data) == 80 * 65_536
    parser = SseParser("endpoint e")
    for _ in range(MAX_EVENT_BYTES // len(piece)):
        assert not list(parser.feed(piece))
    with pytest.raises(EventTooLargeError, match="endpoint e: one event of more than"):
        list(parser.feed(piece))


@pytest.mark.fault("F-11")
@given(st.integers(1, 40), st.sampled_from([b"data: %s\n", b": %s\n", b"other: %s\n"]))
def test_f11_the_cap_does_not_depend_on_the_slicing(width: int, line: bytes) -> None:
    """F-11: whether an event is too large is a matter of its bytes."""
    stream = b"".join(line % (b"x" * size) for size in (3, 20, 11)) + b"\n"

    def outcome(*chunks: bytes) -> list[Event] | str:
        try:
            return parsed(*chunks)
        except EventTooLargeError:
            return "too large"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "MAX_EVENT_BYTES", 48)
        assert outcome(*(stream[at : at + width] for at in range(0, len(stream), width))) == outcome(stream)


@pytest.mark.fault("F-34")
def test_f34_many_comments_are_no_large_event() -> None:
    """F-34: a server that pings for hours within one event costs nothing."""
    parser = SseParser("endpoint e")
    for _ in range(300):
        assert not list(parser.feed(b": ping\n" * 10_000))
    assert list(parser.feed(b"data: a\n\n")) == [Event(b"a")]


def test_the_time_is_linear_in_the_bytes() -> None:
    """A long line in tiny pieces is kept in pieces and joined once, when its end has come."""
    parser = SseParser("endpoint e")
    for _ in range(20_000):
        assert not list(parser.feed(b"y" * 100))
    assert len(parser._line) == 20_000
    assert list(parser.feed(b"\ndata: z\n\n")) == [Event(b"z")]
    assert not parser._line
