"""Section A of the faults: what goes wrong with connections and bytes."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from star_agents.mock.catalogue.kind import Kind, plain
from star_agents.mock.dialect import Event
from star_agents.mock.faults import Fault, Json

MB = 1_000_000
_BLANKS = b" " * MB

NO_REPLY = Fault(name="no_reply", cut_after=0)
RESET = Fault(name="reset", cut_after=0, resets=True)
BLACK_HOLE = Fault(name="black_hole", hangs=True)
IDLE_CLOSE = Fault(name="idle_close", closes=True, keeps_right=True)
HALF_CHUNKED = Fault(name="half_chunked", cut_in_half=True)
EXCESS_BODY = Fault(name="excess_body", surplus=b"{}")


def _refused(argument: str) -> Fault:
    return Fault(name="refused", cut_after=0, down_s=float(argument))


def _reset_after(argument: str) -> Fault:
    return Fault(name="reset_mid_body", cut_after=int(argument), resets=True)


def _close_after(argument: str) -> Fault:
    return Fault(name="short_body", cut_after=int(argument))


def _slow(argument: str) -> Fault:
    return Fault(name="slow", delay_s=float(argument), keeps_right=True)


def _trickle(argument: str) -> Fault:
    return Fault(name="trickle", trickle_s=float(argument), keeps_right=True)


def _drip(argument: str) -> Fault:
    return Fault(name="drip", drips_s=float(argument))


def _giant(argument: str) -> Fault:
    size = int(float(argument) * MB)

    def pad(payload: Json) -> Json:
        return {"padding": "x" * size, **payload}

    def pad_first(events: Sequence[Event]) -> Iterator[Event]:
        for number, event in enumerate(events):
            is_meant = number == 0 and isinstance(event.data, dict)
            yield replace(event, data=pad(cast("Json", event.data))) if is_meant else event

    return Fault(name="giant_event", change=pad, restream=pad_first, keeps_right=True)


def _gzip_of(megabytes: int) -> Iterator[bytes]:
    """So many MB of blanks in a thousandth of the bytes: one deflate block, said again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    yield packer.compress(_BLANKS) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(_BLANKS) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(megabytes - 1):
        yield block


def _bomb(argument: str) -> Fault:
    megabytes = int(argument)
    return Fault(name="gzip_bomb", headers={"content-encoding": "gzip"}, spool=lambda: _gzip_of(megabytes))


def _redirect(argument: str) -> Fault:
    return Fault(name="redirect", status=307, headers={"location": argument}, body=b"")


KINDS = (
    Kind("refused", "F-01", "closes the connection unanswered; for ARG s nobody listens", _refused, "1"),
    plain(NO_REPLY, "F-04", "closes the connection without a byte, as a stale keep-alive does"),
    plain(IDLE_CLOSE, "F-04", "answers, then closes the connection without having said so"),
    plain(RESET, "F-05", "resets the connection without a byte"),
    Kind("reset_mid_body", "F-05", "resets after ARG bytes of the reply, head and all", _reset_after, "180"),
    plain(BLACK_HOLE, "F-06 F-14", "takes the request and never says a byte"),
    Kind("slow", "F-06", "answers ARG s later", _slow, "1"),
    Kind("trickle", "F-07", "answers, with ARG s before each event of a stream", _trickle, "0.1"),
    Kind("drip", "F-07", "keeps alive with comments (blanks, unless streaming) every ARG s, never answers", _drip, "1"),
    Kind("short_body", "F-10", "closes after ARG bytes of the reply, head and all", _close_after, "180"),
    plain(HALF_CHUNKED, "F-10", "closes in the middle of a chunked body"),
    plain(EXCESS_BODY, "F-10", "sends more bytes than content-length says"),
    Kind("giant_event", "F-11", "pads the first event of a stream, or the body, with ARG MB", _giant, "50"),
    Kind("gzip_bomb", "F-12", "a gzip body of ARG MB when unpacked, a thousandth on the wire", _bomb, "1000"),
    Kind("redirect", "F-13", "307 to the URL ARG", _redirect, "http://169.254.169.254/latest/meta-data/"),
)
