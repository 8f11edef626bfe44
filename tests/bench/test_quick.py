"""Every benchmark runs by itself, for our side, and says what it promises; no figure of a `--quick` run counts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def quick(name: str) -> dict[str, Any]:
    """The JSON line of `python -m bench.NAME --quick`, which is its last."""
    command = [sys.executable, "-m", f"bench.{name}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["bench"] == name
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
