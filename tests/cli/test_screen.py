"""The live screen at every size and with every value: true, in its bounds, and never a crash."""

from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from star_agents.cli.console import line
from star_agents.cli.fitting import Section, rows_of
from star_agents.cli.screen import percent, row_rates, screen, share_done
from star_agents.core.records import RowSource, Tally
from star_agents.endpoints.meter import EndpointState, EndpointStatus
from star_agents.pipeline.channel import ChannelStatistics
from star_agents.service.view.bill import bill
from star_agents.service.view.judge_status import judge_status
from star_agents.service.view.status import Bottleneck, LastRow, PairStatus, Phase, RunStatus
from star_agents.storage.spending import Account, Spend
from star_agents.traffic.price import Price
from tests.cli.test_console import STATUS
from tests.service.service_world import status as everything

HUGE = 10**18


def drawn(status: RunStatus, width: int, height: int = 60) -> list[str]:
    """The lines that a terminal of this size would show."""
    page = StringIO()
    Console(file=page, width=width, height=height, color_system=None, force_terminal=True).print(
        screen(status, width, height)
    )
    return page.getvalue().splitlines()


def many(status: RunStatus, endpoints: int, pairs: int) -> RunStatus:
    """The same with so many endpoints, every second held back, and so many pairs."""
    (endpoint,) = STATUS.endpoints
    kinds: list[tuple[EndpointState, str | None]] = [("ok", None), ("open", "connection refused")]
    return replace(
        status,
        endpoints=tuple(
            replace(endpoint, name=f"e{index}", state=kinds[index % 2][0], reason=kinds[index % 2][1])
            for index in range(endpoints)
        ),
        pairs=tuple(PairStatus(f"keep+{index}", False, 1, 0, 0.5, 1 / pairs, 1 / pairs) for index in range(pairs)),
    )


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("status", [STATUS, everything(), many(STATUS, 3, 20)], ids=["plain", "everything", "many"])
def test_every_fact_is_there_at_both_widths(status: RunStatus, width: int) -> None:
    """Progress, speed, endpoints with why, queues, weights and rows; no line is longer than the terminal."""
    lines = drawn(status, width)
    text = "\n".join(lines)
    for part in ("seeds/s", "tok/s", "endpoint", "p50 s", "p95 s", "retries", "queues", "pair weights", "last rows"):
        assert part in text
    if len(status.endpoints) > 1:
        assert "connection refused" in text
        assert "and 8 more" in text
    assert max(map(cell_len, lines)) <= width


def test_wide_tells_why_a_limit_is_what_it_is() -> None:
    """Beside each endpoint at 160 columns; at 80 only what is wrong has a line."""
    (endpoint,) = STATUS.endpoints
    status = replace(STATUS, endpoints=(replace(endpoint, limit_reason="cut by a rate limit"),))
    assert "cut by a rate limit" in "\n".join(drawn(status, 160))
    assert "cut by a rate limit" not in "\n".join(drawn(status, 80))


def test_it_is_never_all_done_while_something_is_waited_for() -> None:
    """99 % at most until the run is over, also where every seed that is known is done; then 100 %."""
    waiting = replace(STATUS, seeds_done=24, eta_s=None)
    assert percent(waiting) == "99 %"
    assert "eta -" in "\n".join(drawn(waiting, 80))
    over = replace(waiting, phase=Phase.FINISHED)
    assert percent(over) == "100 %"
    assert share_done(replace(over, seeds_done=23)) == 95
    assert percent(RunStatus("x", Phase.STARTING, "", 0.0)) == "- %"


def test_the_bottleneck_is_the_one_of_the_snapshot() -> None:
    """What the service decided is told as it is, in the screen and in the line; nothing is decided again."""
    full = replace(STATUS, channels=(ChannelStatistics("candidates", 16, 16, 16, 0, 9, 0),))
    assert "bottleneck: none" in "\n".join(drawn(full, 80))
    assert "bottleneck" not in line(full)
    told = replace(STATUS, bottleneck=Bottleneck("endpoint smol", "3 of 4 calls out, 9 wait", 0.5))
    assert "bottleneck: endpoint smol (3 of 4 calls out, 9 wait)" in "\n".join(drawn(told, 80))
    assert "bottleneck=endpoint:smol" in line(told)


def test_no_figure_of_the_judge_is_cut_at_eighty_columns() -> None:
    """What is too long for a line goes on in the next; the dearest agents come first, by dollars."""
    tally = Tally((), {"judge.asked": 221, "judge.spared": 499, "judge.orders.first": 73, "judge.orders.second": 76})
    costs = {"long-winded": (2_000_000, 0.1), "dear": (9, 1e6), "middling": (100, 1e4), "another-one": (7, 1e3)}
    spend = {Account(name, name, "keep+a", "respond"): Spend(1, 0, 1, tokens, 0) for name, (tokens, _) in costs.items()}
    told = bill(spend, {name: Price(input=usd, output=0.0) for name, (_, usd) in costs.items()})
    shown = replace(STATUS, judging=judge_status(tally, {}, swap=True), bill=told)
    text = " ".join(" ".join(drawn(shown, 80)).replace("│", " ").split())
    assert "suspect answers 0, 0 of them selected" in text
    assert "(first favoured 73, second 76)" in text
    assert text.index("dear $9.00") < text.index("middling $1.00") < text.index("long-winded $0.20")


def test_a_seed_that_kept_nothing_better_counts_as_fallback() -> None:
    """Base and seed are fallbacks, a drop is neither."""
    events = {"row.candidate": 5, "row.base": 2, "row.seed": 1, "row.dropped": 2}
    assert row_rates(replace(STATUS, events=events)) == ("improved 50%, fell back 30% (base 2, seed 1), dropped 20%")


@pytest.mark.parametrize("height", range(1, 30))
def test_a_small_terminal_loses_rows_by_their_worth(height: int) -> None:
    """Never higher than it is told; the bar is the last to go, the newest rows go before the endpoints."""
    lines = drawn(many(STATUS, 5, 9), 80, height)
    assert len(lines) <= height
    text = "\n".join(lines)
    assert "6/24 seeds" in text
    if "last rows" in text:
        assert "endpoint" in text
        assert "bottleneck" in text


names = st.text(max_size=40) | st.sampled_from(["[bold]x[/]", "\x1b[2J", "\u202egnp.exe", "日本語" * 9, "a\x00b"])
floats = st.floats(allow_nan=True, allow_infinity=True) | st.just(0.0)
counts = st.integers(0, HUGE)
statuses = st.builds(
    RunStatus,
    name=names,
    phase=st.sampled_from(Phase),
    message=names,
    elapsed_s=floats,
    seeds_total=counts,
    seeds_done=counts,
    seeds_kept=counts,
    seeds_in_flight=counts,
    seeds_per_s=floats,
    eta_s=st.none() | floats,
    channels=st.lists(
        st.builds(ChannelStatistics, names, counts, counts, counts, counts, counts, counts), max_size=3
    ).map(tuple),
    endpoints=st.lists(
        st.builds(
            EndpointStatus,
            name=names,
            state=st.sampled_from(["ok", "paused", "open"]),
            reason=st.none() | names,
            in_flight=counts,
            limit=counts,
            limit_reason=names,
            waiting=counts,
            retries=counts,
            tokens_per_s=st.floats(0, 1e12),
            latency_p50_s=st.none() | floats,
            paused_for_s=st.none() | floats,
        ),
        max_size=4,
    ).map(tuple),
    pairs=st.lists(
        st.builds(
            PairStatus,
            names,
            st.booleans(),
            counts,
            counts,
            st.none() | floats,
            st.none() | st.floats(0, 1),
            st.none() | st.floats(0, 1),
        ),
        max_size=20,
    ).map(tuple),
    recent=st.lists(
        st.builds(LastRow, counts, st.sampled_from(RowSource), st.none() | names, st.none() | floats, *[names] * 3),
        max_size=5,
    ).map(tuple),
)


@settings(max_examples=50, deadline=None)
@given(status=statuses, width=st.integers(1, 200), height=st.integers(1, 60))
def test_whatever_is_true_can_be_drawn(status: RunStatus, width: int, height: int) -> None:
    """Hostile names, nothing, infinity: a picture within its bounds, without a control character, or a plain line."""
    page = StringIO()
    Console(file=page, width=width, height=height, color_system=None, force_terminal=True).print(
        screen(status, width, height)
    )
    lines = page.getvalue().split("\n")[:-1]
    assert len(lines) <= height
    assert all(char.isprintable() for text in lines for char in text)
    assert max(map(cell_len, lines), default=0) <= max(width, 1)
    assert line(status).isprintable()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(0, 9)), max_size=12), st.integers(-1, 40))
def test_rows_are_given_out_by_priority(wanted: list[tuple[int, int, int]], height: int) -> None:
    """Never more than there are; a section has none or from its least to its most; the first is served if it fits."""
    sections = [
        Section(priority=priority, least=least, most=least + more, draw=lambda _: "")
        for priority, least, more in wanted
    ]
    rows = rows_of(sections, height)
    assert sum(rows) <= max(0, height)
    assert all(not got or section.least <= got <= section.most for section, got in zip(sections, rows, strict=True))
    first = min(range(len(sections)), key=lambda index: sections[index].priority, default=None)
    if first is not None and sections[first].least <= height:
        assert rows[first] >= sections[first].least
