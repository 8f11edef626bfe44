"""`serve-run --detach`: the same command as a process of its own, and a record of where it is."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from star_agents.core.errors import StarError

if TYPE_CHECKING:
    from star_agents.service.run.address import Address

WAIT_S = 120.0
"""How long the process may take until its inputs are found sound; loading models comes after that."""

LOOK_S = 0.05
LAST_LINES = 20
LAUNCH_FILE = "launch.json"


class LaunchError(StarError):
    """The detached process ended before it could be asked anything, or does not answer."""

    reason = "launch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Where a detached run is. Its tokens are in `address`, which only its owner can read."""

    pid: int
    run_dir: str
    log: str
    address: str
    socket: str | None
    port: int | None
    started: str


def launch(arguments: Sequence[str], run_dir: Path) -> Launch:
    """Start `star-agents ARGUMENTS` in a session of its own, wait until its inputs are sound, and leave `launch.json`.

    Raises:
        LaunchError: it ended, with the last lines that it wrote; or it does not answer.
    """
    import orjson

    from star_agents.core import clock
    from star_agents.service.run.address import ADDRESS_FILE, write_private

    logs = run_dir / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = logs / "detached.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, "-m", "star_agents", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + WAIT_S
    while (address := _begun(run_dir, process.pid)) is None:
        if process.poll() is not None:
            raise LaunchError(f"the run ended at once, with code {process.returncode}:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise LaunchError(f"process {process.pid} does not answer after {WAIT_S:g} s; see {log}")
        time.sleep(LOOK_S)
    found = Launch(
        pid=process.pid,
        run_dir=str(run_dir.resolve()),
        log=str(log.resolve()),
        address=str((run_dir / ADDRESS_FILE).resolve()),
        socket=address.socket,
        port=address.port,
        started=clock.wall(),
    )
    write_private(run_dir / LAUNCH_FILE, orjson.dumps(asdict(found)))
    return found


def _begun(run_dir: Path, pid: int) -> "Address | None":
    """The address of the process, once its config, its folder and its seeds have been found sound."""
    from star_agents.client.connection import ask
    from star_agents.core.errors import ServiceGoneError
    from star_agents.service.run.address import read_address
    from star_agents.service.view.status import CHECKING

    address = read_address(run_dir)
    if address is None or address.pid != pid:
        return None
    try:
        message = ask(address, "GET", "/api/v1/status")["message"]
    except ServiceGoneError:  # it ended in the same breath
        return None
    return None if message in {"", CHECKING} else address


def refuse_second(run_dir: Path) -> None:
    """See at once that a run is going on here, rather than in the log of a process that ended.

    Raises:
        RunInUseError: it is.
    """
    from star_agents.storage.folder import RunFolder, hold

    if run_dir.exists():
        with hold(RunFolder(run_dir)):
            return


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
