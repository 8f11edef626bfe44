"""A run database of an earlier version, shown to a reader as one of this: views in memory, and nothing in the file.

Law: whoever only looks at a run changes none of its bytes, and reads one schema, the newest. What an earlier schema did
not record is as unknown here as `migration` would leave it. SQLite looks for a name among a connection's temporary
tables and views first, so that no query need know of this.
"""

from typing import Any

import apsw

from star_agents.core.calls import Failure
from star_agents.storage.codec import read_reply
from star_agents.storage.schema import COMMANDS, MOVED

_SCHEMA_1 = """
CREATE TEMP VIEW reply AS
    SELECT rowid AS rowid, seed, purpose, slot, ordinal, ok, endpoint, model, '' AS agent, '' AS pair,
        CASE WHEN ok THEN '' ELSE told_reason(seed, crc32, body) END AS reason,
        CASE WHEN ok THEN 1 ELSE told_sends(seed, crc32, body) END AS sends,
        input_tokens, output_tokens, NULL AS reasoning_tokens, NULL AS cached_tokens,
        0 AS wasted_input, 0 AS wasted_output, 0 AS estimated, crc32, body
    FROM main.reply;

CREATE TEMP VIEW spend AS
    SELECT endpoint, '' AS agent, '' AS pair, '' AS purpose, calls, failures, calls AS sends, input_tokens,
        output_tokens, NULL AS reasoning_tokens, NULL AS cached_tokens, 0 AS wasted_input, 0 AS wasted_output,
        0 AS estimated
    FROM main.spend;
"""

_SCHEMA_2 = """
CREATE TEMP VIEW policy AS SELECT version, applied_seq, crc32, p, x'' AS state FROM main.policy;

CREATE TEMP TABLE epoch (version INTEGER PRIMARY KEY, applied_seq INTEGER, crc32 INTEGER, body BLOB);
"""

_ADDED = ((1, _SCHEMA_1), (2, _SCHEMA_2))
"""What the versions up to one lack."""


def show_as_newest(connection: apsw.Connection, version: int) -> None:
    """Fill in what a database of an earlier version lacks, for this connection alone."""
    connection.execute("PRAGMA temp_store = MEMORY")
    if version == 1:
        connection.create_scalar_function("told_reason", _reason, 3)
        connection.create_scalar_function("told_sends", _sends, 3)
    for last, statements in _ADDED:
        if version <= last:
            connection.execute(statements)
    if version <= 3:  # noqa: PLR2004  # kept every finished row
        connection.execute(_temporary(MOVED.partition("CREATE TRIGGER")[0]))
    if version <= 4:  # noqa: PLR2004  # did not write down what it was told to do
        connection.execute(_temporary(COMMANDS))


def failed_calls_hint(connection: apsw.Connection) -> str:
    """What makes SQLite look for failed calls by their index; schema 1 has none."""
    version: int = connection.pragma("user_version")
    return "INDEXED BY reply_failed" if version > 1 else ""


def _temporary(statements: str) -> str:
    """The same tables in memory; an empty one needs no index."""
    tables = (part for part in statements.split(";") if "CREATE TABLE" in part)
    return ";".join(tables).replace("CREATE TABLE", "CREATE TEMP TABLE")


def _failure(row: tuple[Any, ...]) -> Failure | None:
    seed, crc, body = row
    reply = read_reply(f"failure of seed {seed}", crc, body)
    return reply if isinstance(reply, Failure) else None


def _reason(*row: Any) -> str:  # noqa: ANN401  # what SQLite passes
    found = _failure(row)
    return found.reason if found else ""


def _sends(*row: Any) -> int:  # noqa: ANN401
    found = _failure(row)
    return found.attempts if found else 1
