"""The three tables of the live screen: endpoints, pair weights, the newest rows beside their seeds.

Law: each row of a table is one row of the terminal, so that a table can be told how many rows it has.
"""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from star_agents.cli.bills import count, spent
from star_agents.cli.fitting import Section
from star_agents.cli.text import cells, duration, number, one_line, plain, seconds
from star_agents.endpoints.meter import EndpointStatus
from star_agents.service.view.bill import BillLine
from star_agents.service.view.status import STATES, LastRow, PairStatus, RunStatus

WIDE = 120
"""From so many columns on, there is one for why a limit is what it is, and rows lie beside their seeds."""

STYLES = {"ok": "green", "paused": "magenta", "open": "bold red"}

MAX_PAIRS = 12
"""Pairs that are shown where there is room; the heaviest."""

MAX_RECENT = 5

ENDPOINT_FIGURES = {
    "busy": 0,
    "waits": 34,
    "tok/s": 40,
    "p50 s": 46,
    "p95 s": 70,
    "retries": 58,
    "failed": 66,
    "spent": 74,
}
"""Columns, and in how much room each is shown."""

PAIR_FIGURES = {"p": 0, "change": 44, "mean pi": 66, "draws": 52, "wins": 58, "spent": 72}

ALMOST_S = 0.999
"""Added to what is left of a pause, so that 0:00 is not shown before it is over."""

MOST_BAR = 80

_FIGURE = 7
"""Columns that a figure takes."""

_EIGHTHS = " ▏▎▍▌▋▊▉"
_NAME = 22
_STEADY = 0.0005


def endpoint_section(status: RunStatus, room: int, *, priority: int) -> Iterator[Section]:
    """A line for each endpoint, and below it why it is held back."""
    if not status.endpoints:
        return
    wide = room >= WIDE
    held = 0 if wide else sum(endpoint.reason is not None for endpoint in status.endpoints)
    most = 1 + len(status.endpoints) + held
    yield Section(priority=priority, least=2, most=most, draw=lambda rows: _endpoints(status, rows, room))


def _endpoints(status: RunStatus, rows: int, room: int) -> RenderableType:
    """Where there are fewer rows than endpoints, those that are held back come first."""
    wide = room >= WIDE
    figures = [heading for heading, least in ENDPOINT_FIGURES.items() if room >= least]
    table = _table(("endpoint", "state"), figures)
    if wide:
        table.add_column("why")
    charged = _by_name(status.bill.endpoints) if status.bill else {}
    is_short = rows - 1 < len(status.endpoints)
    ordered = sorted(status.endpoints, key=lambda each: is_short and each.state == "ok")
    for endpoint in ordered[: rows - 1]:
        cell = _endpoint(endpoint, charged.get(endpoint.name))
        why = [plain(endpoint.reason or endpoint.limit_reason, room)] if wide else []
        state = Text(_state(endpoint), style=STYLES.get(endpoint.state, ""))
        name = cells(endpoint.name, min(_NAME, max(8, room - 65)))
        table.add_row(name, state, *(cell[heading] for heading in figures), *why)
    reasons = [each for each in status.endpoints if each.reason is not None and not wide]
    return _with_lines(table, [_reason(each, room) for each in reasons[: max(0, rows - 1 - len(ordered))]])


def _reason(endpoint: EndpointStatus, room: int) -> Text:
    return one_line(Text.assemble("  ", plain(f"{endpoint.name}: {endpoint.reason}", 2 * room), style="magenta"))


def _endpoint(endpoint: EndpointStatus, charged: BillLine | None) -> dict[str, Text | str]:
    """Its figures by heading."""
    failed = sum(endpoint.failures.values())
    return {
        "busy": f"{count(endpoint.in_flight)}/{count(endpoint.limit)}",
        "waits": count(endpoint.waiting),
        "tok/s": count(round(endpoint.tokens_per_s)),
        "p50 s": seconds(endpoint.latency_p50_s),
        "p95 s": seconds(endpoint.latency_p95_s),
        "retries": count(endpoint.retries),
        "failed": Text(count(failed), style="bold red" if failed else ""),
        "spent": spent(charged),
    }


def _state(endpoint: EndpointStatus) -> str:
    """What holds an endpoint back, and for how long where that is known."""
    left = endpoint.paused_for_s
    word = STATES[endpoint.state]
    return word if left is None else f"{word} {duration(left + ALMOST_S)}"


def weight_section(status: RunStatus, room: int, *, priority: int) -> Iterator[Section]:
    """The heaviest pairs, each with a bar that moves as it learns."""
    weighted = sorted((pair for pair in status.pairs if pair.p is not None), key=lambda pair: -(pair.p or 0.0))
    if weighted:
        most = 1 + min(MAX_PAIRS, len(weighted)) + (len(weighted) > MAX_PAIRS)
        yield Section(priority=priority, least=3, most=most, draw=lambda rows: _weights(status, weighted, rows, room))


def _weights(status: RunStatus, weighted: Sequence[PairStatus], rows: int, room: int) -> RenderableType:
    figures = [heading for heading, least in PAIR_FIGURES.items() if room >= least]
    table = _table((f"pair weights v{status.weights_version}", ""), figures)
    charged = _by_name(status.bill.pairs) if status.bill else {}
    most = min(_NAME, max(8, room // 3))
    names = max(len(f"pair weights v{status.weights_version}"), *(min(most, len(pair.pair)) for pair in weighted))
    width = max(4, min(MOST_BAR, room - names - 2 - _FIGURE * len(figures)))
    top = max((pair.p or 0.0) for pair in weighted)
    shown = weighted if len(weighted) <= rows - 1 else weighted[: max(1, rows - 2)]
    for pair in shown:
        length = bar((pair.p or 0.0) / top if top > 0 else 0.0, width)
        cell = _pair(pair, charged.get(pair.pair))
        table.add_row(cells(pair.pair, most), Text(length, style="cyan"), *(cell[heading] for heading in figures))
    if len(shown) < len(weighted) and rows - 1 > len(shown):
        table.add_row(Text(f"and {len(weighted) - len(shown)} more", style="dim"))
    return table


def _pair(pair: PairStatus, charged: BillLine | None) -> dict[str, Text | str]:
    """Its figures by heading."""
    return {
        "p": number(pair.p),
        "change": _change(pair),
        "mean pi": number(pair.mean_pi),
        "draws": count(pair.draws),
        "wins": count(pair.wins),
        "spent": spent(charged),
    }


def bar(share: float, width: int) -> str:
    """A bar of up to `width` columns, to the eighth of one."""
    whole, eighth = divmod(round(8 * width * min(1.0, max(0.0, share))), 8)
    return "█" * whole + (_EIGHTHS[eighth] if eighth else "")


def _change(pair: PairStatus) -> Text:
    """How far the weight has moved since the run was new."""
    if pair.p is None or pair.p_before is None:
        return Text("new" if pair.p_before is None else "")
    moved = pair.p - pair.p_before
    if abs(moved) < _STEADY:
        return Text("· .000", style="dim")
    figure = f"{abs(moved):.3f}".removeprefix("0")
    return Text(f"▲ {figure}", style="green") if moved > 0 else Text(f"▼ {figure}", style="magenta")


def recent_section(status: RunStatus, room: int, *, priority: int) -> Iterator[Section]:
    """The newest rows that were kept, beside the seeds that they came from."""
    recent = (status.recent or (() if status.last is None else (status.last,)))[:MAX_RECENT]
    if not recent:
        return
    if room >= WIDE:
        draw = _side_by_side
        each = 1
    else:
        draw, each = _stacked, 2
    yield Section(
        priority=priority, least=1 + each, most=1 + each * len(recent), draw=lambda rows: draw(recent, rows, room)
    )


def _side_by_side(recent: Sequence[LastRow], rows: int, room: int) -> RenderableType:
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("last rows", no_wrap=True)
    table.add_column("pair", no_wrap=True, overflow="ellipsis", max_width=_NAME)
    table.add_column("pi", justify="right", no_wrap=True)
    names = max(len(cells(row.pair or row.source, _NAME)) for row in recent)
    text = max(10, (room - 10 - names - 7) // 3 - 1)
    for heading in ("seed's question", "asked", "answer"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis", width=text)
    for row in recent[: rows - 1]:
        texts = (plain(each, text) for each in (row.seed_instruction, _asked(row), row.response))
        table.add_row(str(row.seed), cells(row.pair or row.source, _NAME), number(row.pi), *texts)
    return table


def _stacked(recent: Sequence[LastRow], rows: int, room: int) -> RenderableType:
    lines = [one_line(Text("last rows: question of the seed, question asked → answer kept", style="dim"))]
    for row in recent[: (rows - 1) // 2]:
        asked = f"{row.instruction[: room // 2]} → " if row.instruction != row.seed_instruction else "→ "
        who = f"      {cells(row.pair or row.source, _NAME)} {number(row.pi)}  "
        lines.append(one_line(Text.assemble((f"{row.seed:>5} ", "dim"), plain(row.seed_instruction, room))))
        lines.append(one_line(Text.assemble((who, "cyan"), plain(asked + row.response[: 4 * room], room))))
    return _with_lines(None, lines)


def _asked(row: LastRow) -> str:
    return row.instruction if row.instruction != row.seed_instruction else "the same"


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    for heading in left:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True, overflow="ellipsis")
    return table


def _with_lines(table: Table | None, lines: Sequence[Text]) -> RenderableType:
    return Group(*([] if table is None else [table]), *lines)


def _by_name(lines: Sequence[BillLine]) -> dict[str, BillLine]:
    return {line.name: line for line in lines}
