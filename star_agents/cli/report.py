"""`star-agents report RUN`: what a run came to, as one HTML file and a summary in Markdown."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="The run folder: of a run that is over, going on or was killed.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; default: RUN/out/report.html.")] = None,
) -> None:
    """Write a report: weights over time, who wins, scores, examples, cost, faults, the judge, how to do it again.

    One HTML file that needs nothing else, and a summary in Markdown beside it. The run is only read.
    """
    import os

    from rich.console import Console

    from star_agents.cli.counted import counted
    from star_agents.cli.runs import existing_run
    from star_agents.report.facts import read_facts
    from star_agents.report.libraries import check_libraries
    from star_agents.report.page import contents, write_report
    from star_agents.report.sample import SAMPLE_ROWS
    from star_agents.storage.recovery import read_standing

    check_libraries()
    folder = existing_run(run)
    file = out or folder.out / "report.html"
    if file.suffix.lower() not in {".html", ".htm"}:
        raise typer.BadParameter("name a file that ends in .html", param_hint="--out")
    total = min(SAMPLE_ROWS, read_standing(folder.database).finished)
    with counted(Console(stderr=True), os.environ, "report", total) as tell:
        facts = read_facts(folder, tell)
    summary = write_report(contents(facts), file)
    typer.echo(f"{file}: {facts.standing.finished} seeds, {facts.kept} rows; the summary is {summary}")
