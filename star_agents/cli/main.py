"""The command line: one small file a command; heavy imports wait until a command runs.

Exit codes are listed in `exits.py` and docs/cli.md.
"""

import sys
from typing import Annotated, NoReturn

import typer

from star_agents.cli import (
    agents,
    control,
    doctor,
    export,
    init,
    mock_server,
    models,
    page,
    replay,
    report,
    schema,
    score,
    serve_run,
    simulate,
    status,
    top,
    validate,
)
from star_agents.cli.exits import INTERRUPTED, exit_code
from star_agents.core.errors import ConfigError, StarError
from star_agents.core.version import __version__

app = typer.Typer(
    name="star-agents",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve-run")(serve_run.serve_run)
app.command()(init.init)
app.command("validate")(validate.validate)
app.command()(doctor.doctor)
app.command("status")(status.status)
app.command()(top.top)
app.command()(page.page)
for verb in (control.pause, control.resume, control.drain, control.retune):
    app.command()(verb)
app.add_typer(agents.app, name="agents")
app.command("export")(export.export)
app.command("report")(report.report)
app.command("score")(score.score)
app.command("simulate")(simulate.simulate)
app.command("replay")(replay.replay)
app.add_typer(models.app, name="models")
app.command("schema")(schema.schema)
app.command("mock-server")(mock_server.mock_server)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"star-agents {__version__}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Make instruction-tuning data better: many models write, two score, one judges, and the weights learn.

    Start with `star-agents serve-run configs/quickstart.yaml`.
    """


def main() -> NoReturn:
    """Run a command and leave with its exit code; errors made for people are lines, not tracebacks."""
    try:
        app()
    except StarError as error:
        problems = error.problems if isinstance(error, ConfigError) else (str(error),)
        sys.stderr.writelines(f"star-agents: {problem}\n" for problem in problems)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not _was_interrupted(error):
            raise
        sys.exit(INTERRUPTED)
    sys.exit()


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind this: what a library makes of it when it comes while models are being built."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or KeyboardInterrupt.__name__ in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
