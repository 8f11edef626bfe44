"""The page in a real browser: what it shows, what it does when it is clicked, and what it does not let in."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from star_agents.core.records import Candidate, Graded, Seed
from star_agents.endpoints.meter import EndpointStatus
from star_agents.pipeline.channel import ChannelStatistics
from star_agents.service.view.order_line import OrderLine
from star_agents.service.view.status import Bottleneck, Ending, PairStatus, Phase
from star_agents.storage.commands import Outcome, Verb
from star_agents.storage.lost import Lost
from star_agents.storage.store import RunStore
from tests.storage.examples import MANIFEST, asked, completion, graded, plan, update
from tests.web.conftest import Watched
from tests.web.theatre import Loop, Theatre, on_a_loop_of_its_own, played

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Visit = Callable[..., "Page"]

NUM_ROWS = 130
HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>{{7*7}}'


async def fill(path: Path, num_rows: int) -> None:
    async with await RunStore.open(path, MANIFEST) as store:
        for number in range(num_rows):
            await store.assign(plan(number))
            await store.respond(asked(number, 1), completion(f"Deep answer {number}"))
        for version, first in enumerate(range(0, num_rows, 10), 1):
            await store.learn(update(version, *range(first, min(first + 10, num_rows))))


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with on_a_loop_of_its_own() as loop:
        yield loop


@pytest.fixture
def theatre(tmp_path: Path, loop: Loop) -> Iterator[Theatre]:
    theatre = Theatre(tmp_path)
    loop.run(fill(theatre.folder.database, NUM_ROWS))
    theatre.shown = replace(theatre.shown, seeds_done=NUM_ROWS, seeds_total=1000, weights_version=13)
    with played(theatre):
        yield theatre


def text(page: "Page", selector: str) -> str:
    return str(page.locator(selector).inner_text())


def wait(page: "Page", expression: str) -> None:
    page.wait_for_function(f"() => {expression}")


def test_it_shows_the_run_and_follows_it(theatre: Theatre, visit: Visit) -> None:
    """Head, tiles, pairs, endpoints, cost and rows as the service says, and what changes is seen without a reload."""
    page = visit(theatre.url())
    wait(page, "document.querySelectorAll('#rows tbody tr').length === 50")
    assert text(page, "#name") == "test"
    assert text(page, "#phase") == "running"
    assert "130 of 1,000 seeds · 13.0 %" in text(page, "#progress-text")
    assert text(page, "#rows tbody tr:first-child td:first-child") == "130"
    assert page.locator("#endpoints tbody td").last.get_attribute("title") == "given up: timeout 1"
    assert page.locator("#weights canvas").count() == 1
    wait(page, "document.querySelector('#scores-legend').textContent.includes('base130')")  # the others have one score
    theatre.shown = replace(theatre.shown, seeds_done=999, name="another")
    wait(page, "document.querySelector('#name').textContent === 'another'")
    assert "999 of 1,000 seeds · 99.9 %" in text(page, "#progress-text")


def test_the_bottleneck_is_what_the_service_says(theatre: Theatre, visit: Visit) -> None:
    """The stage and the words that the terminal has too, whatever the queues look like; or that there is none."""
    full = ChannelStatistics("unjudged", 16, 16, 16, 0, 9, 0)
    theatre.shown = replace(theatre.shown, channels=(full,), bottleneck=Bottleneck("scorer", "2 of 2 busy", 0.9))
    page = visit(theatre.url())
    wait(page, "document.querySelector('#bottleneck').textContent === 'bottleneck: scorer (2 of 2 busy)'")
    assert page.locator("#stages .queue.full").count() == 1
    theatre.shown = replace(theatre.shown, bottleneck=None)
    wait(page, "document.querySelector('#bottleneck').textContent.startsWith('bottleneck: none')")


def test_orders_and_lost_rows_are_shown(theatre: Theatre, visit: Visit) -> None:
    """The newest orders with their door and outcome, text as text; a file that is lost stands above everything else."""
    page = visit(theatre.url())
    wait(page, "document.querySelector('#orders').textContent === 'nothing was ordered yet'")
    assert not page.locator("#lost").is_visible()
    refused = OrderLine(2, "2026-01-02T03:04:05.678+00:00", "port:token", Verb.AGENTS, Outcome.REFUSED, HOSTILE)
    lost = Lost(
        file="shards/1.parquet", holds="rows", why="gone", seq_lo=1, seq_hi=1024, seed_lo=0, seed_hi=1030, rows=1024
    )
    theatre.shown = replace(theatre.shown, orders=(refused,), lost=(lost,))
    wait(page, "document.querySelector('#orders').textContent.includes('refused, by port:token')")
    assert HOSTILE in text(page, "#orders")
    assert page.evaluate("window.pwned") is None
    assert text(page, "#lost") == "shards/1.parquet: gone: 1,024 rows are lost with it"
    assert page.locator("#lost").is_visible()


def test_it_is_never_all_done_before_the_run_is_over(theatre: Theatre, visit: Visit) -> None:
    """A run that waits for more seeds is not done, though every one that is there is: as on the terminal."""
    theatre.shown = replace(theatre.shown, seeds_done=1000, seeds_in_flight=0, bottleneck=None)
    page = visit(theatre.url())
    wait(page, "document.querySelector('#progress-text').textContent === '1,000 of 1,000 seeds · 99.9 %'")
    assert text(page, "#bottleneck") == "waiting: every seed that is there is done"
    theatre.shown = replace(theatre.shown, phase=Phase.FINISHED, ending=Ending.COMPLETE)
    wait(page, "document.querySelector('#progress-text').textContent === '1,000 of 1,000 seeds · 100.0 %'")


def test_the_token_leaves_the_address_and_stays_in_the_tab(theatre: Theatre, visit: Visit, watched: Watched) -> None:
    """It is in no URL that is asked for, survives a reload, and a tab without one is asked for it."""
    page = visit(theatre.url())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    wait(page, "document.querySelector('#phase').textContent === 'running'")
    assert page.url == theatre.url("")
    page.reload()
    wait(page, "document.querySelector('#phase').textContent === 'running'")
    assert asked
    assert not any(theatre.address.token in url for url in asked)

    other = visit(theatre.url(""))
    wait(other, "document.querySelector('#token-dialog').open")
    watched.expected = ("401",)
    other.fill("#token", "not the token")
    other.press("#token", "Enter")
    wait(other, "document.querySelector('#phase').textContent === 'needs a token'")
    wait(other, "document.querySelector('#token-dialog').open")
    other.fill("#token", theatre.url())  # the whole address, pasted
    other.press("#token", "Enter")
    wait(other, "document.querySelector('#phase').textContent === 'running'")


def test_the_buttons_steer_the_run_by_keyboard(theatre: Theatre, visit: Visit) -> None:
    """Pause, resume and drain by Tab, Enter and Escape alone; the focus is never lost, and a drain is asked about."""
    page = visit(theatre.url())
    page.locator("#pause").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait(page, "document.querySelector('#phase').textContent === 'paused'")
    assert page.evaluate("document.activeElement.id") == "resume"
    page.keyboard.press("Enter")
    wait(page, "document.querySelector('#phase').textContent === 'running'")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait(page, "document.querySelector('#drain-dialog').open")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "drain"
    assert theatre.moves == [Phase.PAUSED, Phase.RUNNING]
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait(page, "document.querySelector('#phase').textContent === 'draining'")
    assert theatre.moves == [Phase.PAUSED, Phase.RUNNING, Phase.DRAINING]
    assert not page.locator("#drain").is_visible()


def test_a_token_that_may_only_look_has_no_buttons(theatre: Theatre, visit: Visit) -> None:
    """Everything is seen, and nothing is there to press."""
    page = visit(theatre.url(theatre.address.read_token))
    wait(page, "document.querySelectorAll('#rows tbody tr').length === 50")
    assert [page.locator(f"#{verb}").is_visible() for verb in ("pause", "resume", "drain")] == [False] * 3


def test_rows_are_paged_and_shown_whole(theatre: Theatre, visit: Visit) -> None:
    """Older and newer, a row and a seed by number; one whole with its candidates, failures and calls, by keyboard."""
    page = visit(theatre.url())
    wait(page, "document.querySelector('#rows-note').textContent === '130 to 81 of 130'")
    page.click("#older")
    wait(page, "document.querySelector('#rows-note').textContent === '80 to 31 of 130'")
    page.click("#older")
    wait(page, "document.querySelector('#rows-note').textContent === '50 to 1 of 130'")
    assert page.locator("#older").is_disabled()
    page.click("#newest")
    wait(page, "document.querySelector('#rows-note').textContent === '130 to 81 of 130'")
    page.focus("#rows tbody tr:nth-child(2) button")
    page.keyboard.press("Enter")
    wait(page, "document.querySelector('#row').open")
    shown = text(page, "#row")
    assert "Row 129 · seed 128" in shown
    assert "Deep answer 128" in shown
    assert "timeout: no answer in 600 s" in shown
    assert "win, win" in shown
    page.click("#row-older")
    wait(page, "document.querySelector('#row-title').textContent.startsWith('Row 128')")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.querySelector('#row').open")
    page.fill("#goto-seed", "7")
    page.press("#goto-seed", "Enter")
    wait(
        page,
        "document.querySelector('#row').open && document.querySelector('#row-title').textContent.startsWith('Row 8 ')",
    )


def test_a_row_that_is_not_there_is_told(theatre: Theatre, visit: Visit, watched: Watched) -> None:
    """A seed that is not finished leaves the page as it is, with a word."""
    watched.expected = ("404",)
    page = visit(theatre.url())
    wait(page, "document.querySelectorAll('#rows tbody tr').length === 50")
    page.fill("#goto-seed", "99999")
    page.press("#goto-seed", "Enter")
    wait(page, "document.querySelector('#rows-note').textContent === 'seed 99999 is not finished'")


def hostile_row() -> Graded:
    """A row of which every text that a stranger wrote is an attack."""
    row = graded(0)
    bad = Candidate(1, HOSTILE, HOSTILE, HOSTILE)
    seed = Seed(0, HOSTILE, HOSTILE, HOSTILE, source_id=HOSTILE)
    settled = replace(
        row.settled,
        plan=replace(row.settled.plan, seed=seed),
        outcomes=(row.settled.outcomes[0], bad, row.settled.outcomes[2]),
    )
    verdicts = {**row.verdicts, 1: replace(row.verdicts[1], labels=(HOSTILE,), suspicions=(HOSTILE,))}
    return replace(row, settled=settled, verdicts=verdicts)


async def fill_hostile(path: Path) -> None:
    row = hostile_row()
    async with await RunStore.open(path, MANIFEST) as store:
        await store.assign(row.settled.plan)
        await store.respond(asked(0, 1), completion(HOSTILE, endpoint=HOSTILE, model=HOSTILE))
        await store.learn(replace(update(1, 0), graded=(row,)))


@pytest.fixture
def hostile(tmp_path: Path, loop: Loop) -> Iterator[Theatre]:
    theatre = Theatre(tmp_path)
    loop.run(fill_hostile(theatre.folder.database))
    endpoint = EndpointStatus(
        name=HOSTILE, state="open", reason=HOSTILE, models=(HOSTILE,), faults={HOSTILE: 1}, failures={HOSTILE: 1}
    )
    theatre.shown = replace(
        theatre.shown,
        name=HOSTILE,
        message=HOSTILE,
        phase=Phase.PAUSED,
        endpoints=(endpoint,),
        weights_version=1,
        seeds_done=1,
        pairs=(PairStatus(f"{HOSTILE}+{HOSTILE}", False, 2, 1, 0.5, 0.5, 0.75),),
    )
    with played(theatre):
        yield theatre


def test_hostile_text_is_text(hostile: Theatre, visit: Visit) -> None:
    """Markup in a name, an instruction, an answer, a model, a verdict, a fault or a message is shown and never runs."""
    page = visit(hostile.url())
    wait(page, "document.querySelectorAll('#rows tbody tr').length === 1")
    page.click("#rows tbody button")
    wait(page, "document.querySelector('#row').open")
    for place in ("#name", "#message", "#pairs", "#endpoints", "#rows tbody", "#row-body"):
        assert HOSTILE in text(page, place), place
    assert text(page, "#row-body").count(HOSTILE) >= 8
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 1  # the page's own icon
    assert page.locator("script").count() == 2


def test_an_end_and_a_silence_are_told_apart(theatre: Theatre, visit: Visit) -> None:
    """A run that has ended keeps its last picture; without an end the page says that its figures are old."""
    page = visit(theatre.url())
    wait(page, "document.querySelector('#phase').textContent === 'running'")
    theatre.shown = replace(theatre.shown, phase=Phase.FINISHED, ending=Ending.COMPLETE, seeds_done=1000)
    wait(page, "document.querySelector('#message').textContent.startsWith('The run has ended: complete')")
    assert "1,000 of 1,000 seeds · 100.0 %" in text(page, "#progress-text")
    assert page.locator("#pause").is_disabled()
    assert "there is nothing to steer" in str(page.locator("#pause").get_attribute("title"))
    assert page.locator("#rows tbody tr").count() == 50


def test_a_service_that_is_gone_is_told(tmp_path: Path, loop: Loop, visit: Visit, watched: Watched) -> None:
    """The page says so, and that it asks again."""
    theatre = Theatre(tmp_path)
    loop.run(fill(theatre.folder.database, 1))
    watched.expected = ("ERR_",)
    with played(theatre):
        page = visit(theatre.url())
        wait(page, "document.querySelector('#phase').textContent === 'running'")
    wait(page, "document.querySelector('#phase').textContent === 'not connected'")
    assert "the figures are old" in text(page, "#message")
    assert not page.locator("#pause").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_it_is_open_to_all(theatre: Theatre, visit: Visit, width: int, scheme: str) -> None:
    """The checker axe finds nothing in either scheme or width, and nothing is wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(theatre.url(), width=width, scheme=scheme)
    wait(page, "document.querySelectorAll('#rows tbody tr').length === 50")
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("#rows tbody button")
    wait(page, "document.querySelector('#row').open")
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("Escape")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
