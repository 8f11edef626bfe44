"""The page at `/`: files of the package, read once, served with what a browser needs to be strict about them.

Laws: the files hold nothing of any run, so they need no token; what they may load and whom they may ask is this
service alone; and no text can become a part of the page, because the browser refuses every way to make it one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

INDEX = "index.html"

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy: nothing inline, nothing from elsewhere, and no HTML made of text (trusted types)."""

STRICT = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer of the service, not on those of the page alone."""


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file as it is sent; `tag` changes with its content."""

    content: bytes
    content_type: str
    tag: str


class Page:
    """Serves the files by their paths under `/`."""

    def __init__(self, served: Mapping[str, WebFile]) -> None:
        self._served = served

    @classmethod
    def load(cls) -> "Page":
        """Read the package's files. Blocks."""
        return cls(dict(_read(files(__package__).joinpath("web"), "")))

    def table(self) -> list[web.RouteDef]:
        """A route a file; the first page is `/`."""
        paths = [path for path in self._served if path != INDEX]
        return [web.get("/", self.send), *(web.get(f"/{path}", self.send) for path in paths)]

    async def send(self, request: web.Request) -> web.Response:
        """One file, or that the browser has it already."""
        found = self._served[request.path.removeprefix("/") or INDEX]
        headers = {"ETag": f'"{found.tag}"', "Cache-Control": "no-cache"}
        if any(tag.value == found.tag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=found.content, content_type=found.content_type, charset="utf-8", headers=headers)


async def harden(_: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on an answer that is about to be sent; of figures no copy is kept."""
    response.headers.update(STRICT)
    response.headers.setdefault("Cache-Control", "no-store")


def _read(folder: Traversable, prefix: str) -> list[tuple[str, WebFile]]:
    found: list[tuple[str, WebFile]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
            continue
        content, (_, _, suffix) = entry.read_bytes(), entry.name.rpartition(".")
        kind = TYPES.get(f".{suffix}", "text/plain")
        found.append((f"{prefix}{entry.name}", WebFile(content, kind, blake2b(content, digest_size=12).hexdigest())))
    return found
