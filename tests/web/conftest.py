"""A headless Chromium, and a page in it that nothing may go wrong on: no error, no violation, no foreign request."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest
from blockbuster import blockbuster_ctx

from tests.web.chromium import HOW_TO, chromium, launched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page


WATCH = """
window.seen = [];
document.addEventListener("securitypolicyviolation", (event) => {
  seen.push(`${event.violatedDirective}: ${event.blockedURI}`);
});
"""


@pytest.fixture(autouse=True)
def _no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """As everywhere, but where there is a browser: its driver's loop runs in the thread of the test itself."""
    if "browser" in request.fixturenames:
        yield
    else:
        with blockbuster_ctx("star_agents"):
            yield


@pytest.fixture(scope="module")  # no longer: other tests want the thread for loops of their own
def browser() -> "Iterator[Browser]":
    """The system's own Chromium; nothing is downloaded."""
    path = chromium()
    if path is None:
        pytest.skip(HOW_TO)
    with launched(path) as browser:
        yield browser


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass
class Watched:
    """What went wrong on the pages of a test. `expected` is a part of an error that the test provokes."""

    wrong: list[str] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)
    """Origins of the addresses that were opened."""
    origins: set[str] = field(default_factory=set)
    """Of everything that was asked for."""
    expected: tuple[str, ...] = ()

    def follow(self, page: "Page") -> None:
        page.on("console", lambda message: self.note(message.type, message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self.origins.add(origin_of(request.url)))

    def note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(part in text for part in self.expected):
            self.wrong.append(f"{kind}: {text}")


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def visit(browser: "Browser", watched: Watched) -> "Iterator[Callable[..., Page]]":
    """Opens an address in a browser of its own; in the end all that was seen there must have been well."""
    contexts: list[BrowserContext] = []

    def opened(
        url: str, *, width: int = 1400, height: int = 1000, scheme: Literal["light", "dark"] = "light"
    ) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        context.add_init_script(WATCH)
        contexts.append(context)
        page = context.new_page()
        watched.visited.add(origin_of(url))
        watched.follow(page)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        for page in context.pages:
            watched.wrong += page.evaluate("window.seen")
        context.close()
    assert watched.wrong == []
    assert watched.origins <= watched.visited
