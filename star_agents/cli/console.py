"""What a person sees of a run where no live screen is: plain lines while it goes on, and tables at its end.

Everything shown comes from one `RunStatus`; nothing here asks the run anything else.
"""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from star_agents.cli.bills import bill_table, failure_table, spent
from star_agents.cli.judging import judge_lines
from star_agents.cli.text import duration, flat, number
from star_agents.service.life.lifecycle import Result
from star_agents.service.view.status import Ending, PairStatus, RunStatus


def line(status: RunStatus) -> str:
    """Where a run stands in one plain line, for logs and pipes."""
    queues = " ".join(f"{channel.name}={channel.depth}" for channel in status.channels if channel.depth)
    calls = " ".join(
        f"{endpoint.name}:{endpoint.in_flight}/{endpoint.limit}@{endpoint.tokens_per_s:.0f}tok/s"
        for endpoint in status.endpoints
    )
    held = [f"{each.name}:{each.state}({each.reason or ''})" for each in status.endpoints if each.state != "ok"]
    found = status.bottleneck
    slow = [] if found is None else [f"bottleneck={found.stage.replace(' ', ':')}"]
    told = (
        f"{status.phase} seeds={status.seeds_done}/{status.seeds_total} kept={status.seeds_kept} "
        f"rate={status.seeds_per_s:.2f}/s eta={duration(status.eta_s)} in_flight={status.seeds_in_flight} "
        f"v={status.weights_version} {calls} {queues}"
    ).rstrip()
    cost = [f"spent={spent(status.bill.total)}"] if status.bill else []
    return flat(" ".join([told, *held, *slow, *cost]))


def pair_table(pairs: Iterable[PairStatus], *, title: str | None = None) -> Table:
    """Draws, wins, mean pi, and the weight before and after; base pairs carry no weight."""
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("pair")
    for heading in ("draws", "wins", "mean pi", "p before", "p after"):
        table.add_column(heading, justify="right")
    for pair in pairs:
        label = f"{pair.pair} (base)" if pair.is_base else pair.pair
        figures = (number(pair.mean_pi), number(pair.p_before), number(pair.p))
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
