"""A bounded share of `bench.recovery`: kills at failpoints and at random, power cuts, and bugs that must be found."""

from pathlib import Path

import apsw
import pytest

from bench.crash.kills import REACHED, forkserver, kills
from bench.crash.power import cuts
from bench.crash.small_run import CONCURRENCY
from star_agents.storage import failpoints
from star_agents.storage.failpoints import POINTS
from star_agents.storage.migration import migrate
from star_agents.storage.recovery import read_standing
from star_agents.storage.schema import SCHEMA_VERSION
from tests.storage.examples import MANIFEST
from tests.storage.old_runs import begin_schema

pytestmark = pytest.mark.timeout(300)


@pytest.mark.fault("F-64", "F-80")
def test_f64_kills_lose_nothing_and_waste_at_most_the_calls_in_flight(tmp_path: Path) -> None:
    """F-64, F-80: whatever was acknowledged is there, nothing twice, the weights are the fold; at each failpoint."""
    told = kills(tmp_path, 20, seed=7)
    assert not told.first_problem()
    assert told.kills == 20
    assert len(told.wasted) > 12  # of the others there was nothing yet
    assert max(told.wasted) <= CONCURRENCY
    assert told.resent <= sum(told.wasted)
    assert told.acknowledged > 1000


@pytest.mark.slow
@pytest.mark.fault("F-64", "F-80")
def test_f64_every_failpoint_kills(tmp_path: Path) -> None:
    """F-64, F-80: two hundred kills, and each point has had its turn."""
    told = kills(tmp_path, 200, seed=8)
    assert not told.first_problem()
    assert {*REACHED, "random"} - told.at.keys() <= {"create.begun"}  # before it there is nothing to look at


@pytest.mark.parametrize("planted", ["ack before commit", "policy in a second transaction", "manifest before file"])
def test_a_planted_bug_is_found_by_kills(tmp_path: Path, planted: str) -> None:
    """The harness has teeth."""
    assert kills(tmp_path, 100, seed=3, planted=planted).problems


@pytest.mark.fault("F-74", "F-80")
def test_f74_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """F-74, F-80: what was not synced is lost or torn at will; nothing is corrupt, and a start goes on from it."""
    told = cuts(tmp_path, 40, seed=7)
    assert not told.problems
    assert (told.cuts, told.resumed) == (40, 2)
    assert told.acknowledged > 1000


@pytest.mark.parametrize(
    ("planted", "share"),
    [
        ("commits without sync", 0.05),
        pytest.param("manifest before file", 0.15, marks=pytest.mark.slow),
        pytest.param("ack before commit", 0.05, marks=pytest.mark.slow),
        pytest.param("policy in a second transaction", 0.05, marks=pytest.mark.slow),
    ],
)
def test_a_planted_bug_is_found_by_power_cuts(tmp_path: Path, planted: str, share: float) -> None:
    """Commits without a sync are found by nothing else."""
    assert cuts(tmp_path, 400, seed=3, share=share, planted=planted).problems


def _migrate(path: str, point: str) -> None:
    failpoints.arm(point)
    migrate(Path(path))


@pytest.mark.fault("F-82")
@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("migrate.")])
def test_f82_a_killed_migration_is_done_again(tmp_path: Path, point: str, version: int) -> None:
    """F-82: the database is whole before or after it, and so is the copy."""
    path = tmp_path / "run.db"
    begin_schema(version, path, num_plans=5)
    process = forkserver().Process(target=_migrate, args=(str(path), point))
    process.start()
    process.join()
    assert process.exitcode == -9
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == (SCHEMA_VERSION if point == "migrate.done" else version)
    connection.close()
    migrate(path)
    standing = read_standing(path)
    assert (standing.manifest, standing.next_seed) == (MANIFEST, 5)
    copy = apsw.Connection(str(path.with_name(f"run.db.schema-{version}")))
    assert copy.execute("SELECT count(*) FROM plan").get == 5
    copy.close()


def test_an_unknown_point_is_refused() -> None:
    """A misspelt point would never kill, and the test would pass."""
    with pytest.raises(ValueError, match=r"no point commit\.never"):
        failpoints.arm("commit.never:1")
