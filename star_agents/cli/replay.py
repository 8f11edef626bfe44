"""`star-agents replay RUN --rule R`: what another rule would have earned, from what the run drew and stored."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from star_agents.policy.offpolicy import Answer, Estimate
    from star_agents.service.replay import Replayed

CANNOT_TELL = 1


class Rule(StrEnum):
    """Rules that can be asked about; `uniform` learns nothing."""

    PAPER = "paper"
    EXP3 = "exp3"
    THOMPSON = "thompson"
    UNIFORM = "uniform"


class Per(StrEnum):
    """What is weighed as one."""

    SEED = "seed"
    DRAW = "draw"


class Model(StrEnum):
    """Reward models of the doubly robust estimate."""

    AUTO = "auto"
    PAIRS = "pairs"
    CLUSTERS = "clusters"


def replay(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    rule: Annotated[Rule, typer.Option(help="The rule to ask about.")],
    rate: Annotated[
        float | None, typer.Option(help="Of paper and exp3; else the run's, or auto for another rule.")
    ] = None,
    discount: Annotated[float | None, typer.Option(help="Of thompson; else the run's, or auto.")] = None,
    floor: Annotated[float | None, typer.Option(help="The least a pair may weigh; else the run's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Seeds a batch; else the batches of the run.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How long a run `auto` is for; else as long as the log.")
    ] = None,
    clip: Annotated[float, typer.Option(min=1.0, help="The most that a weight may be.")] = 20.0,
    per: Annotated[
        Per, typer.Option(help="Weigh whole seeds, or draws: narrower, but blind to what candidates do to each other.")
    ] = Per.SEED,
    model: Annotated[
        Model, typer.Option(help="What predicts rewards: means by pair, or by pair and cluster.")
    ] = Model.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Say what another rule would have earned, or why the log cannot tell; the run may go on meanwhile."""
    import os

    import orjson
    from rich.console import Console

    from star_agents.cli.counted import counted
    from star_agents.cli.runs import existing_run
    from star_agents.service import replay as service
    from star_agents.storage.recovery import read_standing

    question = service.Question(
        rule=rule.value,
        rate=rate,
        discount=discount,
        floor=floor,
        batch_size=batch_size,
        seeds=seeds,
        clip=clip,
        per=per.value,
        model=model.value,
    )
    database = existing_run(run).database
    with counted(Console(stderr=True), os.environ, "replay", read_standing(database).finished) as tell:
        replayed = service.replay(service.read(database, tell), question)
    if as_json:
        typer.echo(orjson.dumps(service.as_json(replayed), option=orjson.OPT_INDENT_2).decode())
    else:
        _show(replayed)
    if replayed.refusals:
        raise typer.Exit(CANNOT_TELL)


def _show(replayed: "Replayed") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"{replayed.rule}, {replayed.versions} versions")
    if replayed.answer is not None:
        if not replayed.refusals:
            console.print(_estimates(replayed.answer))
        for line in _evidence(replayed.answer, replayed):
            console.print(line, soft_wrap=True)
    console.print(_pairs(replayed))
    for reason in replayed.refusals:
        console.print(f"cannot tell: {reason}", soft_wrap=True)


def _estimates(answer: "Answer") -> "Table":
    from rich.table import Table

    table = Table(title="mean pi of a drawn candidate", title_justify="left", header_style="bold")
    table.add_column("")
    for heading in ("value", "95 % interval"):
        table.add_column(heading, justify="right")
    rows = {
        "the run itself": answer.logged,
        "the rule, IPS": answer.ips,
        "the rule, self-normalised": answer.snips,
        "the rule, doubly robust": answer.dr,
        "gain over the run, doubly robust": answer.gain,
    }
    for name, estimate in rows.items():
        table.add_row(name, f"{estimate.value:.4f}", _interval(estimate))
    return table


def _interval(estimate: "Estimate") -> str:
    return f"{estimate.low:.4f} .. {estimate.high:.4f}"


def _evidence(answer: "Answer", replayed: "Replayed") -> list[str]:
    found = answer.evidence
    clipped = f"{found.clipped} {replayed.per}s, {found.clipped_share:.2%} of all weight"
    return [
        f"evidence: {found.seeds} seeds, {found.draws} draws; effective sample size {found.effective_seeds:.0f} seeds",
        f"weights: {found.mean_weight:.3f} ± {found.mean_weight_error:.3f} on average, which should be 1",
        f"clipping at {replayed.clip:g}: {clipped}; the largest ratio was {found.largest_ratio:.2f}",
        f"rewards known: {found.known_share:.1%} of the draws; the others are taken for the same pair's",
    ]


def _pairs(replayed: "Replayed") -> "Table":
    from rich.table import Table

    table = Table(header_style="bold")
    table.add_column("pair")
    for heading in ("p in the run", "p under the rule", "share of its draws"):
        table.add_column(heading, justify="right")
    for line in replayed.pairs:
        table.add_row(line.pair, f"{line.p_logged:.3f}", f"{line.p:.3f}", f"{line.share:.1%}")
    return table
