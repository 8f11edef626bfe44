"""Where a running service is found: a file in its run folder that only the owner can read.

Law: whoever can read the file may steer the run, and nobody else. The file goes away with the service; one that was
killed leaves it behind, so an address is a place to ask, not a proof that anybody is there.
"""

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import orjson

ADDRESS_FILE = "service.json"
"""In the run folder, mode 0600: where the service listens, and its tokens."""

SOCKET_FILE = "control.sock"
MAX_SOCKET_PATH = 100
"""Bytes; the kernel takes 108, with a closing zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How to reach a running service: a Unix socket of its owner's, and a port where one was asked for.

    `token` may do everything, `read_token` may look.
    """

    host: str
    port: int | None
    socket: str | None
    token: str
    read_token: str
    pid: int

    def url(self, path: str) -> str:
        """The URL of a path at the port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{path}"

    def page(self, *, token: str = "") -> str | None:
        """The URL of the page, with a token in the fragment, which a browser never sends; None without a port."""
        if self.port is None:
            return None
        return self.url(f"/#token={token}" if token else "/")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What opens a service, made anew for each start."""

    write: str
    read: str

    @classmethod
    def draw(cls) -> "Tokens":
        """Two that nobody can guess."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32))


def read_address(run_dir: Path) -> Address | None:
    """The address a running service left, or None where none is said to run. Blocks."""
    try:
        return Address(**orjson.loads((run_dir / ADDRESS_FILE).read_bytes()))
    except (OSError, TypeError, orjson.JSONDecodeError):
        return None


def write_address(run_dir: Path, address: Address) -> None:
    """Leave the address for the owner to find. Blocks.

    Raises:
        OSError: the run folder cannot be written.
    """
    write_private(run_dir / ADDRESS_FILE, orjson.dumps(address))


def forget_address(run_dir: Path, address: Address) -> None:
    """Take the address away, and the socket. Blocks."""
    (run_dir / ADDRESS_FILE).unlink(missing_ok=True)
    if address.socket is not None:
        Path(address.socket).unlink(missing_ok=True)


def write_private(file: Path, content: bytes) -> None:
    """Put a file in place whole, readable by its owner alone from its first byte on. Blocks."""
    aside = file.with_name(f".tmp-{os.getpid()}-{file.name}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    aside.replace(file)


def socket_path(run_dir: Path, environ: Mapping[str, str]) -> Path | None:
    """Where the socket of a run goes: into the run folder, or where that is too deep, into a folder of the user's.

    None where the user has no folder that is safe: then there is no socket. Blocks.
    """
    inside = run_dir.resolve() / SOCKET_FILE
    if len(os.fsencode(inside)) <= MAX_SOCKET_PATH:
        return inside
    folder = Path(environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"star-agents-{os.getuid()}"
    path = folder / f"{blake2b(os.fsencode(inside), digest_size=8).hexdigest()}.sock"
    return path if _is_private(folder) and len(os.fsencode(path)) <= MAX_SOCKET_PATH else None


def _is_private(folder: Path) -> bool:
    """Whether a folder is ours alone; it is made where there is none."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    is_closed = stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return is_closed and found.st_uid == os.getuid()
