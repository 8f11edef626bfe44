"""A child process that holds models: `python -m star_agents.scoring.worker`.

It lives exactly as long as its standard input is open. When that closes, because the parent closed it or was killed,
the child is gone at once, whatever it was computing: no orphan holds a device. Standard output carries frames and
nothing else; what a library prints goes to standard error, which is a log file. Ctrl-C is the parent's business.
"""

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from star_agents.scoring.messages import (
    LENGTH,
    LOAD,
    REQUEST,
    Failed,
    Load,
    LoadEmbedder,
    LoadScorer,
    Message,
    Ready,
    Reply,
    Request,
    encode,
)

_log = logging.getLogger(__name__)

CANNOT_LOAD = 3
"""Exit code of a worker that has said why it cannot load its models."""


class Duty(Protocol):
    """What a worker is for, once its models are loaded on `device`, one of `device_count` of that sort."""

    device: str
    device_count: int

    def answer(self, request: Request) -> Reply:
        """Compute the reply to one request; an error here ends the process."""
        ...


def take_up(load: Load) -> Duty:
    """Load the models of a duty, importing no more than it needs."""
    match load:
        case LoadScorer():
            from star_agents.scoring.rating import DualScorer

            return DualScorer(load.settings, load.device)
        case LoadEmbedder():
            from star_agents.scoring.embedding import SentenceEmbedder

            return SentenceEmbedder(load.model, load.device)


def serve(receive: Callable[[], bytes], send: Callable[[Message], None]) -> int:
    """Load, then answer for ever; returns an exit code only where loading failed."""
    load = LOAD.decode(receive())
    try:
        duty = take_up(load)
    except Exception as error:  # noqa: BLE001  # the process boundary: whatever it is, the parent reports it
        _log.exception("cannot load %s", load)
        send(Failed(f"{type(error).__name__}: {error}"))
        return CANNOT_LOAD
    send(Ready(duty.device, duty.device_count))
    while True:
        send(duty.answer(REQUEST.decode(receive())))


def read_frames(source: int, inbox: "queue.SimpleQueue[bytes]") -> None:
    """Feed the inbox from a file descriptor; when that ends, end the process from under whatever it computes."""
    while head := _read_exactly(source, LENGTH.size):
        inbox.put(_read_exactly(source, *LENGTH.unpack(head)))
    os._exit(0)


def _read_exactly(source: int, size: int) -> bytes:
    """The next `size` bytes, or none at the end. Not buffered, for a buffer's lock would outlive this thread."""
    taken = bytearray()
    while len(taken) < size:
        more = os.read(source, size - len(taken))
        if not more:
            return b""
        taken += more
    return bytes(taken)


def main() -> int:
    """Put frames and prints on descriptors of their own, and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("star_agents").setLevel(logging.INFO)
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=read_frames, args=(0, inbox), daemon=True).start()

    def send(message: Message) -> None:
        frames.write(encode(message))
        frames.flush()

    return serve(inbox.get, send)


if __name__ == "__main__":
    sys.exit(main())
