"""Requests out of bytes: the slicing does not matter, and nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.mock.http import HttpError, HttpRequest, RequestParser

PLAIN = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
BARE = b"\r\nGET /c HTTP/1.0\r\nX-Odd:\t two words \r\n\r\n"


def fed(pieces: list[bytes]) -> list[HttpRequest]:
    parser, requests = RequestParser(), []
    for piece in pieces:
        parser.feed(piece)
        while (request := parser.next_request()) is not None:
            requests.append(request)
    assert parser.buffered == 0
    return requests


@given(st.lists(st.sampled_from([PLAIN, CHUNKED, BARE]), min_size=1, max_size=5), st.data())
def test_any_slicing_gives_the_same_requests(sent: list[bytes], data: st.DataObject) -> None:
    """Pipelined or byte by byte."""
    whole = b"".join(sent)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=20)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    requests = fed(pieces)
    assert requests == fed([whole]) == fed([whole[at : at + 1] for at in range(len(whole))])
    assert [(request.head.path, request.body) for request in requests] == [
        {PLAIN: ("/a", b"hello"), CHUNKED: ("/b", b"hello"), BARE: ("/c", b"")}[each] for each in sent
    ]


def test_headers_are_found_by_lower_case_name() -> None:
    """Blanks around a value are not part of it."""
    (request,) = fed([BARE])
    assert request.head.headers == {"x-odd": "two words"}
    assert not request.head.keeps_alive
    assert fed([PLAIN])[0].head.keeps_alive


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: line\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: ²\r\n\r\n".encode("latin-1"), 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 300, 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
    ],
)
def test_what_is_not_http_is_refused(sent: bytes, status: int) -> None:
    """With the status that says why, and no guess at what was meant."""
    parser = RequestParser()
    parser.feed(sent)
    with pytest.raises(HttpError) as caught:
        parser.next_request()
    assert caught.value.status == status
