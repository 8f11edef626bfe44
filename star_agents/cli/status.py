"""`star-agents status RUN`: where a run stands, asked of the running service or read from its folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from star_agents.storage.folder import RunFolder


def status(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    failures: Annotated[bool, typer.Option("--failures", help="What failed for good, and why.")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Only whether it has begun: exit code 0, else 69.")] = False,
    alive: Annotated[bool, typer.Option("--alive", help="Only whether its process answers: 0, else 69.")] = False,
) -> None:
    """Show where a run stands and what it has cost, whether it is running or not."""
    import orjson

    if ready or alive:
        _probe(run, "/readyz" if ready else "/healthz")
        return

    from star_agents.cli.agents import show_changes
    from star_agents.cli.runs import existing_run
    from star_agents.storage.lost import Lost

    folder = existing_run(run)
    if failures:
        _show_failures(folder, as_json=as_json)
        return
    told = _ask(folder) or _read(folder)
    if as_json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    typer.echo(f"{told['name']}: {told['phase']}, {told['seeds_done']} seeds done, {told['seeds_kept']} kept, "
               f"{told['seeds_in_flight']} in flight, weights v{told['weights_version']}")  # fmt: skip
    for pair in told["pairs"]:
        p = "base" if pair["p"] is None else f"p={pair['p']:.3f}"
        was = "" if pair["p_before"] is None else f" was={pair['p_before']:.3f}"
        pi = "" if pair["mean_pi"] is None else f" mean_pi={pair['mean_pi']:.3f}"
        typer.echo(f"  {pair['pair']:<32} {p}{was} draws={pair['draws']} wins={pair['wins']}{pi}")
    for lost in told.get("lost", ()):
        typer.echo(f"LOST: {Lost(**lost)}: {Lost.mend}")
    show_changes(told["changes"])
    for order in reversed(told.get("orders", ())):
        _show_order(order)
    if told.get("judging"):
        _show_judging(told)
    if told.get("bill"):
        _show_bill(told)


def _show_order(order: dict[str, Any]) -> None:
    """Its texts may be anybody's: they are put on one line, with nothing that a terminal would obey."""
    from star_agents.cli.text import flat

    about = f" {order['told']}" if order["told"] else ""
    line = f"order {order['id']} {order['at'][:19]} {order['verb']}{about} by {order['actor']}: {order['outcome']}"
    typer.echo(flat(line))


def _probe(run: Path, path: str) -> None:
    """Ask a running service whether it is well.

    Raises:
        ServiceGoneError: it does not answer, or is not.
    """
    from star_agents.client.connection import address_of, ask
    from star_agents.core.errors import ServiceGoneError, ServiceRefusedError

    try:
        typer.echo("ok" if ask(address_of(run), "GET", path) else "")
    except ServiceRefusedError:
        raise ServiceGoneError(f"{run}: not ready") from None


def _show_judging(told: dict[str, Any]) -> None:
    from pydantic import TypeAdapter

    from star_agents.cli.judging import judge_lines
    from star_agents.service.view.judge_status import JudgeStatus

    for line in judge_lines(TypeAdapter(JudgeStatus).validate_python(told["judging"])):
        typer.echo(line)


def _show_bill(told: dict[str, Any]) -> None:
    from pydantic import TypeAdapter
    from rich.console import Console

    from star_agents.cli.bills import bill_table, summary
    from star_agents.service.view.bill import Bill, BudgetStatus

    bill = TypeAdapter(Bill).validate_python(told["bill"])
    budget = TypeAdapter(BudgetStatus | None).validate_python(told.get("budget"))
    typer.echo(f"spent: {summary(bill, budget)}")
    Console().print(bill_table(bill))


def _show_failures(folder: "RunFolder", *, as_json: bool) -> None:
    import orjson
    from rich.console import Console

    from star_agents.cli.bills import failure_table
    from star_agents.storage.dead_letters import failure_kinds

    kinds = failure_kinds(folder.database, lambda lost: typer.echo(f"LOST: {lost}", err=True))
    if as_json:
        typer.echo(orjson.dumps(kinds, option=orjson.OPT_INDENT_2).decode())
    elif kinds:
        Console().print(failure_table(kinds))
        typer.echo(f"each of them: star-agents export {folder.path} writes {folder.out}/dead-letters.jsonl")
    else:
        typer.echo("no call has failed for good")


def _ask(folder: "RunFolder") -> dict[str, Any] | None:
    """What the running service says, or None where none answers."""
    from star_agents.client.connection import address_of, ask
    from star_agents.core.errors import ServiceGoneError, ServiceRefusedError

    try:
        told: dict[str, Any] = ask(address_of(folder.path), "GET", "/api/v1/status")
    except (ServiceGoneError, ServiceRefusedError):  # stale: another program may have the port now
        return None
    return told


def _read(folder: "RunFolder") -> dict[str, Any]:
    """What the folder of a run that is not running says."""
    from dataclasses import asdict

    from star_agents.service.run.picture import resting_picture

    return asdict(resting_picture(folder))
