"""A run folder that is whole is told as such, and whatever is damaged in one is named."""

import math
import random
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
import yaml

from star_agents.core.errors import StoreError
from star_agents.core.records import AgentPair, Epoch, Graded, PairWeights, Update
from star_agents.policy import epochs
from star_agents.policy.absence import FilledRule
from star_agents.policy.credits import credits
from star_agents.policy.weights import PaperRule, uniform
from star_agents.service.config.validation import check
from star_agents.service.config.yaml_source import parse_yaml
from star_agents.service.doctor import run as doctor_run
from star_agents.service.doctor.checks import Cause, Finding, Level
from star_agents.service.run.identity import record
from star_agents.storage import moving
from star_agents.storage.codec import checksum, float_bytes
from star_agents.storage.shards import folder_of
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.service.configs import spoiled
from tests.storage.contests import Answer, contest
from tests.storage.examples import MANIFEST, POOL, asked, completion

RATE, FLOOR = 0.3, 0.01
JOINED = AgentPair("deepen", "strong")
RULE = FilledRule(PaperRule(rate=RATE, floor=FLOOR))
BATCHES = 6

pytestmark = pytest.mark.fault("F-77")


def seed(number: int) -> Graded:
    """A base answer and one of each pair of the pool, the better the later."""
    answers = [Answer(text="base", pi=0.1)]
    answers += [Answer(text="a", pi=0.3 + number / 100, agents=(pair.instruction, pair.response)) for pair in POOL]
    return contest(number, answers, winner=1)


def steps() -> list[Update]:
    """Batches of one seed, with a change of the pool in between, as a run learns them."""
    updates: list[Update] = []
    now = uniform(POOL)
    for number in range(BATCHES):
        if number == BATCHES // 2:
            epoch = Epoch(now.version + 1, (JOINED,), (), "more")
            now = epochs.apply(now, epoch, RULE)
            updates.append(Update(now, (), (), epoch=epoch))
        graded = (seed(number),)
        now = RULE.update(now, epochs.taught(now, credits(graded)))
        updates.append(Update(now, graded, ()))
    return updates


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose first two seeds lie in a shard."""
    monkeypatch.setattr(moving, "SHARD_ROWS", 2)
    monkeypatch.setattr(moving, "HOT_ROWS", 3)
    config = spoiled("evolution", {"rate": RATE, "floor": FLOOR})
    manifest = replace(MANIFEST, config=record(check(parse_yaml(yaml.safe_dump(config), "run.yaml")), {}))
    path = tmp_path / "run.db"

    async def main() -> None:
        async with await RunStore.open(path, manifest) as store:
            for number in range(BATCHES):
                await store.assign(seed(number).settled.plan)
                await store.respond(asked(number, 0), completion("text"))
            for update in steps():
                await store.learn(update)
            assert await store.move_finished(keep_entries=10)

    run_real(main())
    return path


def looked(path: Path) -> list[Finding]:
    return [*doctor_run.database(path), *doctor_run.shard_files(path), doctor_run.weights(path, None)]


def bad(path: Path) -> list[str]:
    found = [finding for finding in looked(path) if finding.level is Level.FAIL]
    assert all(finding.cause is Cause.STORE and "restore" in finding.mend for finding in found)
    return [finding.seen for finding in found]


def change(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


def test_a_whole_run(run: Path) -> None:
    """Every byte is what was written, and the weights are the fold, over a shard and a change of the pool."""
    assert [(one.level, one.subject) for one in looked(run)] == [
        (Level.OK, "database"),
        (Level.OK, "shards"),
        (Level.OK, "weights"),
    ]
    assert f"{BATCHES + 1} versions are the fold of {BATCHES} rows" in looked(run)[-1].seen


@pytest.mark.parametrize(
    ("table", "where", "name"),
    [
        ("log", "seed = 4", "result of seed 4"),
        ("plan", "seed = 5", "plan of seed 5"),
        ("reply", "seed = 3", "respond reply of seed 3, slot 0"),
        ("epoch", "true", "epoch of version 4"),
        ("tally", "true", "the tally"),
        ("manifest", "true", "the manifest"),
    ],
)
def test_a_damaged_row_is_named(run: Path, table: str, where: str, name: str) -> None:
    """Whatever table it is in; the others are looked at all the same."""
    change(run, f"UPDATE {table} SET crc32 = crc32 + 1 WHERE {where}")  # noqa: S608  # our own words
    assert [one.seen for one in doctor_run.database(run)] == [f"{name} is damaged"]


def test_many_damaged_rows_are_counted(run: Path) -> None:
    """So many are named, and there is a count of the others."""
    change(run, "UPDATE plan SET crc32 = crc32 + 1")
    change(run, "UPDATE policy SET crc32 = crc32 + 1")
    found = [*doctor_run.database(run)]
    assert len(found) == doctor_run.NAMED + 1
    assert found[-1].seen == "1 more"


def test_files_of_shards_are_compared_with_the_list(run: Path) -> None:
    """One that has changed, and one that is gone."""
    rows, replies = sorted(folder_of(run).iterdir(), reverse=True)
    content = bytearray(rows.read_bytes())
    content[random.Random(7).randrange(len(content))] ^= 1
    rows.write_bytes(content)
    replies.unlink()
    assert [one.seen for one in doctor_run.shard_files(run)] == [
        f"{rows}: damaged, its checksum does not match: rows 1 to 2 (of seeds 0 to 1), 2 in all, are lost with it",
        f"{replies}: gone: the calls of rows 1 to 2 (of seeds 0 to 1), 2 in all, are lost with it",
    ]


def test_weights_that_are_not_the_fold_are_told(run: Path) -> None:
    """From the first version that is not, however little is missing; the checksum may well be right."""
    now = steps()[4].weights
    rewrite_policy(run, replace(now, p=(math.nextafter(now.p[0], 1.0), *now.p[1:])))
    assert bad(run) == ["from version 5 on they are not those that the log leads to"]
    change(run, "DELETE FROM policy WHERE version = 5")
    assert bad(run) == ["version 5 is missing"]


def rewrite_policy(path: Path, weights: PairWeights) -> None:
    p, state = float_bytes(weights.p), float_bytes(weights.state)
    connection = apsw.Connection(str(path))
    row = (p, checksum(p, state), weights.version)
    connection.execute("UPDATE policy SET p = ?, crc32 = ? WHERE version = ?", row)
    connection.close()


def test_a_rate_that_nobody_can_work_out_is_no_damage(run: Path) -> None:
    """`auto` goes by the number of seeds: where their file is gone nothing is compared, and that is said."""
    config = spoiled("evolution", {"rate": "auto"})
    manifest = replace(MANIFEST, config=record(check(parse_yaml(yaml.safe_dump(config), "run.yaml")), {}))
    other = run.with_name("other.db")

    async def main() -> None:
        async with await RunStore.open(other, manifest):
            pass

    run_real(main())
    assert doctor_run.weights(other, None).level is Level.WARN
    assert doctor_run.weights(other, 100).level is Level.OK


def test_a_database_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """As the store's error."""
    path = tmp_path / "run.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="not a run database"):
        list(doctor_run.database(path))
