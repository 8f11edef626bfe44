"""What a run has cost and what has failed, as tables and lines. A price that is not known is said to be so."""

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from star_agents.cli.text import plain
from star_agents.service.view.bill import Bill, BillLine, BudgetStatus
from star_agents.storage.dead_letters import FailureKind

_SIZES = ((10**9, "G"), (10**6, "M"), (10**3, "k"))
_CENTS_FROM = 0.1
"""Dollars from which cents are enough; below, hundredths of a cent are shown."""

MESSAGE_CHARS = 100
"""Characters of a server's message in the table of failures."""


def count(number: int | None) -> str:
    """A number of tokens in at most five characters; a dash for what no server told."""
    if number is None:
        return "-"
    for size, letter in _SIZES:
        if number >= size:
            scaled = number / size
            return f"{scaled:.1f}{letter}" if scaled < 100 else f"{scaled:.0f}{letter}"  # noqa: PLR2004  # digits
    return str(number)


def money(usd: float) -> str:
    """Dollars, and cents as far as they tell something."""
    return f"${usd:.2f}" if usd >= _CENTS_FROM or not usd else f"${usd:.4f}"


def cost(line: BillLine) -> str:
    """Dollars of a line, or that they are not known, in whole or in part."""
    if line.usd is None:
        return "unknown"
    return f"at least {money(line.usd)}" if line.is_at_least else money(line.usd)


def spent(line: BillLine | None) -> str:
    """The shortest that tells what was spent: dollars where they are known, else tokens."""
    if line is None:
        return ""
    if line.usd is None:
        return f"{count(line.tokens)} tok"
    return f"≥{money(line.usd)}" if line.is_at_least else money(line.usd)


def summary(bill: Bill, budget: BudgetStatus | None) -> str:
    """The whole bill in one line, with the ceilings that it has to stay below."""
    total = bill.total
    tokens, dollars = count(total.tokens), "dollars unknown" if total.usd is None else cost(total)
    if budget is not None:
        tokens += f" of {count(budget.tokens)}" if budget.tokens is not None else ""
        dollars += f" of {money(budget.usd)}" if budget.usd is not None else ""
    parts = [f"{tokens} tokens", dollars]
    if total.reasoning_tokens:
        parts.append(f"{count(total.reasoning_tokens)} reasoning")
    if total.wasted_tokens:
        parts.append(f"{count(total.wasted_tokens)} wasted")
    if budget is not None and budget.waiting:
        parts.append(f"{budget.waiting} calls wait for room")
    return ", ".join(parts)


def bill_table(bill: Bill) -> Table:
    """Tokens and dollars by endpoint, by agent and by pair, and in all."""
    table = Table(title="spent, over all starts", title_justify="left", header_style="bold", box=SIMPLE)
    table.pad_edge, table.padding = False, (0, 1, 0, 0)  # nine columns in eighty characters
    table.add_column("by", overflow="fold", min_width=16)
    for heading in ("calls", "failed", "input", "output", "reasoning", "wasted", "dollars"):
        table.add_column(heading, justify="right")
    for group, lines in (("endpoint", bill.endpoints), ("agent", bill.agents), ("pair", bill.pairs)):
        table.add_row(Text(group, style="bold"))
        for line in lines:
            table.add_row(Text(f"  {line.name}"), *_figures(line))
    table.add_section()
    table.add_row("total", *_figures(bill.total))
    return table


def _figures(line: BillLine) -> tuple[str, ...]:
    tokens = (line.input_tokens, line.output_tokens, line.reasoning_tokens, line.wasted_tokens)
    return (str(line.calls), str(line.failures), *map(count, tokens), "unknown" if line.usd is None else spent(line))


def failure_table(kinds: Iterable[FailureKind]) -> Table:
    """Calls that failed for good, by endpoint and reason, with the newest message of each."""
    table = Table(title="calls that failed for good", title_justify="left", header_style="bold")
    table.add_column("endpoint")
    table.add_column("reason")
    table.add_column("calls", justify="right")
    table.add_column("the newest says", overflow="ellipsis", no_wrap=True)
    for kind in kinds:
        table.add_row(kind.endpoint, kind.reason, str(kind.calls), plain(kind.message, MESSAGE_CHARS))
    return table
