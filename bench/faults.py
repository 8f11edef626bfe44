"""What faults cost: goodput, an outage, and a server that loses nine tenths of itself and gets them back.

    python -m bench.faults [--requests N] [--only NAME ...] [--save] [--quick]

The same scripts of `star-agents mock-server` for every client; the server's journal is what is believed.

1. Goodput at 1, 5 and 20 % faults that a further try mends, over the ideal `C / (s + f / (1 - f) * t_f)`.
2. An outage (503 to everything): sends a request, answers lost. Ours for 10 minutes too, on virtual time.
3. Capacity 100 -> 10 -> 100 calls at once, one more is a 429: how soon sends are within 1.2 of what there is, how
   many are refused meanwhile, and how soon nine tenths of the full rate are back.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.clients.contract import Setup, Target
from bench.harness import kinds
from bench.harness.child import ClientDiedError, ClientTooSlowError
from bench.harness.driver import Driver, Kind, Round
from bench.harness.goodput import first_s, goodput, rate_at, steps
from bench.harness.journal import Journal
from bench.harness.report import Report, parser_of
from bench.harness.server import free_port, serving
from bench.harness.virtual import attempts_in_outage

CLIENTS = (kinds.FLEET, kinds.OPENAI, kinds.LITELLM)
MENDABLE = ("no_reply", "reset", "reset_mid_body", "short_body", "http_500", "http_503", "error_inside")
"""Faults that mean nothing but bad luck; a 429 would mean: slower."""
TARGETS = {0.01: 0.97, 0.05: 0.95, 0.20: 0.90}
SLOTS = 32
LIMIT_S = 90.0
"""A run that takes longer is broken off; the ideal is 14 s."""
OURS = {"helpings": 4, "pacing": "fixed"}
"""Our fleet is offered so many requests a slot, which is a number of slots that holds for all; the peers wait for a
retry with the slot in their hand."""
LATENCY = ("--latency-ms", "100", "--latency-sigma", "0.3")
OUTAGE = (5.0, 25.0)
VIRTUAL_OUTAGE_S = 600.0
MAX_ATTEMPTS = 1.2

CAPACITY, FACTOR, LATENCY_S = 100, 0.1, 0.5
SHRINKS_S, GROWS_S, ENDS_S = 10.0, 22.0, 36.0
STEP_LATENCY = ("--latency-ms", str(1000 * LATENCY_S), "--latency-sigma", "0.3")
SHED_LATENCIES, RECOVER_LATENCIES = 2.0, 10.0


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--requests", type=int, default=4_000, help="of each client at each share of faults")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME")
    options = parser.parse_args()
    if options.quick:
        options.requests, options.only = 300, (kinds.FLEET.name,)
    clients = [kind for kind in CLIENTS if not options.only or kind.name in options.only]
    with_engine = [kinds.ENGINE, *clients] if kinds.FLEET in clients else clients
    with TemporaryDirectory() as folder:
        rows = [
            *goodput_rows(with_engine, Path(folder), options),
            *outage_rows(clients, Path(folder), options),
            *capacity_rows(clients, Path(folder), options),
        ]
    Report(
        name="faults",
        command="python -m bench.faults" + (" --quick" if options.quick else ""),
        rows=rows,
        notes=notes(rows),
    ).show(save=options.save)


def goodput_rows(clients: Sequence[Kind], folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The first part."""
    rows: list[dict[str, Any]] = []
    for share, target in TARGETS.items():
        faults = [word for name in MENDABLE for word in ("--fault", f"{name}:{share / len(MENDABLE)}")]
        for kind in clients:
            head = {"script": f"{share:.0%} faults", "client": kind.name}
            told = asked(kind, folder, (SLOTS, options.requests), [*LATENCY, *faults], OURS)
            if isinstance(told, str):
                rows.append({**head, "of ideal": f"not measured: {told}"})
                continue
            journal, done = told
            found = goodput(journal, SLOTS, broken_off_s=LIMIT_S if done is None else None)
            rows.append(
                {
                    **head,
                    "of ideal": found.of_ideal,
                    "target": target,
                    "answers / s": found.answers_per_s,
                    "sends / request": found.attempts,
                    "lost": lost(done),
                }
            )
            print(rows[-1], flush=True)
    return rows


def lost(done: Round | None) -> int | str:
    """Requests that ended without an answer, where the run ended at all."""
    return f"not done within {LIMIT_S:.0f} s" if done is None else done.failed


def outage_rows(clients: Sequence[Kind], folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The second part, ours on virtual time first."""
    begins, ends = (1.0, 4.0) if options.quick else OUTAGE
    rows: list[dict[str, Any]] = [
        {
            "script": f"outage of {VIRTUAL_OUTAGE_S:.0f} s (virtual)",
            "client": kinds.FLEET.name,
            "target": MAX_ATTEMPTS,
            **attempts_in_outage(VIRTUAL_OUTAGE_S),
        }
    ]
    script = folder / "outage.json"
    script.write_text(json.dumps({"faults": [{"fault": "http_503", "from_s": begins, "until_s": ends}]}))
    for kind in clients:
        head = {"script": f"outage of {ends - begins:.0f} s", "client": kind.name}
        told = asked(kind, folder, (SLOTS, max(options.requests, 1000)), [*LATENCY, "--script", str(script)], OURS)
        if isinstance(told, str):
            rows.append({**head, "sends / request": f"not measured: {told}"})
            continue
        journal, done = told
        moments = sorted(span.ended_s for span in journal.served())
        full = rate_at(moments, journal.began_s + 0.2, begins - journal.began_s - 0.2)
        back = first_s(moments, steps(ends, moments[-1], 0.1), 0.5, (0.9 * full, float("inf")))
        during = sum(begins <= span.came_s < ends for span in journal.spans)
        rows.append(
            {
                **head,
                "target": MAX_ATTEMPTS,
                "sends / request": len(journal.spans) / len(journal.sends()),
                "lost": lost(done),
                "sends meanwhile": during,
                "back after s": None if back is None else back - ends,
            }
        )
        print(rows[-1], flush=True)
    return rows


def capacity_rows(clients: Sequence[Kind], folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The third part."""
    shrinks, grows, ends = (3.0, 7.0, 12.0) if options.quick else (SHRINKS_S, GROWS_S, ENDS_S)
    limits = ["--max-in-flight", str(CAPACITY), "--capacity", f"{shrinks}:{FACTOR}", "--capacity", f"{grows}:1"]
    full = CAPACITY / LATENCY_S
    count = round(full * (shrinks + FACTOR * (grows - shrinks) + ends - grows))
    rows = []
    for kind in clients:
        head = {"script": f"capacity {CAPACITY} -> {FACTOR * CAPACITY:.0f} -> {CAPACITY}", "client": kind.name}
        told = asked(kind, folder, (CAPACITY * 5 // 4, count), [*STEP_LATENCY, *limits], {**OURS, "pacing": "aimd"})
        if isinstance(told, str):
            rows.append({**head, "shed, latencies": f"not measured: {told}"})
            continue
        journal, done = told
        row = {**head, **capacity_row(journal, (shrinks, grows, ends)), "lost": lost(done)}
        rows.append(row)
        print(row, flush=True)
    return rows


def capacity_row(journal: Journal, at: tuple[float, float, float]) -> dict[str, Any]:
    """How soon a client has followed, in latencies; None where it has not."""
    shrinks, grows, ends = at
    sent = sorted(span.came_s for span in journal.spans)
    ended = sorted(span.ended_s for span in journal.served())
    before = rate_at(ended, shrinks / 2, shrinks / 2)
    least, window = FACTOR * CAPACITY / LATENCY_S, 2 * LATENCY_S
    shed = first_s(sent, steps(shrinks, grows, LATENCY_S / 10), window, (0.0, 1.2 * least))
    back = first_s(ended, steps(grows, ends, LATENCY_S / 10), window, (0.9 * before, float("inf")))
    refused = sum(span.status == 429 and shrinks <= span.came_s < grows for span in journal.spans)
    return {
        "answers / s": before,
        "shed, latencies": None if shed is None else (shed - shrinks) / LATENCY_S,
        "back, latencies": None if back is None else (back - grows) / LATENCY_S,
        "refused meanwhile": refused,
        "useful meanwhile": rate_at(ended, shrinks + 2, grows - shrinks - 2) / least,
    }


def asked(
    kind: Kind, folder: Path, size: tuple[int, int], flags: Sequence[str], extra: dict[str, Any] | None = None
) -> tuple[Journal, Round | None] | str:
    """One run of a client against a server that starts when the client is ready; or why there was none.

    A run that is not over in time is broken off: it has a journal, and no round.
    """
    slots, count = size
    port, file = free_port(), folder / "journal.jsonl"
    file.unlink(missing_ok=True)
    target = Target(url=f"http://127.0.0.1:{port}/v1", model="m", slots=slots)
    setup = Setup(targets=(target,), folder=str(folder / f"{kind.module}-{port}"), extra=extra or {})
    try:
        with Driver.started(kind, setup) as driver, serving("--port", str(port), *flags, journal=file) as server:
            done = in_time(driver, count)
    except ClientDiedError as error:
        return str(error)
    return server.journal(), done


def in_time(driver: Driver, count: int) -> Round | None:
    try:
        return driver.round(0, count, limit_s=LIMIT_S)
    except ClientTooSlowError:
        return None


def notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Ours against the targets."""
    ours = [row for row in rows if row["client"] in {kinds.FLEET.name, kinds.ENGINE.name}]
    said = []
    for row in ours:
        if isinstance(row.get("of ideal"), float):
            said.append(
                f"- {row['client']}, {row['script']}: {row['of ideal']:.3f} of ideal (target >= {row['target']})"
            )
        elif "outage" in row["script"] and "sends / request" in row:
            said.append(f"- {row['script']}: {row['sends / request']:.2f} sends a request (target <= {MAX_ATTEMPTS})")
        elif "shed, latencies" in row:
            said.append(
                f"- {row['script']}: shed after {row['shed, latencies']} latencies (target <= {SHED_LATENCIES:.0f}), "
                f"back after {row['back, latencies']} (target <= {RECOVER_LATENCIES:.0f})"
            )
    return said


if __name__ == "__main__":
    main()
