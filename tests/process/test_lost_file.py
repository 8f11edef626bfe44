"""A run has lost a file of finished rows: it is refused by name, and goes on without it where somebody says so."""

from pathlib import Path

import pytest

from star_agents.storage import moving
from star_agents.storage.folder import RunFolder
from star_agents.storage.recovery import read_standing
from star_agents.storage.shards import folder_of
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.process.harness import PATIENCE_S, Run, mock_endpoint, tiny_models
from tests.process.test_signals import star_agents

FIRST, ALL, MOVED = 6, 9, 3


async def move(database: Path) -> None:
    async with await RunStore.open(database, read_standing(database).manifest) as store:
        assert await store.move_finished(keep_entries=100)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.fault("F-77")
def test_f77_a_run_goes_on_without_a_lost_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-77: nothing in it is needed to go on; what is exported in the end is everything else, and says so."""
    monkeypatch.setattr(moving, "SHARD_ROWS", MOVED)
    monkeypatch.setattr(moving, "HOT_ROWS", 1)
    with mock_endpoint(tmp_path) as endpoint:
        run = Run(tmp_path, endpoint, tiny_models(tmp_path), {"seeds": {"limit": ALL}})
        process = run.start("--limit", str(FIRST))
        assert process.wait(PATIENCE_S) == 0, run.output()
        database = RunFolder(run.run_dir).database
        run_real(move(database))
        (rows,) = folder_of(database).glob("rows-*")
        kept = rows.rename(tmp_path / rows.name)

        refused = run.start()
        assert refused.wait(PATIENCE_S) == 74
        assert f"{MOVED} in all, are lost with it" in " ".join(run.output().split())
        assert "--allow-missing" in run.output()
        process = run.start("--allow-missing")
        assert process.wait(PATIENCE_S) == 0, run.output()
        assert "goes on without what is lost" in run.output()
    assert len(run.rows()) + len(run.dropped()) == ALL - MOVED
    assert "**Not complete:** 3 finished seeds" in (run.run_dir / "out" / "messages" / "README.md").read_text()
    assert f"LOST: {rows}: gone" in star_agents("status", str(run.run_dir)).stdout
    kept.rename(rows)
    exported = star_agents("export", str(run.run_dir))
    assert exported.returncode == 0, exported.stderr
    assert len(run.rows()) + len(run.dropped()) == ALL
