"""What a request costs each client: CPU, requests a second and memory, all against one server in one run.

    python -m bench.client [--requests N] [--rounds N] [--only NAME ...] [--save] [--quick]

The server answers at once, 256 requests are in flight. Every client is a process of its own that measures its own
CPU (user and system, threads and children), after a warm-up; rounds are interleaved (A B C A B C ...), and the
ratio is to the bare aiohttp loop of the same round. Peers live in venvs of their own: `python -m bench.harness.venvs`.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.clients.contract import Setup, Target
from bench.harness import kinds
from bench.harness.driver import Kind
from bench.harness.report import Report, parser_of, spread
from bench.harness.rounds import Entrant, Rounds, interleaved
from bench.harness.server import serving

OURS = (kinds.BARE, kinds.FLEET, kinds.ENGINE)
PEERS = (kinds.OPENAI, kinds.LITELLM, kinds.CURATOR, kinds.DISTILABEL, kinds.DATA_DESIGNER)
SLOTS = 256
HEAVY = 8
"""Peers are asked so many times fewer requests a round: each takes them more than that much longer."""
MAX_FLEET, MAX_ENGINE, MIN_PEER = 1.4, 2.5, 8.0
"""Targets: the first two over the bare loop, the last is the best peer over our engine."""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--requests", type=int, default=16_000, help="a round, of our clients; an eighth of the peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="clients to measure beside the bare loop")
    options = parser.parse_args()
    if options.quick:
        options.requests, options.rounds = 600, 2
    with serving() as server, TemporaryDirectory() as folder:
        target = Target(url=server.url, model="m", slots=SLOTS)
        entrants = [entrant(kind, target, Path(folder), options.requests) for kind in chosen(options)]
        rounds = interleaved(entrants, options.rounds, server.num_served)
    Report(
        name="client",
        command="python -m bench.client" + (" --quick" if options.quick else ""),
        rows=[row(one.kind, rounds) for one in entrants],
        notes=[*verdicts(rounds), "", "Median (least..most) of the rounds; memory is resident, after the last round."],
        more={
            "rounds": {name: [asdict(one) for one in done] for name, done in rounds.done.items()},
            "clients": rounds.versions,
        },
    ).show(save=options.save)
    sys.exit(any(name in rounds.reasons for name in (kind.name for kind in OURS)))


def chosen(options: argparse.Namespace) -> list[Kind]:
    """The clients that were asked for, the bare loop always."""
    if options.only:
        return [kind for kind in OURS + PEERS if kind is kinds.BARE or kind.name in options.only]
    return list(OURS) if options.quick else list(OURS + PEERS)


def entrant(kind: Kind, target: Target, folder: Path, requests: int) -> Entrant:
    """A client with its share of requests."""
    count = requests if kind.venv is None else max(requests // HEAVY, SLOTS)
    warm_up = max(count // 4, SLOTS)
    return Entrant(kind, Setup(targets=(target,), folder=str(folder / kind.module), warm_up=warm_up), count)


def row(kind: Kind, rounds: Rounds) -> dict[str, Any]:
    """A client's line of the table."""
    done = rounds.done[kind.name]
    if not done:
        return {"client": kind.name, "CPU ms / request": f"not measured: {rounds.reasons[kind.name]}"}
    versions = rounds.versions[kind.name]
    return {
        "client": kind.name,
        "version": versions[next(name for name in versions if name != "python")],
        "CPU ms / request": spread([one.cpu_ms for one in done]),
        "x bare": spread(ratios(kind, rounds)),
        "requests / s": f"{median(one.rate for one in done):.0f}",
        "RSS MiB": f"{done[-1].rss_mb:.0f}",
        "unanswered": sum(one.failed for one in done),
    }


def ratios(kind: Kind, rounds: Rounds) -> list[float]:
    """CPU a request over that of the bare loop in the same round."""
    return [
        one.cpu_ms / bare.cpu_ms
        for one, bare in zip(rounds.done[kind.name], rounds.done[kinds.BARE.name], strict=False)
    ]


def verdicts(rounds: Rounds) -> list[str]:
    """The targets, and whether they are met."""
    said = []
    for kind, most in ((kinds.FLEET, MAX_FLEET), (kinds.ENGINE, MAX_ENGINE)):
        if measured := ratios(kind, rounds) if kind.name in rounds.done else []:
            said.append(f"- {kind.name}: {median(measured):.2f}x the bare loop (target <= {most})")
    costs = {
        kind.name: median(one.cpu_ms for one in rounds.done[kind.name]) for kind in PEERS if rounds.done.get(kind.name)
    }
    if costs and rounds.done.get(kinds.ENGINE.name):
        best = min(costs, key=costs.__getitem__)
        ours = median(one.cpu_ms for one in rounds.done[kinds.ENGINE.name])
        said.append(f"- best peer, {best}: {costs[best] / ours:.1f}x our engine (target >= {MIN_PEER:.0f})")
    return said


if __name__ == "__main__":
    main()
