"""A child process that holds models: `python -m star_agents.scoring.worker`.

It lives exactly as long as its standard input is open. When that closes, because the parent closed it or was killed,
the child is gone at once, whatever it was computing: no orphan holds a device. Standard output carries frames and
nothing else; what a library prints goes to standard error, which is a log file. Ctrl-C is the parent's business.

Three threads: one reads frames, one prepares requests (tokenizes them), and the main one runs them on the device, in
order. Whatever a request raises, in either thread, ends the process when its turn comes, so that the parent can tell
which one it was. A device that has failed once may be in any state: the process does not try to clean it up.
"""

import logging
import os
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any, NoReturn, Protocol

from star_agents.scoring.messages import (
    HELD_AT_MOST,
    LENGTH,
    LOAD,
    ORDER,
    Failed,
    Load,
    LoadEmbedder,
    LoadScorer,
    Message,
    Ready,
    Reply,
    Request,
    Withdraw,
    Withdrawn,
    encode,
)
from star_agents.scoring.worker_log import trim

_log = logging.getLogger(__name__)

CANNOT_LOAD = 3
"""Exit code of a worker that has said why it cannot load its models."""

BROKEN = 4
"""Exit code of a worker of which a request has raised something; its log says what."""

_STDERR = 2


class Duty(Protocol):
    """What a worker is for, once its models are loaded on `device`, one of `device_count` of that sort."""

    device: str
    device_count: int

    def prepare(self, request: Request) -> Any:  # noqa: ANN401  # the duty's own affair
        """All that can be done before the device is free. Called in a thread, while `run` may be at work."""
        ...

    def run(self, prepared: Any) -> Reply:  # noqa: ANN401
        """Compute the reply to a prepared request; an error here ends the process."""
        ...


def take_up(load: Load) -> tuple[Duty, Mapping[str, str]]:
    """Load the models of a duty, importing no more than it needs, and say what its replies depend on."""
    match load:
        case LoadScorer():
            from star_agents.scoring.fingerprint import describe
            from star_agents.scoring.rating import DualScorer

            scorer = DualScorer(load.settings, load.device)
            return scorer, describe(load.settings, scorer.device)
        case LoadEmbedder():
            from star_agents.scoring.embedding import SentenceEmbedder

            return SentenceEmbedder(load.model, load.device), {}


def serve(receive: Callable[[], bytes], send: Callable[[Message], None]) -> int:
    """Load, then answer for ever; returns an exit code only where loading failed."""
    load = LOAD.decode(receive())
    try:
        duty, fingerprint = take_up(load)
    except Exception as error:  # noqa: BLE001  # the process boundary: whatever it is, the parent reports it
        _log.exception("cannot load %s", load)
        send(_failure(load, error))
        return CANNOT_LOAD
    send(Ready(duty.device, duty.device_count, fingerprint))
    turns: queue.SimpleQueue[Turn] = queue.SimpleQueue()
    threading.Thread(target=prepare_ahead, args=(duty, receive, turns.put), daemon=True).start()
    while True:
        send(turns.get().take(duty))
        trim(_STDERR)


class Turn:
    """A request that is prepared and waits for the device, or the error that preparing it raised."""

    def __init__(self, number: int, prepare: Callable[[], Any]) -> None:
        self.number = number
        self.is_withdrawn = False
        self._prepared: Any = None
        self._error: Exception | None = None
        try:
            self._prepared = prepare()
        except Exception as error:  # noqa: BLE001  # raised again when its turn comes, not in that of the one before
            self._error = error

    def take(self, duty: Duty) -> Reply:
        """The reply."""
        if self.is_withdrawn:
            return Withdrawn()
        if self._error is not None:
            raise self._error
        return duty.run(self._prepared)


def prepare_ahead(duty: Duty, receive: Callable[[], bytes], put: Callable[[Turn], None]) -> None:
    """Prepare requests as they come, and mark those that are taken back. The parent bounds how many there are."""
    numbers, recent = count(), deque[Turn](maxlen=HELD_AT_MOST)
    while True:
        order = ORDER.decode(receive())
        if isinstance(order, Withdraw):
            _log.info("request %d is taken back", order.number)
            for turn in recent:
                turn.is_withdrawn |= turn.number == order.number
        else:
            recent.append(Turn(next(numbers), partial(duty.prepare, order)))
            put(recent[-1])


def _failure(load: Load, error: Exception) -> Failed:
    """Why there is no duty, for a person."""
    is_memory = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    if not is_memory or not isinstance(load, LoadScorer):
        return Failed(f"on {load.device}: {type(error).__name__}: {error}")
    settings = load.settings
    if settings.large is None:
        mend = "take a smaller model, another dtype (scoring.dtype: bfloat16), or another device (scoring.device)"
        message = f"{settings.small} does not fit into the memory of device {load.device}: {mend}"
    else:
        mend = "put the large one elsewhere (scoring.large_device), or take another dtype (scoring.dtype: bfloat16)"
        both = f"scoring.small ({settings.small}) and scoring.large ({settings.large})"
        message = f"{both} do not fit together into the memory of device {load.device}: {mend}"
    return Failed(message, lacks_room=True, device_count=num_gpus())


def num_gpus() -> int:
    """GPUs that this process sees."""
    import torch

    return torch.cuda.device_count()


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
    threading.excepthook = lambda failure: _break(failure.exc_value)
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

    try:
        return serve(inbox.get, send)
    except Exception as error:  # noqa: BLE001  # the process boundary
        _break(error)


def _break(error: BaseException | None) -> NoReturn:
    """End at once, with the reason in the log: a broken device can hang an orderly exit."""
    _log.error("this worker ends", exc_info=error)
    logging.shutdown()
    os._exit(BROKEN)


if __name__ == "__main__":
    sys.exit(main())
