"""`star-agents agents list|add|retire RUN`: who takes part in a running run."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Who takes part in a running run: look, add, retire.")

RUN = typer.Argument(help="The run folder.")
NAMES = typer.Argument(help="Pairs (keep+hot), or agents (hot, response:hot) for all their pairs.")
REASON = typer.Option(help="Why; it stays in the run's log.")


@app.command("list")
def show(run: Annotated[Path, RUN]) -> None:
    """Show agents, pairs with their weights, and every change of the pool."""
    from star_agents.client.connection import address_of, ask

    told = ask(address_of(run), "GET", "/api/v1/agents")
    for role in ("instruction", "response"):
        for name, agent in sorted(told[role].items()):
            typer.echo(f"{role}:{name}  {agent['prompt']} on {agent['endpoint']}")
    typer.echo(f"base: {', '.join(told['base'])}")
    for pair, p in told["pool"].items():
        typer.echo(f"  {pair:<32} p={p:.3f}")
    show_changes(told["changes"])


@app.command("add")
def add(
    run: Annotated[Path, RUN],
    names: Annotated[list[str], NAMES],
    reason: Annotated[str, REASON] = "by hand",
    endpoint: Annotated[
        str | None, typer.Option(help="For one agent that is new: its endpoint, of the config.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="For a new agent: a shipped template.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2)] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
) -> None:
    """Add pairs to the pool; a new pair starts with the mean weight."""
    from star_agents.core.errors import ConfigError

    request: dict[str, Any] = {"add": names, "reason": reason}
    options = {"endpoint": endpoint, "prompt": prompt, "temperature": temperature, "top_p": top_p}
    section = {key: value for key, value in (options | {"max_tokens": max_tokens}).items() if value is not None}
    if section:
        role, colon, name = names[0].partition(":")
        if len(names) != 1 or not colon:
            raise ConfigError("add: a new agent comes alone, with its role: response:hot --endpoint E --prompt answer")
        request["agents"] = {role: {name: section}}
    _change(run, request)


@app.command("retire")
def retire(
    run: Annotated[Path, RUN], names: Annotated[list[str], NAMES], reason: Annotated[str, REASON] = "by hand"
) -> None:
    """Take pairs out of the pool; their weight is shared out. What is in flight is finished."""
    _change(run, {"retire": names, "reason": reason})


def _change(run: Path, request: dict[str, Any]) -> None:
    from star_agents.client.connection import address_of, ask

    show_changes([ask(address_of(run), "POST", "/api/v1/agents", request)])


def show_changes(changes: list[dict[str, Any]]) -> None:
    """A line for each change of a pool."""
    for change in changes:
        parts = [f"{verb} {', '.join(change[verb])}" for verb in ("added", "retired") if change[verb]]
        typer.echo(f"pool v{change['version']}: {'; '.join(parts)}: {change['reason']}")
