"""`star-agents page RUN`: the address of a run's page, with the token that opens it; of a run at rest, the page too."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from star_agents.service.run.address import Address
    from star_agents.storage.folder import RunFolder


def page(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="For a page that may look and not steer.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of a run at rest: where its page is served; 0 is any free port.")
    ] = 0,
) -> None:
    """Print where a browser finds the page of a run; of one that is not running, serve it until Ctrl-C.

    The token stands behind `#`, which browsers keep to themselves; whoever has the address may do what the token may.
    """
    from star_agents.cli.runs import existing_run
    from star_agents.core.errors import ServiceGoneError
    from star_agents.service.run.address import read_address

    folder, address = existing_run(run), read_address(run)
    if address is None or not _answers(address):
        _serve(folder, port, left_behind=address, read_only=read_only)
    elif address.port is None:
        raise ServiceGoneError(
            f"{run}: service.port is null, so no browser can reach it; set a port, or forward one to the socket: "
            f"ssh -L 8765:{address.socket} HOST"
        )
    else:
        _tell(address, read_only=read_only)


def _answers(address: "Address") -> bool:
    """Whether the run's service is there; a start that was killed leaves its address behind, which others may take."""
    from star_agents.client.connection import ask
    from star_agents.core.errors import ServiceGoneError, ServiceRefusedError

    try:
        ask(address, "GET", "/api/v1/token")
    except (ServiceGoneError, ServiceRefusedError):
        return False
    return True


def _tell(address: "Address", *, read_only: bool) -> None:
    typer.echo(address.page(token=address.read_token if read_only else address.token))


def _serve(folder: "RunFolder", port: int, *, left_behind: "Address | None", read_only: bool) -> None:
    """The page of a run at rest, until Ctrl-C, or until the run is started again."""
    import asyncio

    from star_agents.service.life.at_rest import shown_at_rest, until_started
    from star_agents.service.life.stopping import StoppedError, stoppable

    async def serve() -> None:
        async with shown_at_rest(folder, port=port) as address:
            typer.echo(f"{folder.path} is not running: its page is served from its folder until Ctrl-C", err=True)
            _tell(address, read_only=read_only)
            await until_started(folder, left_behind=left_behind)

    try:
        asyncio.run(stoppable(serve(), before_leaving=lambda: None))
    except StoppedError:
        return
    typer.echo(f"{folder.path} is running again: `star-agents page {folder.path}` prints its new address", err=True)
