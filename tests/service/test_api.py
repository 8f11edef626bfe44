import asyncio
import io
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest

from star_agents.client.connection import ask
from star_agents.core.errors import PortTakenError
from star_agents.service.api.routes import Routes, read_openapi
from star_agents.service.run.address import ADDRESS_FILE, Address, read_address
from star_agents.service.view.status import Phase
from tests.loops import run_real
from tests.service.service_world import control, get, opened

JSON, JSONL = {"Content-Type": "application/json"}, {"Content-Type": "application/jsonl"}


@pytest.mark.parametrize("factory", [None, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_status_needs_the_token_and_says_everything(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    """The token of the owner's file opens /api; without it, or with another, there is a problem document."""

    async def main() -> None:
        async with opened(tmp_path) as address:
            assert await asyncio.to_thread(read_address, tmp_path) == address
            assert stat.S_IMODE((tmp_path / ADDRESS_FILE).stat().st_mode) == 0o600
            code, told = await get(address, "/api/v1/status", Authorization=f"Bearer {address.token}")
            assert (code, told["seeds_done"], told["phase"]) == (200, 1, "running")
            assert told["channels"][0]["name"] == "plans"
            assert told["endpoints"][0]["failures"] == {"timeout": 1}
            assert told["bill"]["total"]["usd"] is None
            assert told["bill"]["pairs"][0]["output_tokens"] == 11
            assert told["budget"]["usd"] == 2.0
            code, told = await get(address, "/api/v1/weights", Authorization=f"Bearer {address.token}")
            assert (code, told) == (200, {"version": 0, "p": {"keep+a": 0.75}})
            for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eA=="}):
                code, told = await get(address, "/api/v1/status", **wrong)
                assert code == 401
                assert address.token not in str(told)

    run_real(main(), factory=factory)
    assert read_address(tmp_path) is None


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Origin": "http://evil.example"}]
)
def test_foreign_hosts_and_origins_are_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    """A page that rebinds its name to loopback, or scripts against us, gets nothing, not even health."""

    async def main() -> None:
        async with opened(tmp_path) as address:
            token = {"Authorization": f"Bearer {address.token}"}
            for path in ("/healthz", "/api/v1/status"):
                code, _ = await get(address, path, **token, **headers)
                assert code == 403

    run_real(main())


def test_health_says_no_more_than_whether(tmp_path: Path) -> None:
    """Alive always, ready only while running; unknown paths are problems, not pages."""

    async def main() -> None:
        for phase, code in ((Phase.RUNNING, 200), (Phase.STARTING, 503), (Phase.DRAINING, 503)):
            async with opened(tmp_path, phase=phase) as address:
                assert await get(address, "/healthz") == (200, {"ok": True})
                assert await get(address, "/readyz") == (code, {"ready": code == 200})
                assert (await get(address, "/nothing"))[0] == 404

    run_real(main())


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """The error names the setting, the port and the mend."""

    async def main() -> None:
        async with opened(tmp_path) as address:
            with pytest.raises(PortTakenError, match=rf"service\.port: cannot listen on 127\.0\.0\.1:{address.port}"):
                async with opened(tmp_path, port=address.port):
                    pytest.fail("two services on one port")

    run_real(main())


async def sent(address: Address, method: str, path: str, *, token: str = "", **parts: Any) -> tuple[int, Any]:  # noqa: ANN401
    """The status and the document that a request is answered with."""
    headers = {"Authorization": f"Bearer {token or address.token}"} | parts.pop("headers", {})
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, address.url(path), headers=headers, **parts) as reply,
    ):
        return reply.status, await reply.json(content_type=None)


@pytest.mark.fault("F-87")
def test_every_route_is_guarded(tmp_path: Path) -> None:
    """No token, a wrong one, a foreign host, an origin, the reading token where something changes: each is refused."""

    async def main() -> None:
        async with opened(tmp_path) as address:
            for route in Routes(control(tmp_path)).table():
                path = route.path.replace("{name}", "keep+a")
                body: dict[str, Any] = {"json": {}} if route.method == "POST" else {}
                assert (await sent(address, route.method, path, headers={"Host": "evil.example"}, **body))[0] == 403
                assert (await sent(address, route.method, path, headers={"Origin": "null"}, **body))[0] == 403
                if path.startswith("/api/") and route.method != "GET":
                    assert (await sent(address, route.method, path, token=address.read_token, **body))[0] == 403
            assert (await sent(address, "GET", "/api/v1/status", token=address.read_token))[0] == 200

    run_real(main())


@pytest.mark.fault("F-87")
def test_who_guesses_is_soon_not_listened_to(tmp_path: Path) -> None:
    """After ten wrong tokens in a minute the next are turned away; the right one never is: nobody is locked out."""

    async def main() -> None:
        async with opened(tmp_path) as address:
            codes = [(await sent(address, "GET", "/api/v1/status", token=f"guess{n}"))[0] for n in range(12)]
            assert codes == [401] * 10 + [429] * 2
            assert (await sent(address, "GET", "/api/v1/status"))[0] == 200
            assert (await sent(address, "GET", "/healthz"))[0] == 200

    run_real(main())


@pytest.mark.fault("F-85")
@pytest.mark.parametrize(
    ("method", "path", "parts", "code"),
    [
        ("POST", "/api/v1/agents", {"data": b"{", "headers": JSON}, 400),
        ("POST", "/api/v1/agents", {"data": b"x" * 70_000, "headers": JSON}, 413),
        ("POST", "/api/v1/agents", {"data": {"form": "of a page"}}, 415),
        ("POST", "/api/v1/agents", {"json": {"add": ["a b"], "reason": 7}}, 422),
        ("POST", "/api/v1/agents", {"json": [1, 2]}, 422),
        ("POST", "/api/v1/seeds", {"json": {}}, 415),
        ("POST", "/api/v1/seeds", {"data": b"{}\n", "headers": JSONL}, 422),
        ("POST", "/api/v1/seeds?at=-1", {"data": b"", "headers": JSONL}, 422),
        (
            "POST",
            "/api/v1/seeds",
            {"data": io.BytesIO(b"x" * 17_000_000), "headers": JSONL},
            413,
        ),
        ("POST", "/api/v1/retune", {"json": {"values": {}}}, 422),
        ("POST", "/api/v1/status", {}, 405),
        ("GET", "/api/v1/nothing", {}, 404),
        ("GET", "/api/v1/rows?after=x", {}, 422),
        ("GET", "/api/v1/rows?after=99999999999999999999", {}, 422),
        ("GET", "/api/v1/rows", {}, 409),
        ("POST", "/api/v1/pause", {}, 409),
        ("POST", "/api/v1/drain", {}, 409),
        ("DELETE", "/api/v1/agents/keep+a", {}, 409),
    ],
)
def test_bad_requests_are_problems(tmp_path: Path, method: str, path: str, parts: dict[str, Any], code: int) -> None:
    """Malformed, huge, of the wrong kind, or at the wrong time: a problem document with its status, never a 5xx."""

    async def main() -> None:
        async with opened(tmp_path, phase=Phase.STARTING) as address:
            found, told = await sent(address, method, path, **parts)
            assert (found, told["status"]) == (code, code), told
            assert told["title"]

    run_real(main())


@pytest.mark.fault("F-85")
def test_a_request_that_never_comes_is_not_waited_for(tmp_path: Path) -> None:
    """A connection that says nothing, or its head byte by byte, is closed; who asks is answered meanwhile."""

    async def main() -> None:
        async with opened(tmp_path, idle_s=0.5) as address:
            assert address.port is not None
            silent, quiet = await asyncio.open_connection(address.host, address.port)
            slow, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHo")
            assert (await sent(address, "GET", "/healthz"))[0] == 200
            async with asyncio.timeout(10):
                assert await silent.read() == b""
                assert await slow.read() == b""
            quiet.close()
            writer.close()

    run_real(main())


@pytest.mark.fault("F-86")
def test_many_watchers_lock_nobody_out(tmp_path: Path) -> None:
    """Of 200 streams of events 48 are served; orders and questions still come through, and what ends makes room."""

    async def main() -> None:
        async with (
            opened(tmp_path) as address,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
        ):
            headers = {"Authorization": f"Bearer {address.read_token}"}
            replies = [await client.get(address.url("/api/v1/events"), headers=headers) for _ in range(200)]
            codes = [reply.status for reply in replies]
            assert (codes.count(200), codes.count(429)) == (48, 152)
            assert (await sent(address, "GET", "/api/v1/status"))[0] == 200
            assert (await replies[0].content.readline()) == b"event: status\n"
            for reply in replies:
                reply.close()
            code = 429
            async with asyncio.timeout(10):
                while code != 200:
                    async with client.get(address.url("/api/v1/events"), headers=headers) as reply:
                        code = reply.status
                        reply.close()

    run_real(main())


def test_routes_and_the_openapi_file_agree(tmp_path: Path) -> None:
    """Every route is in the file with its method, and nothing else; the service shows the file itself."""
    served = {(route.path, route.method.lower()) for route in Routes(control(tmp_path)).table()}
    document = read_openapi()
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    assert served == described
    assert all(
        "default" in operation["responses"] for item in document["paths"].values() for operation in item.values()
    )

    async def main() -> None:
        async with opened(tmp_path) as address:
            assert await sent(address, "GET", "/api/v1/openapi.json") == (200, document)

    run_real(main())


def test_without_a_port_there_is_a_socket(tmp_path: Path) -> None:
    """Only its owner may open it, and it is gone with the service; a folder too deep for one has it elsewhere."""
    deep = tmp_path / "/".join(["a-folder-with-a-long-name"] * 6)
    deep.mkdir(parents=True)

    async def main() -> None:
        async with opened(deep, port=None, environ={"XDG_RUNTIME_DIR": short}) as address:
            assert address.port is None
            assert address.socket is not None
            assert len(address.socket) < len(str(deep))
            mode = (await asyncio.to_thread(Path(address.socket).stat)).st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
            folder = await asyncio.to_thread(Path(address.socket).parent.stat)
            assert stat.S_IMODE(folder.st_mode) == 0o700
            assert await asyncio.to_thread(ask, address, "GET", "/healthz") == {"ok": True}
            left.append(Path(address.socket))

    left: list[Path] = []
    with TemporaryDirectory() as short:  # pytest's own folder may be too deep for a socket itself
        run_real(main())
        assert not left[0].exists()
