"""`star-agents page RUN`: the address of a running run's page, with the token that opens it."""

from pathlib import Path
from typing import Annotated

import typer


def page(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="For a page that may look and not steer.")] = False,
) -> None:
    """Print where a browser finds the page of a running run.

    The token stands behind `#`, which browsers keep to themselves; whoever has the address may do what the token may.
    """
    from star_agents.client.connection import address_of
    from star_agents.core.errors import ServiceGoneError

    address = address_of(run)
    url = address.page(token=address.read_token if read_only else address.token)
    if url is None:
        raise ServiceGoneError(
            f"{run}: service.port is null, so no browser can reach it; set a port, or forward one to the socket: "
            f"ssh -L 8765:{address.socket} HOST"
        )
    typer.echo(url)
