"""A worker with the real plumbing and no model: what it does is spelled in the samples it is given.

`LoadScorer.settings.small` is a folder for notes: a line in `asked` for every response scored, in `prepared` for every
one prepared, in `started` for every process. A file `cannot_load` or `die_on_load` there makes loading fail.
"""

import os
import signal
import sys
import time
from pathlib import Path

from star_agents.core.errors import ScorerError
from star_agents.core.records import Sample
from star_agents.scoring import worker
from star_agents.scoring.messages import Embed, Embedded, Load, LoadScorer, Reply, Request, Score, Scored
from tests.fakes.scoring import length_score


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


class Stub:
    """A duty that follows orders."""

    def __init__(self, load: Load) -> None:
        assert isinstance(load, LoadScorer)
        self._notes = Path(load.settings.small)
        self.device, self.device_count = ("stub:0", 3) if load.device == "auto" else (load.device, 1)
        self._note("started", f"{os.getpid()} {self.device}")
        print("a library prints")  # noqa: T201  # on purpose: it must not reach the frames
        if (self._notes / "cannot_load").exists():
            raise ScorerError("no such model")
        if (self._notes / "one_model_only").exists() and load.settings.large:
            raise OutOfMemoryError("CUDA out of memory")
        if (self._notes / "die_on_load").exists():
            sys.stderr.write("about to die\n")
            os._exit(9)
        if (self._notes / "sleep_on_load").exists():
            time.sleep(60)

    def prepare(self, request: Request) -> Request:
        for sample in request.samples if isinstance(request, Score) else ():
            self._note("prepared", sample.response)
            if sample.response == "cannot be prepared":
                raise ValueError("a tokenizer gives up")
        return request

    def run(self, prepared: Request) -> Reply:
        if isinstance(prepared, Embed):
            return Embedded(())
        for sample in prepared.samples:
            self._obey(sample)
        return Scored(tuple(map(length_score, prepared.samples)), num_tokens=len(prepared.samples), seconds=0.5)

    def _obey(self, sample: Sample) -> None:
        self._note("asked", sample.response)
        match sample.response.split(":"):
            case ["poison"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["die once", name] if not (self._notes / name).exists():
                (self._notes / name).touch()
                os._exit(7)
            case ["wait", name]:
                (self._notes / f"{name}.waiting").touch()
                while not (self._notes / f"{name}.go").exists():
                    time.sleep(0.005)
            case ["hang once", name] if not (self._notes / name).exists():
                (self._notes / name).touch()
                time.sleep(600)
            case ["hang"]:
                time.sleep(600)
            case ["environment"]:
                (self._notes / "environment").write_text(
                    "\n".join(f"{name}={value}" for name, value in os.environ.items())
                )
            case _:
                pass

    def _note(self, name: str, line: str) -> None:
        with (self._notes / name).open("a") as file:
            file.write(f"{line}\n")


if __name__ == "__main__":
    worker.num_gpus = lambda: 3
    worker.take_up = lambda load: (Stub(load), {"small": "stub"})
    sys.exit(worker.main())
