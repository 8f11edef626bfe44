"""Run databases as earlier versions wrote them."""

from pathlib import Path

import apsw

from star_agents.storage.codec import Packer, checksum
from star_agents.storage.schema import APPLICATION_ID
from tests.storage.examples import MANIFEST, plan

SCHEMAS = Path(__file__).parents[1] / "data" / "schemas"


def packed(value: object) -> tuple[int, bytes]:
    """A value's checksum and body."""
    body = Packer().pack(value)
    return checksum(body), body


def begin_schema(version: int, path: Path, *, num_plans: int) -> None:
    """A run of schema 3 or 4 with some plans and nothing else."""
    connection = apsw.Connection(str(path))
    connection.execute(SCHEMAS.joinpath(f"{version}.sql").read_text())
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}")
    connection.execute("INSERT INTO manifest VALUES (1, ?, ?)", packed(MANIFEST))
    for number in range(num_plans):
        one = plan(number)
        body = Packer().plan(one)
        row = (number, one.weights_version, checksum(body, one.embedding), body, one.embedding)
        connection.execute("INSERT INTO plan VALUES (?, ?, ?, ?, ?)", row)
    connection.close()


def older(newest: Path, path: Path, version: int) -> None:
    """The run of a database of today as an earlier version would have written it; what it did not know is left out.

    Derived tables are filled by that version's own triggers.
    """
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(SCHEMAS.joinpath(f"{version}.sql").read_text())
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}")
    connection.execute("ATTACH ? AS newest", (str(newest),))
    tables = [name for (name,) in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")]
    for table in ("manifest", "plan", "reply", "log", "policy", "epoch", "tally", "bank", "shard"):
        if table in tables:
            names = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM newest.{table}")  # noqa: S608
    connection.execute("DETACH newest")
    connection.close()
