"""How busy a scheduler keeps four unequal endpoints whose latencies are lognormal (sigma 1), and with one 10x slower.

    python -m bench.utilisation [--seeds N] [--rows N] [--scale X] [--only NAME ...] [--save] [--quick]

A server's journal says when each request came and went, so busy slot seconds are the server's own. They are counted
from the first request until 95 % of the answers are in: the last stragglers of a lognormal are nobody's merit.

`of ideal` is the share of the time in which the endpoint with the most work was busy: with the work shared out as
it was, nobody could have been done sooner. `all slots` is over everything there is, which only a scheduler that may
choose where to send can fill; a pipeline whose judge has one endpoint cannot, and its capacity-aware draw is best
seen in the calls/s it gains over the plain one. Our engine runs whole pipelines of seeds, rewrites, answers, scores
and verdicts, which depend on one another; the peers are given an easier thing, one call a row that depends on nothing.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.clients.contract import Setup, Target
from bench.harness import kinds
from bench.harness.child import ClientDiedError
from bench.harness.driver import Driver, Kind
from bench.harness.journal import Journal, busy_s, quantile_s
from bench.harness.report import Report, parser_of
from bench.harness.server import serving_all

SIGMA = 1.0
MEAN_OVER_MEDIAN = exp(SIGMA**2 / 2)
UNTIL = 0.95
TARGET = 0.97
PEER_SCALE = 10.0
"""Peers get latencies that much longer, or their own CPU would be what is measured."""
CAPACITY_AWARE = replace(kinds.ENGINE, name="star-agents engine, capacity_aware")
OURS = {"by_seed": True, "pacing": "auto"}
"""A seed a job, and endpoints paced as a config has it by default."""
FIXED = {"pacing": "fixed"}
SLOW, SLOWER = 1, 10.0
SLOWER_LABEL = f"e{SLOW} {SLOWER:.0f}x slower"
FEWER = 8
"""So many times fewer seeds and rows there: each takes that much longer."""
"""Which endpoint is slow in the second scenario, and how much."""


@dataclass(frozen=True, slots=True)
class Place:
    """An endpoint: the calls that it takes at once, and the median of its latency."""

    slots: int
    median_s: float

    @property
    def rate(self) -> float:
        """Calls a second that it can do."""
        return self.slots / (self.median_s * MEAN_OVER_MEDIAN)

    def flags(self) -> list[str]:
        """For `star-agents mock-server`."""
        return ["--latency-ms", str(1000 * self.median_s), "--latency-sigma", str(SIGMA), "--slots", str(self.slots)]


PLACES = (Place(16, 0.040), Place(32, 0.160), Place(16, 0.080), Place(16, 0.025))
"""About in proportion to what a run of our engine asks of them: rewriter and base, two responders, and the judge."""


@dataclass(frozen=True, slots=True)
class Contest:
    """One client in one scenario."""

    label: str
    kind: Kind
    places: tuple[Place, ...]
    extra: Mapping[str, Any]
    batch: int = 0
    chooses: bool = False
    """May it send a request where it likes?"""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="of our engine")
    parser.add_argument("--rows", type=int, default=2_000, help="of a peer, a call each")
    parser.add_argument("--scale", type=float, default=1.0, help="of all latencies")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.only = 300, (kinds.ENGINE.name, CAPACITY_AWARE.name)
    rows = []
    with TemporaryDirectory() as folder:
        for number, contest in enumerate(contests(options)):
            rows.append(measured(contest, Path(folder, str(number)), options))
            print(rows[-1], flush=True)
    Report(
        name="utilisation",
        command="python -m bench.utilisation" + (" --quick" if options.quick else ""),
        rows=rows,
        notes=notes(rows),
        more={"places": [[place.slots, place.median_s] for place in PLACES]},
    ).show(save=options.save)


def contests(options: argparse.Namespace) -> list[Contest]:
    """Every client in both scenarios, ours first."""
    slower = tuple(
        replace(place, median_s=place.median_s * SLOWER) if number == SLOW else place
        for number, place in enumerate(PLACES)
    )
    found = []
    for label, places in (("four unequal", PLACES), (SLOWER_LABEL, slower)):
        found += ours(label, scaled(places, options.scale))
        found += peers(label, scaled(places, options.scale * PEER_SCALE))
    return [contest for contest in found if not options.only or contest.kind.name in options.only]


def ours(label: str, places: tuple[Place, ...]) -> list[Contest]:
    """By default, with a fixed number of calls in flight, and with a draw that leans to idle endpoints."""
    return [
        Contest(label, kinds.ENGINE, places, OURS),
        Contest(label, replace(kinds.ENGINE, name=f"{kinds.ENGINE.name}, pacing fixed"), places, OURS | FIXED),
        Contest(label, CAPACITY_AWARE, places, OURS | {"capacity_aware": True}, chooses=True),
    ]


def scaled(places: Sequence[Place], scale: float) -> tuple[Place, ...]:
    return tuple(replace(place, median_s=place.median_s * scale) for place in places)


def peers(label: str, places: tuple[Place, ...]) -> list[Contest]:
    """Rows go to endpoints in proportion to what these could do before one of them became slow."""
    usual = scaled(PLACES, places[0].median_s / PLACES[0].median_s)
    shares = {"shares": [max(1, round(20 * place.rate / max(each.rate for each in usual))) for place in usual]}
    batched = Kind("openai SDK, batches of 50", kinds.OPENAI.module, kinds.OPENAI.venv)
    streamed = Kind("openai SDK, semaphores", kinds.OPENAI.module, kinds.OPENAI.venv)
    return [
        Contest(label, batched, places, shares, batch=50),
        Contest(label, streamed, places, shares),
        Contest(label, kinds.LITELLM_ROUTER, places, shares, chooses=True),
    ]


def measured(contest: Contest, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A line of the table."""
    head = {"endpoints": contest.label, "client": contest.kind.name}
    is_ours = contest.kind.module == kinds.ENGINE.module
    count = (options.seeds if is_ours else options.rows) // (FEWER if contest.label == SLOWER_LABEL else 1)
    with serving_all([place.flags() for place in contest.places], folder) as servers:
        targets = tuple(
            Target(url=server.url, model="m", slots=place.slots)
            for server, place in zip(servers, contest.places, strict=True)
        )
        setup = Setup(targets=targets, folder=str(folder / "client"), batch=contest.batch, extra=contest.extra)
        try:
            with Driver.started(contest.kind, setup) as driver:
                asked = driver.round(0, count)
        except ClientDiedError as error:
            return {**head, "of ideal": f"not measured: {error}"}
    journals = [server.journal() for server in servers]
    shares, took = busy_shares(journals, contest.places)
    weights = [place.slots for place in contest.places]
    return {
        **head,
        "of ideal": overall(shares, weights) if contest.chooses else max(shares),
        "all slots": overall(shares, weights),
        **{f"e{number}": share for number, share in enumerate(shares)},
        "calls / s": UNTIL * sum(len(journal.served()) for journal in journals) / took,
        "client CPU": asked.cpu_s / asked.wall_s,
        "unanswered": asked.failed,
    }


def busy_shares(journals: Sequence[Journal], places: Sequence[Place]) -> tuple[list[float], float]:
    """By endpoint, the share of its slots that was busy until 95 % of all answers were in; and how long that took.

    Servers are started one after the other, and each counts from its own start: each is counted from its first
    request, which is the same moment for all but for a few milliseconds.
    """
    ends = [span.ended_s - journal.began_s for journal in journals for span in journal.served()]
    took = quantile_s(ends, UNTIL)
    busy = [
        busy_s(journal.served(), place.slots, journal.began_s + took)
        for journal, place in zip(journals, places, strict=True)
    ]
    return [one / (place.slots * took) for one, place in zip(busy, places, strict=True)], took


def overall(shares: Sequence[float], slots: Sequence[int]) -> float:
    """Busy slot seconds over all slot seconds."""
    return sum(share * many for share, many in zip(shares, slots, strict=True)) / sum(slots)


def notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The target, and what the columns are."""
    said = [
        f"- {row['client']}, {row['endpoints']}: {row['of ideal']:.3f} of ideal (target >= {TARGET})"
        for row in rows
        if row["client"].startswith(kinds.ENGINE.name) and isinstance(row["of ideal"], float)
    ]
    for label in dict.fromkeys(row["endpoints"] for row in rows):
        rates = {row["client"]: row.get("calls / s") for row in rows if row["endpoints"] == label}
        plain, leaning = rates.get(kinds.ENGINE.name), rates.get(CAPACITY_AWARE.name)
        if plain and leaning:
            said.append(f"- capacity_aware, {label}: {leaning / plain:.2f}x the calls/s of the plain draw")
    return [*said, "", "`e0` to `e3`: busy share of each endpoint. `client CPU`: cores in use by the client."]


if __name__ == "__main__":
    main()
