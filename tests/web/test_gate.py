"""What the service lets a browser do: its own page may steer, no other page may do anything."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from star_agents.service.api.page import Page
from star_agents.service.view.status import Phase
from tests.loops import run_real
from tests.web.theatre import Theatre

BANNED = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "new Function",
    "style=",
    " onclick",
)


async def posted(theatre: Theatre, headers: dict[str, str]) -> int:
    token = {"Authorization": f"Bearer {theatre.address.token}"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(theatre.address.url("/api/v1/pause"), headers=token | headers) as reply,
    ):
        return reply.status


@pytest.mark.fault("F-87")
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),
        ({"Origin": "http://{host}"}, 200),
        ({"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "localhost:9", "Origin": "http://localhost:9"}, 200),  # through a tunnel
        ({"Origin": "https://{host}"}, 403),
        ({"Origin": "http://{host}.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),  # a rebound name
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),  # another port of this machine
    ],
)
def test_only_its_own_page_may_steer(tmp_path: Path, headers: dict[str, str], code: int) -> None:
    """The right token alone is not enough for a page: it must have come from the very address that it asks."""

    async def main() -> None:
        theatre = Theatre(tmp_path)
        async with theatre.playing():
            host = f"127.0.0.1:{theatre.address.port}"
            assert await posted(theatre, {name: value.format(host=host) for name, value in headers.items()}) == code
            assert theatre.moves == ([Phase.PAUSED] if code == 200 else [])

    run_real(main())


def test_the_files_of_the_page_are_open_and_strict(tmp_path: Path) -> None:
    """Without a token, with a policy that lets nothing in, not sent twice; and nothing beside them is served."""

    async def main() -> None:
        theatre = Theatre(tmp_path)
        async with theatre.playing(), aiohttp.ClientSession() as client:

            async def get(path: str, **headers: str) -> tuple[int, Any, bytes]:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                async with client.get(theatre.address.url(path), headers=named) as reply:
                    return reply.status, reply.headers, await reply.read()

            for route in (await asyncio.to_thread(Page.load)).table():
                code, headers, body = await get(route.path)
                assert code == 200, route.path
                assert headers["Content-Security-Policy"].startswith(
                    "default-src 'none'; script-src 'self'; style-src 'self';"
                )
                assert "unsafe" not in headers["Content-Security-Policy"]
                assert headers["Content-Type"].endswith("charset=utf-8")
                assert (await get(route.path, If_None_Match=headers["ETag"]))[::2] == (304, b"")
                assert theatre.address.token.encode() not in body
            for path in ("/js/", "/js/../../api.py", "/js/%2e%2e/%2e%2e/api.py", "/web/index.html", "/index.html"):
                assert (await get(path))[0] == 404
            assert (await get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"))[0] == 200  # a link to it
            assert (await get("/", Host="evil.example"))[0] == 403

    run_real(main())


def test_the_page_makes_text_and_never_markup() -> None:
    """No script of ours makes elements of a text, evaluates one, or writes a style into the document."""
    folder = Path(__file__).parents[2] / "star_agents" / "service" / "api" / "web"
    ours = [*folder.glob("js/*.js"), folder / "index.html"]
    assert len(ours) > 10
    for file in ours:
        for banned in BANNED:
            assert banned not in file.read_text(), f"{file.name}: {banned}"
        assert len(file.read_text().splitlines()) <= 250, file.name
