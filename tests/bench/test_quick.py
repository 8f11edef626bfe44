"""Every benchmark runs by itself, for our side, and says what it promises; no figure of a `--quick` run counts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from star_agents.cli.models import cache_dir
from star_agents.scoring.zoo import pull

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def quick(name: str) -> dict[str, Any]:
    """The JSON line of `python -m bench.NAME --quick`, which is its last."""
    command = [sys.executable, "-m", f"bench.{name}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["bench"].replace("-", "_").startswith(name)
    assert told["machine"]["cores"]
    assert told["versions"]["star-agents"]
    return told


def test_client() -> None:
    """The bare loop, our fleet and our whole engine are measured, and all of them are answered."""
    rows = quick("client")["rows"]
    assert [row["client"] for row in rows] == ["bare aiohttp + orjson", "star-agents fleet", "star-agents engine"]
    assert [row["unanswered"] for row in rows] == [0, 0, 0]


def test_utilisation() -> None:
    """Both scenarios are measured, and no endpoint is busier than it can be."""
    rows = quick("utilisation")["rows"]
    assert len(rows) >= 2
    for row in rows:
        assert row["unanswered"] == 0
        assert 0 < row["all slots"] <= row["of ideal"] <= 1.0 + 1e-9


def test_faults() -> None:
    """No answer is lost to an outage, nor to 1 or 5 % faults.

    At 20 % a request in 600 meets a fault four times running, after which it is given up (`traffic.retry.MAX_CHARGED`).
    """
    rows = quick("faults")["rows"]
    assert {row["script"].split()[-1] for row in rows} == {"faults", "s", "(virtual)", "100"}
    assert sum(row["lost"] for row in rows if not row["script"].startswith("20%")) == 0
    assert all(row["lost"] <= 6 for row in rows)


def test_api() -> None:
    """Every sort of question is answered while the service works, events come, and the lag is known."""
    told = quick("api")["rows"]
    asked = [row for row in told if "asked" in row]
    assert [row["what"] for row in asked] == ["status", "metrics", "newest rows", "page of 50 rows"]
    assert all(row["asked"] > 0 and 0 < row["p50 ms"] <= row["p99 ms"] <= row["max ms"] for row in asked)
    assert all(0 < row["p50 ms"] <= row["max ms"] for row in told if row["what"].startswith("loop lag"))


def test_recovery() -> None:
    """Kills, cuts and planted bugs; a store is resumed, and durability has a price."""
    rows = quick("recovery")["rows"]
    assert {row["part"] for row in rows} == {"kills", "cuts", "planted", "resume", "durability"}
    assert all(row["met"] == "yes" for row in rows if row["part"] != "durability")


def test_exports() -> None:
    """Every format and the report, at two sizes; all of them write something."""
    rows = quick("exports")["rows"]
    assert len(rows) == 14
    assert all(row["out MB"] > 0 and row["peak MB"] > 0 for row in rows)


def test_scale() -> None:
    """Sizes grow, and so do the requests that are answered."""
    small, large = quick("scale")["rows"]
    assert small["requests"] < large["requests"]


def test_evolution() -> None:
    """Every study runs and says of each claim whether it holds; at this size only the shape of Figure 5 must."""
    rows = quick("evolution")["rows"]
    assert {row["study"] for row in rows} == {"figure5", "table3", "rounds", "rules", "dollars", "costs"}
    assert all(row["holds"] for row in rows if row["study"] == "figure5")


def test_memory() -> None:
    """A bank that a query sees whole, and one that it does not: nearly all neighbours are found."""
    rows = quick("memory")["rows"]
    assert [row["entries"] for row in rows] == [2_000, 12_000]
    assert all(row["recall"] > 0.9 for row in rows)


def test_replay() -> None:
    """Cases are asked for whole seeds and for draws; what was judged lazily is refused, and healthy logs are not."""
    rows = quick("replay")["rows"]
    assert len(rows) == 12
    assert {row["answered"] for row in rows if "lazily" in row["case"]} == {"0 of 4"}
    assert "0 of 4" not in {row["answered"] for row in rows[:4]}


def test_scoring() -> None:
    """Three methods score three kinds of samples, and all of them say the same."""
    rows = quick("scoring")["rows"]
    assert [row["method"] for row in rows] == ["reference", "padded", "ours"] * 3
    for row in rows:
        assert row["samples / s"] > 0
        assert row["most different"] is None or row["most different"] < 1e-4


def test_precision() -> None:
    """Every setting is measured, and float32 keeps its own order."""
    rows = quick("precision")["rows"]
    assert len(rows) >= 5
    assert rows[0]["setting"] == "float32"
    assert rows[0]["rank of gap, rows"] == rows[0]["rank of pi_dual, sets"] == 1


def test_pipeline() -> None:
    """The run with both scores every candidate, and each of the two is also run alone."""
    (row,) = quick("pipeline")["rows"]
    assert row["samples"] > 0
    for measured in ("together s", "generation alone s", "scoring alone s"):
        assert float(row[measured].split()[0]) > 0


def test_scoring_scale() -> None:
    """Every sample of every size has a score."""
    assert [(row["samples"], row["without a score"]) for row in quick("scoring_scale")["rows"]] == [
        (1, 0),
        (10, 0),
        (100, 0),
    ]


def test_parity() -> None:
    """A few golden rows through the command line: every number within 1e-4, every status the same."""
    pull("smollm2-135m", cache_dir(), print)
    told = quick("parity")
    assert told["worst"] <= 1e-4
    assert [row["disagree"] for row in told["rows"]] == [0]
