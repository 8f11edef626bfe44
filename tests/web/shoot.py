"""Takes the pictures of docs/page.md: `python -m tests.web.shoot`, of a real run against the mock server.

The last ones are of the same run at rest. It needs a Chromium (`tests/web/chromium.py`) and takes about two minutes.
Look at the pictures before they are kept.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from playwright.sync_api import Browser, Page

from star_agents.service.run.address import Address
from tests.process.harness import ROOT
from tests.web.chromium import HOW_TO, chromium, launched
from tests.web.stage import address_when_ready, on_stage

IMAGES = ROOT / "docs" / "img"
NUM_SEEDS, ENOUGH = 700, 600
LATENCY_MS = 150
PATIENCE_MS = 300_000
SETTLE_MS = 9_000
"""Every panel has asked for its figures by then."""

Scheme = Literal["light", "dark"]


def main() -> None:
    """Run, and take one picture after the other once there is something to see."""
    path = chromium()
    if path is None:
        sys.exit(HOW_TO)
    with (
        TemporaryDirectory() as folder,
        on_stage(Path(folder), num_seeds=NUM_SEEDS, latency_ms=LATENCY_MS, keep_alive=True) as run,
    ):
        process = run.start()
        try:
            address = address_when_ready(run, process)
            with launched(path) as browser:
                take_all(browser, address)
                process.terminate()
                process.wait()
                take_at_rest(browser, run.run_dir)
        finally:
            process.kill()
            process.wait()


def take_all(browser: Browser, address: Address) -> None:
    """Dark and wide, light and wide, a row, and a phone."""
    take(browser, address, "page-dark", "dark", (1600, 1230), wait_for_enough)
    take(browser, address, "page-light", "light", (1600, 1230), scroll_to_the_scores)
    take(browser, address, "page-row", "light", (1200, 900), open_a_row)
    take(browser, address, "page-narrow", "dark", (390, 1500), lambda _: None)


def take_at_rest(browser: Browser, run_dir: Path) -> None:
    """The page that the command serves of a run that was drained."""
    command = [sys.executable, "-m", "star_agents", "page", str(run_dir), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        url = serving.stdout.readline().strip()
        try:
            shoot(browser, url, "page-at-rest", "light", (1200, 640), lambda _: None)
        finally:
            serving.terminate()


def take(
    browser: Browser,
    address: Address,
    name: str,
    scheme: Scheme,
    size: tuple[int, int],
    prepare: Callable[[Page], None],
) -> None:
    """With a token that may steer, except on the phone."""
    token = address.read_token if name == "page-narrow" else address.token
    shoot(browser, str(address.page(token=token)), name, scheme, size, prepare)


def shoot(
    browser: Browser, url: str, name: str, scheme: Scheme, size: tuple[int, int], prepare: Callable[[Page], None]
) -> None:
    """One picture of the page as a person finds it who has just opened it."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page.goto(url)
    page.wait_for_timeout(SETTLE_MS)
    prepare(page)
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()


def wait_for_enough(page: Page) -> None:
    """Curves worth a picture."""
    page.wait_for_function(f"() => document.querySelector('#progress').value >= {ENOUGH}", timeout=PATIENCE_MS)
    page.wait_for_timeout(SETTLE_MS)


def scroll_to_the_scores(page: Page) -> None:
    """What lies below the first screen."""
    page.evaluate("scrollBy(0, document.querySelector('#h-endpoints').getBoundingClientRect().top - 110)")


def open_a_row(page: Page) -> None:
    """One that a candidate won, by what the judge said."""
    rows = page.locator("#rows tbody tr", has_text="candidate")
    rows.first.locator("button").click()
    page.locator(".candidate.selected").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('.candidate.selected').scrollIntoView({block: 'start'})")


if __name__ == "__main__":
    main()
