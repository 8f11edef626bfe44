from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from star_agents.cli.bills import bill_table, failure_table
from star_agents.cli.console import line
from star_agents.cli.screen import screen
from star_agents.cli.text import duration, plain
from star_agents.core.records import RowSource
from star_agents.endpoints.meter import EndpointStatus
from star_agents.pipeline.channel import Channel
from star_agents.service.view.bill import bill, budget_status
from star_agents.service.view.status import LastRow, PairStatus, Phase, RunStatus
from star_agents.storage.dead_letters import FailureKind
from star_agents.storage.spending import Account, Spend
from star_agents.traffic.budget import Budget
from star_agents.traffic.price import Price

STATUS = RunStatus(
    name="test",
    phase=Phase.RUNNING,
    message="",
    elapsed_s=75.0,
    seeds_total=24,
    seeds_done=6,
    seeds_kept=5,
    seeds_in_flight=4,
    seeds_per_s=0.5,
    eta_s=36.0,
    weights_version=3,
    channels=(Channel[int]("candidates", 16).statistics(),),
    endpoints=(EndpointStatus(name="smol", state="ok", in_flight=3, limit=4, tokens_per_s=41.0, latency_p50_s=2.5),),
    pairs=(
        PairStatus("keep+base", True, 6, 2, 0.2, None, None),
        PairStatus("keep+good", False, 5, 3, 0.8, 0.5, 0.75),
        PairStatus("keep+poor", False, 1, 0, 0.1, 0.5, 0.25),
    ),
    last=LastRow(5, RowSource.CANDIDATE, "keep+good", 0.8, "Name a colour.", "Name a warm colour.", "Red."),
)


def drawn(status: RunStatus, width: int = 80) -> str:
    page = StringIO()
    Console(file=page, width=width, force_terminal=True, color_system=None).print(screen(status, width))
    return page.getvalue()


def bars(row: str) -> int:
    """Eighths of a column that are filled."""
    return 8 * row.count("█") + sum(" ▏▎▍▌▋▊▉".index(char) for char in row if char in "▏▎▍▌▋▊▉")


def test_the_screen_shows_everything_in_eighty_columns() -> None:
    """Seeds, rate, ETA, queues, endpoints, moving weights and the last row, none wider than the terminal."""
    text = drawn(STATUS)
    for part in (
        "6/24 seeds",
        "0.50 seeds/s",
        "eta 0:36",
        "candidates 0/16",
        "smol",
        "3/4",
        "41",
        "0.750",
        "▲ .250",
        "Red.",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_bars_follow_the_weights() -> None:
    """The heaviest pair comes first and has the longest bar; base pairs carry no weight and have none."""
    rows = [row for row in drawn(STATUS).splitlines() if "keep+" in row and "█" in row]
    assert [bars(row) for row in rows] == [17 * 8, round(17 * 8 / 3)]
    assert "keep+good" in rows[0]


@pytest.mark.parametrize("hostile", ["[bold red]x[/]", "\x1b[2J\x1b]0;owned\x07", "a\nb\tc\x00", "[/]"])
def test_text_of_models_is_shown_as_text(hostile: str) -> None:
    """Markup stays as it is and control characters do nothing."""
    assert STATUS.last is not None
    text = drawn(replace(STATUS, last=replace(STATUS.last, response=hostile)))
    assert "\x1b" not in text.replace("\x1b[0m", "")
    assert "\x00" not in text
    if hostile.startswith("["):
        assert hostile in text


def test_the_line_says_the_same() -> None:
    """Without a terminal the same facts come in one line."""
    assert line(STATUS) == ("running seeds=6/24 kept=5 rate=0.50/s eta=0:36 in_flight=4 v=3 smol:3/4@41tok/s")


def test_spending_is_shown_with_what_is_not_known() -> None:
    """Tokens in all, by endpoint, agent and pair; a price that is not known is neither 0 nor left out."""
    spend = {
        Account("smol", "good", "keep+good", "respond"): Spend(3, 0, 3, 1500, 500, wasted_output=2000),
        Account("gpt", "judge", "keep+good", "judge"): Spend(2, 1, 2, 1_000_000, reasoning_tokens=0),
    }
    paid = replace(
        STATUS,
        bill=bill(spend, {"gpt": Price(input=0.5, output=2.0), "smol": None}),
        budget=budget_status(Budget(usd=2.0), waiting=3),
    )
    text = drawn(paid)
    for part in ("1.0M tokens, at least $0.50 of $2.00", "2.0k wasted", "3 calls wait", "good 4.0k tok"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80
    assert line(paid).endswith("spent=≥$0.50")


def test_the_end_table_tells_every_account() -> None:
    """By endpoint, agent and pair, reasoning and waste apart; dollars of a local model are unknown."""
    spend = {Account("smol", "good", "keep+good", "respond"): Spend(3, 1, 3, 1500, 500, 7, wasted_output=2000)}
    page = StringIO()
    Console(file=page, width=120).print(bill_table(bill(spend, {"smol": None})))
    rows = [row.split() for row in page.getvalue().splitlines() if "1.5k" in row]
    figures = ["3", "1", "1.5k", "500", "7", "2.0k", "unknown"]
    assert [[word for word in row if word not in "│┃"][-7:] for row in rows] == [figures] * 4


def test_failures_are_summed_up_in_text_that_is_only_text() -> None:
    """Endpoint, reason, how many, and what the newest said."""
    page = StringIO()
    kinds = [FailureKind("gpt", "bad_request", 12, "no [bold]such\x1b[2J field")]
    Console(file=page, width=120).print(failure_table(kinds))
    assert "bad_request" in page.getvalue()
    assert "12" in page.getvalue()
    assert "no [bold]such [2J field" in page.getvalue()


def test_a_pause_says_how_long_it_lasts() -> None:
    """Seconds left, not a time on a clock that nobody can see."""
    (endpoint,) = STATUS.endpoints
    paused = replace(endpoint, state="paused", paused_for_s=75.0)
    assert "paused 1:15" in drawn(replace(STATUS, endpoints=(paused,)))


def test_before_the_start_there_is_little_to_show() -> None:
    """A status of a run that is still starting draws and prints."""
    starting = RunStatus("test", Phase.STARTING, "starting the scorers", 3.0)
    assert "starting the scorers" in drawn(starting)
    assert line(starting).startswith("starting seeds=0/0")


def test_durations_and_clipping() -> None:
    """Hours appear when there are any; what is not known is a dash; long text ends in an ellipsis."""
    assert (duration(3723.0), duration(59.0), duration(None)) == ("1:02:03", "0:59", "-")
    assert plain("abcdef", 4).plain == "abc…"
