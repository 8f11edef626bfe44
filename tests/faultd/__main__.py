"""The server as a program: `python -m tests.faultd --port 0 --port-file F --journal F`. Ends on SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
from pathlib import Path

from tests.faultd.faults import CATALOGUE, MENDABLE, Chance
from tests.faultd.journal import Journal
from tests.faultd.server import Conduct, Faultd


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faultd", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="written, whole, once the server listens")
    parser.add_argument("--journal", type=Path, help="appended to, one JSON object a line")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of a reply on average")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of the sends that fail")
    parser.add_argument("--fault-seed", type=int, default=0)
    parser.add_argument("--faults", default=",".join(MENDABLE), help=f"names, from: {', '.join(CATALOGUE)}")
    parser.add_argument("--models", default="m", help="names that GET /v1/models lists")
    parser.add_argument("--api-key", help="demand it of every request")
    return parser.parse_args(argv)


async def serve(options: argparse.Namespace) -> None:
    """Run until a signal."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    conduct = Conduct(
        latency_s=options.latency_ms / 1000, models=tuple(options.models.split(",")), api_key=options.api_key
    )
    script = Chance(options.fault_rate, options.fault_seed, tuple(options.faults.split(",")))
    async with Faultd(script, conduct=conduct, journal=Journal(options.journal), port=options.port) as server:
        if options.port_file is not None:
            draft = options.port_file.with_suffix(".draft")
            draft.write_text(str(server.port))
            draft.replace(options.port_file)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(serve(arguments()))
