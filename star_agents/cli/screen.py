"""The live screen of a run: one picture in, one thing to draw out, for `serve-run` and `top` alike.

Law: it asks the run nothing, is never wider or higher than it is told, and never says 100 % of what is not over.
Texts of models and servers are shown as text: markup and control characters in them mean nothing. No fact is told by
a colour alone, and only colours are used that are legible on dark and on light.
"""

from collections.abc import Iterator
from textwrap import wrap

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from star_agents.cli.bills import count, spent, summary
from star_agents.cli.fitting import Section, fitted
from star_agents.cli.judging import judge_lines
from star_agents.cli.screen_tables import endpoint_section, recent_section, weight_section
from star_agents.cli.text import cells, duration, flat, one_line, plain, rate
from star_agents.service.view.bill import Bill
from star_agents.service.view.status import Phase, RunStatus

LEAST_WIDTH, LEAST_HEIGHT = 24, 4
"""In less there is no frame, and one line says it all."""

FRAME = 4
"""Columns that the frame takes."""

MAX_AGENTS = 6
"""Agents that are shown: those that cost the most, in dollars and then in tokens."""

MOST_LINES = 3
"""Of one text."""

LABEL = 9
_ALMOST = 99


def screen(status: RunStatus, width: int, height: int = 50) -> RenderableType:
    """The run on a terminal of so many columns and rows."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return Group(one_line(Text(f"{status.phase} {percent(status)} {_seeds(status)}")))
    room = width - FRAME
    body = fitted(list(_sections(status, room)), height - 2)
    title = plain(f"star-agents · {status.name} · {status.phase} · {duration(status.elapsed_s)}", room - 2)
    told = status.message if status.phase is not Phase.RUNNING else ""  # what it said as it began is past
    subtitle = plain(told, room - 2) if told else None
    return Panel(body, title=title, subtitle=subtitle, title_align="left", subtitle_align="left", box=ROUNDED)


def share_done(status: RunStatus) -> int:
    """Per cent of the seeds, rounded down; 99 at most while the run is not over."""
    if status.phase is Phase.FINISHED and status.seeds_done >= status.seeds_total:
        return 100
    if status.seeds_total <= 0:
        return 0
    return min(_ALMOST, max(0, 100 * status.seeds_done // status.seeds_total))


def percent(status: RunStatus) -> str:
    """The same as text; a dash before anything is known of the seeds."""
    return f"{share_done(status)} %" if status.seeds_total else "- %"


def row_rates(status: RunStatus) -> str:
    """What became of the finished seeds, in shares: improved, fallen back to the base or to the seed, dropped."""
    counts = {name: status.events.get(f"row.{source}", 0) for name, source in _BECAME.items()}
    total = sum(counts.values())
    if not total:
        return ""
    fallback = counts["base"] + counts["seed"]
    told = f"improved {counts['improved'] / total:.0%}, fell back {fallback / total:.0%}"
    return f"{told} (base {counts['base']}, seed {counts['seed']}), dropped {counts['dropped'] / total:.0%}"


_BECAME = {"improved": "candidate", "base": "base", "seed": "seed", "dropped": "dropped"}


def _sections(status: RunStatus, room: int) -> Iterator[Section]:
    """Everything there is to show, from top to bottom; the numbers say what goes first where room is short."""
    yield from _standing(status, room)
    yield _gap()
    yield from _machinery(status, room)
    yield from _gapped(weight_section(status, room, priority=6))
    yield from _outcome(status, room)
    yield from _gapped(recent_section(status, room, priority=10))
    if status.page is not None:
        yield _gap()
        yield _line(13, "page", f"{status.page} (star-agents page RUN adds its token)")


def _standing(status: RunStatus, room: int) -> Iterator[Section]:
    """How far it is, how fast, at what cost, and what holds it back."""
    yield Section(priority=0, draw=lambda _: _progress(status, room))
    yield Section(priority=1, draw=lambda _: labelled("now", Text(_speed(status))))
    if status.bill is not None:
        yield _line(2, "spent", summary(status.bill, status.budget))
    yield Section(priority=2, draw=lambda _: _held_back(status))
    if status.judging is not None and status.judging.probes.is_alarmed:
        yield _line(3, "judge", "ALARM: it no longer judges its probes as it should; see docs/judge.md", "bold red")


def _machinery(status: RunStatus, room: int) -> Iterator[Section]:
    """Who does the work: endpoints, servers of ours that are not up, queues, scorer."""
    yield from endpoint_section(status, room, priority=4)
    for server in status.servers:
        if server.state != "up":
            yield _line(5, server.name, f"server {server.state}: {server.reason or server.log_path}", "magenta")
    if status.channels:
        yield _line(7, "queues", _queues(status))
    if status.scorer is not None:
        yield _line(8, "scorer", _scorer(status))


def _outcome(status: RunStatus, room: int) -> Iterator[Section]:
    """What became of the seeds, how the judge does, and which agents cost the most."""
    lines = []
    if rates := row_rates(status):
        lines.append(_line(9, "rows", rates))
    judged = [] if status.judging is None else judge_lines(status.judging)[:2]
    for told in judged:
        lines += _wrapped(11, "judge", told.removeprefix("judge: "), room)
    if status.bill is not None and status.bill.agents:
        lines += _wrapped(12, "agents", _agents(status.bill), room)
    if lines:
        yield _gap()
        yield from lines


def _gapped(sections: Iterator[Section]) -> Iterator[Section]:
    """With an empty line before, if there is anything."""
    for section in sections:
        yield _gap()
        yield section


def _gap() -> Section:
    return Section(priority=20, draw=lambda _: Text(""))


def _line(priority: int, label: str, text: str, style: str = "") -> Section:
    return Section(priority=priority, draw=lambda _: labelled(label, plain(text, 1000), style))


def _wrapped(priority: int, label: str, text: str, room: int) -> list[Section]:
    """On as many lines as it takes, so that no figure is cut in two."""
    lines = wrap(flat(text), max(room - LABEL, LABEL), max_lines=MOST_LINES, placeholder=" …")
    return [_line(priority, "" if number else label, line) for number, line in enumerate(lines)]


def labelled(label: str, text: Text, style: str = "") -> RenderableType:
    """One line: a dim word, and what it is about."""
    if style:
        text.stylize(style)
    return one_line(Text.assemble((cells(label, LABEL - 1).ljust(LABEL), "dim"), text))


def _progress(status: RunStatus, room: int) -> RenderableType:
    """The bar with what it counts; it moves to and fro while there is nothing to count yet."""
    told = f"{percent(status):>5}  {_seeds(status)}  eta {duration(status.eta_s)}"
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    width = max(4, min(60, room - len(told) - 2))
    has_begun = status.seeds_total > 0
    bar = ProgressBar(
        total=100,
        completed=share_done(status),
        width=width,
        pulse=not has_begun and status.phase is Phase.STARTING,
        style="bright_black",  # a grey on any ground; the library's own is darker than what is done on a light one
        complete_style="cyan",
        finished_style="green",
        pulse_style="cyan",
    )
    grid.add_row(bar, Text(told, style="bold"))
    return grid


def _seeds(status: RunStatus) -> str:
    return f"{status.seeds_done}/{status.seeds_total} seeds, {status.seeds_kept} kept"


def _speed(status: RunStatus) -> str:
    tokens_per_s = sum(endpoint.tokens_per_s for endpoint in status.endpoints)
    parts = [f"{rate(status.seeds_per_s)} seeds/s", f"{count(round(tokens_per_s))} tok/s"]
    parts.append(f"{status.seeds_in_flight} seeds in flight")
    return ", ".join(parts)


def _held_back(status: RunStatus) -> RenderableType:
    """Which stage to look at first, or why nothing is held back."""
    found = status.bottleneck
    if found is None:
        return labelled("", Text(_no_bottleneck(status), style="dim"))
    return labelled(
        "", Text.assemble(("bottleneck: ", "bold"), (cells(found.stage, 40), "bold magenta"), f" ({found.why})")
    )


def _no_bottleneck(status: RunStatus) -> str:
    if status.phase is Phase.STARTING:
        return f"starting for {duration(status.elapsed_s)}"
    if status.phase is Phase.RUNNING and not status.seeds_in_flight and status.seeds_done >= status.seeds_total:
        return "waiting: every seed that is there is done"
    return "bottleneck: none, no stage waits for another" if status.phase is Phase.RUNNING else str(status.phase)


def _queues(status: RunStatus) -> str:
    return ", ".join(f"{channel.name} {channel.depth}/{channel.capacity}" for channel in status.channels)


def _scorer(status: RunStatus) -> str:
    scorer = status.scorer
    assert scorer is not None  # noqa: S101  # asked for before
    speed = f"{count(round(scorer.tokens_per_s))} tok/s while busy"
    parts = [f"{scorer.busy} of {scorer.workers} busy", f"{scorer.queued} batches wait", speed]
    if scorer.state != "ready":
        parts.insert(0, str(scorer.state))
    if scorer.restarts:
        parts.append(f"{scorer.restarts} restarts")
    return ", ".join(parts)


def _agents(bill: Bill) -> str:
    dearest = sorted(bill.agents, key=lambda line: (line.usd or 0.0, line.tokens), reverse=True)[:MAX_AGENTS]
    return ", ".join(f"{line.name} {spent(line)}" for line in dearest)
