"""`star-agents simulate CONFIG`: what a run would come to, if its agents were as good as the config says."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from star_agents.lab.outcome import Outcome
    from star_agents.lab.trial import Laboratory

SHOWN_AT = 0.0, 0.25, 0.5, 0.75, 1.0
"""Shares of the run at which the weights are shown."""


def simulate(
    config: Annotated[Path, typer.Argument(help="The run's YAML file; its section `laboratory` says what is true.")],
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of a run; else laboratory.seeds.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs, with chance of their own each, for intervals.")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; else one for each core.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Replace a value of the config.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, every run in it.")] = False,
) -> None:
    """Run the real pipeline in a made-up world, on virtual time: no model is asked, nothing is spent or written."""
    import asyncio

    import orjson

    from star_agents.lab.repeat import repeat
    from star_agents.lab.summary import summary
    from star_agents.lab.trial import Laboratory
    from star_agents.service.config.overrides import override
    from star_agents.service.config.validation import check
    from star_agents.service.config.yaml_source import read_yaml

    source = read_yaml(config)
    override(source, [*(settings or []), *([] if seeds is None else [f"laboratory.seeds={seeds}"])])
    laboratory = Laboratory.build(check(source))
    processes = jobs or os.cpu_count() or 1
    if min(runs, processes) == 1:
        outcomes = [laboratory.run(number) for number in range(runs)]
    else:
        orders = [(laboratory.settings, number) for number in range(runs)]
        outcomes = asyncio.run(repeat(orders, jobs=processes))
    if as_json:
        found = {name: [one.mean, one.half_width] for name, one in summary(outcomes).items()}
        told = {"config": str(config), "assumptions": laboratory.world.assumptions(), "summary": found}
        typer.echo(orjson.dumps(told | {"outcomes": outcomes}))
    else:
        _show(laboratory, outcomes)


def _show(laboratory: "Laboratory", outcomes: "list[Outcome]") -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from star_agents.lab.summary import summary

    console = Console()
    for line in laboratory.world.assumptions():
        console.print(f"assumed: {line}", highlight=False, soft_wrap=True)
    console.print(_weights(outcomes))
    table = Table("", "one run" if len(outcomes) == 1 else f"mean of {len(outcomes)} runs ± 95 %", box=SIMPLE)
    for name, found in summary(outcomes).items():
        table.add_row(name, str(found))
    if any(one.usd is None for one in outcomes):
        table.add_row("dollars", "unknown: an endpoint that was asked has no price")
    console.print(table)


def _weights(outcomes: "list[Outcome]") -> "Table":
    """How the weights moved, as means over the runs."""
    from statistics import fmean

    from rich.box import SIMPLE
    from rich.table import Table

    first = outcomes[0]
    last = len(first.points) - 1
    columns = sorted({round(share * last) for share in SHOWN_AT})
    shown = [f"{first.points[index].seeds}" for index in columns]
    table = Table("pair", "true quality", *shown, title="weights after so many seeds", box=SIMPLE)
    for pair, name in enumerate(first.pairs):
        means = (fmean(one.points[index].p[pair] for one in outcomes) for index in columns)
        table.add_row(name, f"{first.truth[pair]:.2f}", *(f"{mean:.1%}" for mean in means))
    return table
