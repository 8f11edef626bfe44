"""A hub on a loopback port that takes data sets as huggingface.co does, and remembers what it was told.

Only what a push of small files asks for: make a repository, say how each file is to be sent, take a commit.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class FakeHub:
    """`files` are those of the commits; `refuses` is the status of every answer, if any."""

    url: str = ""
    refuses: int | None = None
    created: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str | None] = field(default_factory=set)

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.url}/datasets/{self.created[-1]['organization']}/{self.created[-1]['name']}"}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            return {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            repository = path.removeprefix("/api").partition("/commit/")[0]
            return {"commitUrl": f"{self.url}{repository}/commit/1", "commitOid": "1" * 40, "success": True}
        return {}


@contextmanager
def fake_hub(*, refuses: int | None = None) -> Iterator[FakeHub]:
    """One that listens until the block is left."""
    hub = FakeHub(refuses=refuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command == "POST":  # what it only asks for is for everyone
                hub.tokens.add(self.headers.get("Authorization"))
            answer = {"error": "not for you"} if hub.refuses else hub.answer(self.path.partition("?")[0], body)
            content = json.dumps(answer).encode()
            self.send_response(hub.refuses or 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815  # the server's word

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
