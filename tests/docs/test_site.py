"""The documentation site builds without a warning, and asks nobody for anything."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.web.chromium import HOW_TO, chromium, launched

pytestmark = pytest.mark.timeout(300)

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
"""What a browser fetches by itself, by tag and attribute; links that somebody must click on are not among it."""
HARMLESS = {"canonical", "next", "prev"}


class Loaded(HTMLParser):
    """Collects what a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        target = of.get(LOADS.get(tag, ""))
        if target and of.get("rel") not in HARMLESS:
            self.targets.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a dead link, a dead section or a page that is in no menu is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", ".ci/mkdocs.yml"]
    done = subprocess.run([*command, "--site-dir", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    """A page of HTML for each of Markdown, and the pictures."""
    pages = [page.relative_to(ROOT / "docs") for page in ROOT.glob("docs/**/*.md")]
    assert all((site / page.with_suffix(".html")).exists() for page in pages)
    assert (site / "img" / "flow.svg").exists()


def test_markdown_means_the_same_here_and_elsewhere(site: Path) -> None:
    """Python-Markdown starts no list within a paragraph, and keeps the stroke that hides a bar in code from a table."""
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(r"<p>(?:(?!</p>).)*\n(?:- |\d\. |\| )", text, re.DOTALL), page
        assert not re.findall(r"<td>(?:(?!</td>).)*\\\|", text), page


def test_nothing_foreign_is_loaded(site: Path) -> None:
    """No tag and no style sheet names another host."""
    for page in site.rglob("*.html"):
        parser = Loaded()
        parser.feed(page.read_text())
        assert parser.targets
        assert not [target for target in parser.targets if re.match(r"([a-z]+:)?//", target)], page
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text()), style


@pytest.fixture
def _no_blocking_calls() -> Iterator[None]:
    """Not looked at here: the browser's driver has a loop of its own in this thread."""
    yield  # noqa: PT022  # it takes the place of a fixture that yields


@pytest.mark.slow
def test_a_browser_asks_nobody(site: Path) -> None:
    """Opened in Chromium, from a disk, a page with a picture and one with tables load nothing but files."""
    path = chromium()
    if path is None:
        pytest.skip(HOW_TO)
    asked: list[str] = []
    with launched(path) as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name in ("how-it-works", "compare"):
            page.goto((site / f"{name}.html").as_uri(), wait_until="networkidle")
            assert page.locator("h1").count() == 1
    assert len(asked) > 5
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
