"""What a person sees of a run: a live screen on a terminal, plain lines anywhere else, a table at the end.

Everything drawn comes from one `RunStatus`; nothing here asks the run anything else. Texts of models are
shown as text: markup and control characters in them mean nothing.
"""

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from star_agents.cli.bills import bill_table, failure_table, spent, summary
from star_agents.cli.judging import judge_lines
from star_agents.cli.text import plain
from star_agents.endpoints.meter import EndpointStatus
from star_agents.service.bill import Bill, BillLine, BudgetStatus
from star_agents.service.lifecycle import Result
from star_agents.service.status import Ending, PairStatus, RunStatus

BAR_WIDTH = 16
MAX_PAIRS = 12
"""Lines of pairs on the live screen; the heaviest are shown."""
MAX_AGENTS = 6
"""Agents on the live screen; those that cost the most tokens are shown."""


def duration(seconds: float | None) -> str:
    """`1:02:03`, or a dash for what is not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def screen(status: RunStatus, width: int) -> RenderableType:
    """The live screen, for a terminal `width` columns wide."""
    parts: list[RenderableType] = [_headline(status), _queues(status)]
    if status.bill is not None:
        parts.append(_spending(status.bill, status.budget))
    parts += [_endpoints(status), _weights(status), *_judging(status)]
    if status.last is not None:
        parts.append(_last(status, width))
    return Panel(Group(*parts), title=f"star-agents · {status.name}", subtitle=status.message or None)


def line(status: RunStatus) -> str:
    """The same in one plain line, for logs and pipes."""
    queues = " ".join(f"{channel.name}={channel.depth}" for channel in status.channels if channel.depth)
    calls = " ".join(
        f"{endpoint.name}:{endpoint.in_flight}/{endpoint.limit}@{endpoint.tokens_per_s:.0f}tok/s"
        for endpoint in status.endpoints
    )
    return (
        f"{status.phase} seeds={status.seeds_done}/{status.seeds_total} kept={status.seeds_kept} "
        f"rate={status.seeds_per_s:.2f}/s eta={duration(status.eta_s)} in_flight={status.seeds_in_flight} "
        f"v={status.weights_version} {calls} {queues}"
    ).rstrip() + (f" spent={spent(status.bill.total)}" if status.bill else "")


def pair_table(pairs: Iterable[PairStatus], *, title: str | None = None) -> Table:
    """Draws, wins, mean pi, and the weight before and after; base pairs carry no weight."""
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("pair")
    for heading in ("draws", "wins", "mean pi", "p before", "p after"):
        table.add_column(heading, justify="right")
    for pair in pairs:
        label = f"{pair.pair} (base)" if pair.is_base else pair.pair
        figures = (_number(pair.mean_pi), _number(pair.p_before), _number(pair.p))
        table.add_row(label, str(pair.draws), str(pair.wins), *figures)
    return table


def print_summary(console: Console, result: Result) -> None:
    """What a start came to: pairs, notable events, what it cost, what failed, and where the data set is."""
    status = result.status
    console.print(f"{status.name}: {result.ending}, {status.seeds_done} seeds done, {status.seeds_kept} rows kept")
    if result.exported is None:
        return
    console.print(pair_table(status.pairs, title="agent-pairs"))
    events = "  ".join(f"{name}={count}" for name, count in status.events.items())
    console.print(Text(events, style="dim"), soft_wrap=True)
    for judged in judge_lines(status.judging) if status.judging else ():
        console.print(Text(judged), soft_wrap=True)
    if status.bill is not None:
        console.print(bill_table(status.bill))
    if result.failures:
        console.print(failure_table(result.failures))
    if result.ending is Ending.BUDGET:
        console.print(Text(status.message), soft_wrap=True)
    console.print(f"data set: {result.exported.data_file} ({result.exported.contents.rows} rows)", soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _headline(status: RunStatus) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(status.seeds_total, 1), completed=status.seeds_done, width=24)
    counts = f"{status.seeds_done}/{status.seeds_total} seeds, {status.seeds_kept} kept"
    pace = f"{status.seeds_per_s:.2f}/s  eta {duration(status.eta_s)}  elapsed {duration(status.elapsed_s)}"
    grid.add_row(Text(str(status.phase), style="bold"), bar, counts, pace)
    return grid


def _queues(status: RunStatus) -> RenderableType:
    depths = [f"{channel.name} {channel.depth}/{channel.capacity}" for channel in status.channels]
    scorer = status.scorer
    if scorer is not None:
        depths.append(f"scorer {scorer.tokens_per_s:.0f} tok/s")
    return Text("queues  " + "  ".join([f"in flight {status.seeds_in_flight}", *depths]), style="dim")


def _spending(bill: Bill, budget: BudgetStatus | None) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(Text("spent", style="dim"), summary(bill, budget))
    dearest = sorted(bill.agents, key=lambda line: -line.tokens)[:MAX_AGENTS]
    grid.add_row(Text("agents", style="dim"), Text("  ".join(f"{line.name} {spent(line)}" for line in dearest)))
    return grid


def _by_name(lines: Iterable[BillLine]) -> dict[str, BillLine]:
    return {line.name: line for line in lines}


def _endpoints(status: RunStatus) -> RenderableType:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("endpoint")
    table.add_column("state")
    for heading in ("busy", "queue", "tok/s", "p50 s", "again", "failed", "spent"):
        table.add_column(heading, justify="right")
    charged = _by_name(status.bill.endpoints) if status.bill else {}
    for endpoint in status.endpoints:
        table.add_row(
            endpoint.name,
            _state(endpoint),
            f"{endpoint.in_flight}/{endpoint.limit}",
            str(endpoint.waiting),
            f"{endpoint.tokens_per_s:.0f}",
            _number(endpoint.latency_p50_s),
            str(endpoint.retries),
            str(sum(endpoint.failures.values())),
            spent(charged.get(endpoint.name)),
        )
    return table


def _state(endpoint: EndpointStatus) -> str:
    """What holds an endpoint back, and for how long where that is known."""
    left = endpoint.paused_for_s
    return endpoint.state if left is None else f"{endpoint.state} {left:.0f} s"


def _weights(status: RunStatus) -> RenderableType:
    weighted = sorted((pair for pair in status.pairs if pair.p is not None), key=lambda pair: -(pair.p or 0.0))
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column(f"pair weights v{status.weights_version}")
    for heading in ("", "p", "was", "draws", "wins", "spent"):
        table.add_column(heading, justify="left" if not heading else "right")
    top = weighted[0].p if weighted else None
    charged = _by_name(status.bill.pairs) if status.bill else {}
    for pair in weighted[:MAX_PAIRS]:
        filled = round(BAR_WIDTH * (pair.p or 0.0) / top) if top else 0
        bar = Text("█" * filled, style="cyan")
        figures = (_number(pair.p), _number(pair.p_before), str(pair.draws), str(pair.wins))
        table.add_row(pair.pair, bar, *figures, spent(charged.get(pair.pair)))
    if len(weighted) > MAX_PAIRS:
        table.add_row(f"and {len(weighted) - MAX_PAIRS} more")
    return table


def _judging(status: RunStatus) -> list[RenderableType]:
    lines = [] if status.judging is None else judge_lines(status.judging)
    return [Text(line, style="dim") for line in lines]


def _last(status: RunStatus, width: int) -> RenderableType:
    last = status.last
    if last is None:
        return Text("")
    room = max(20, width - 18)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        Text("last row", style="dim"), Text(f"seed {last.seed}  {last.pair or last.source}  pi {_number(last.pi)}")
    )
    grid.add_row(Text("seed", style="dim"), plain(last.seed_instruction, room))
    grid.add_row(Text("asked", style="dim"), plain(last.instruction, room))
    grid.add_row(Text("answer", style="dim"), plain(last.response, room))
    return grid
