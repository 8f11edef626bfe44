"""Traces of a whole run, a kill between its two starts, as a real collector gets them."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from star_agents.storage.folder import RunFolder
from star_agents.storage.rows import iter_rows
from tests.process.harness import NUM_SEEDS, Run, mock_endpoint, tiny_models
from tests.scoring.hosting import hosted
from tests.service.collector import Collector, collecting, plain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as running:
        yield running


def test_every_seed_is_one_trace_across_a_kill(tmp_path: Path) -> None:
    """Each finished seed has one root and its calls under it; what a kill interrupted goes on in the same trace."""
    with hosted(collector()) as there, mock_endpoint(tmp_path, "--latency-ms", "20") as endpoint:
        told = there.resource
        changes = {"telemetry": {"endpoint": told.url, "sample": 1.0}}
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), changes=changes)
        database = RunFolder(run.run_dir).database
        run.kill_after(60)
        finished_before = len(list(iter_rows(database)))
        run.finish()
    rows = list(iter_rows(database))
    roots = {span.trace_id: plain(list(span.attributes)) for span in told.named("seed")}
    finished = Counter(attributes["star_agents.seed"] for attributes in roots.values())
    assert finished.keys() <= set(range(NUM_SEEDS))
    assert max(finished.values()) == 1
    assert finished.total() >= NUM_SEEDS - finished_before  # a kill forgets the spans that wait
    children: dict[bytes, list[str]] = defaultdict(list)
    for span in told.spans:
        if span.parent_span_id:
            children[span.trace_id].append(span.name)
    for trace in roots:
        assert {"score", "learn"} <= set(children[trace])
    assert sum(span.name.startswith("chat ") for span in told.spans) > NUM_SEEDS
    written = b"".join(span.SerializeToString() for span in told.spans)
    for row in rows:
        assert row.graded.settled.plan.seed.instruction.encode() not in written
