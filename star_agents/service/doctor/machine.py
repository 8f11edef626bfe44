"""What a machine has: versions, memory, disks, file descriptors, ports. Blocks briefly; asks nobody else.

Law: each check is a plain function of what it looks at, and says what it saw also where all is well.
"""

import errno
import os
import platform
import socket
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from star_agents.endpoints.descriptors import soft_limit, wanted
from star_agents.endpoints.spec import EndpointSpec
from star_agents.service.doctor.checks import Finding, fail, ok, warn
from star_agents.storage.database import SAFE_SQLITE, sqlite_version
from star_agents.storage.filesystem import REMOTE, kind_of
from star_agents.storage.room import BALLAST_BYTES, LOW

SHOWN = ("torch", "transformers", "aiohttp", "apsw")
GIB = 2**30
LITTLE_RAM = 2 * GIB
LITTLE_ROOM = 2 * GIB
MOUNTS = Path("/proc/self/mountinfo")
MEMINFO = Path("/proc/meminfo")


def packages(requirements: Sequence[str] | None = None) -> Iterator[Finding]:
    """Python, and every package that star-agents cannot do without."""
    wants = map(Requirement, requires("star-agents") or () if requirements is None else requirements)
    needed = [want for want in wants if want.marker is None or want.marker.evaluate({"extra": ""})]
    bad = [told for want in needed if (told := _lack(want))]
    for told in bad:
        yield fail("packages", told, "pip install --upgrade star-agents")
    if not bad:
        shown = ", ".join(f"{name} {version(name)}" for name in SHOWN)
        yield ok("packages", f"Python {platform.python_version()}, {shown}")


def _lack(want: Requirement) -> str:
    try:
        found = version(want.name)
    except PackageNotFoundError:
        return f"{want} is not installed"
    return "" if want.specifier.contains(found, prereleases=True) else f"{want.name} is {found}, and {want} is needed"


def sqlite(found: tuple[int, ...] | None = None) -> Finding:
    """Before 3.51.3 two connections could in rare cases lose commits of a WAL."""
    found = found or sqlite_version()
    told = ".".join(map(str, found))
    if found < SAFE_SQLITE:
        return warn("sqlite", f"{told}: its WAL can lose commits (fixed in 3.51.3)", "pip install --upgrade apsw")
    return ok("sqlite", told)


def memory(needed: int = 0, meminfo: Path = MEMINFO) -> Finding:
    """Free memory, against what the models that run here take."""
    fields = {line.split(":")[0]: line.split()[1] for line in meminfo.read_text().splitlines() if len(line.split()) > 1}
    free = int(fields["MemAvailable"]) * 1024
    told = f"{free / GIB:.1f} GiB free"
    if free < needed:
        return warn("memory", f"{told}; the models on the CPU take about {needed / GIB:.1f}", "take smaller models")
    if free < LITTLE_RAM:
        return warn("memory", told, "close other programs: the scorers and the memory bank need some GiB")
    return ok("memory", told)


def disk(run_dir: Path, mounts: Path = MOUNTS) -> Iterator[Finding]:
    """Room below the run folder, and what kind of file system that is; a run is refused on one of a network."""
    real = Path(os.path.realpath(run_dir))
    there = next(folder for folder in (real, *real.parents) if folder.is_dir())
    kind = kind_of(there, mounts.read_text()) if mounts.exists() else ""
    if kind in REMOTE:
        seen = f"run.dir: {run_dir} lies on a network file system ({kind})"
        yield fail("disk", seen, "name a folder on a local disk")
    if not os.access(there, os.W_OK):
        yield fail("disk", f"run.dir: {there} cannot be written", "name another folder, or mend its rights")
    status = os.statvfs(there)
    free, share = status.f_bavail * status.f_frsize, status.f_bavail / max(status.f_blocks, 1)
    told = f"{free / GIB:.1f} GiB ({share:.0%}) free for {run_dir}, {kind or 'kind not known'}"
    if share < LOW or free < BALLAST_BYTES:
        yield fail("disk", f"{told}: a run takes in nothing below {LOW:.0%}", "make room, or name another run.dir")
    elif free < LITTLE_ROOM:
        yield warn("disk", told, "make room: 100,000 seeds take some GiB")
    else:
        yield ok("disk", told)


def descriptors(specs: Sequence[EndpointSpec], limit: int | None = None) -> Finding:
    """File descriptors against what the endpoints' concurrency asks for."""
    most, needs = soft_limit() if limit is None else limit, wanted(specs)
    if most is not None and most < needs:
        told = f"{most} file descriptors, and {needs} are wanted: fewer calls will be made at once"
        return warn("descriptors", told, f"ulimit -n {needs}")
    return ok("descriptors", f"{most or 'any number of'} file descriptors, {needs} wanted")


def port(host: str, number: int | None) -> Finding:
    """Whether the service could listen."""
    if not number:
        return ok("port", "any free one" if number == 0 else "none asked for")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            why = "in use" if error.errno == errno.EADDRINUSE else error.strerror
            mend = "stop the program that does, or set service.port to another (0 takes any free one)"
            return fail("port", f"service.port: cannot listen on {host}:{number} ({why})", mend)
    return ok("port", f"{host}:{number} is free")
