"""The tables of a run database, and the laws that they keep by themselves.

One plan a seed, one reply a call, one log row a seed, and no reply or log row without its plan. Finished ranges
of the log leave for the files that `shard` lists, with their plans and replies; a seed that left is never planned
again. Two tables are derived and triggers keep them in step, so that a start costs what is open and not what is
done: `open_plan` (planned, not in the log) and `spend` (calls and tokens by who is charged). Failed calls have an
index of their own, so that they are found without reading the others.

`policy` holds every version of the weights, with what its rule knows beside p, in the order of the pool of that
version: the manifest's, as the `epoch` rows up to it have changed it.

`command` holds every order that was given to the run. A key names one order that was done or is under way.

Bodies are JSON or a zstd frame of JSON (`codec`); `crc32` covers a row's blobs. Texts are never columns.
"""

APPLICATION_ID = 0x53544147
"""Marks the file as ours ("STAG") in SQLite's header; `file` and `sqlite3` show it."""

SCHEMA_VERSION = 5
"""Kept in SQLite's `user_version`. A newer file is refused; an older one is migrated, never guessed at."""

TABLES = """
CREATE TABLE manifest (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    crc32 INTEGER NOT NULL,
    body  BLOB NOT NULL
) STRICT;

CREATE TABLE plan (
    seed            INTEGER PRIMARY KEY,
    weights_version INTEGER NOT NULL,
    crc32           INTEGER NOT NULL,
    body            BLOB NOT NULL,
    embedding       BLOB NOT NULL
) STRICT;

CREATE TABLE reply (
    seed             INTEGER NOT NULL REFERENCES plan (seed),
    purpose          TEXT NOT NULL,
    slot             INTEGER NOT NULL,
    ordinal          INTEGER NOT NULL,
    ok               INTEGER NOT NULL,
    endpoint         TEXT NOT NULL,
    model            TEXT NOT NULL,
    agent            TEXT NOT NULL,
    pair             TEXT NOT NULL,
    reason           TEXT NOT NULL,
    sends            INTEGER NOT NULL,
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER,
    cached_tokens    INTEGER,
    wasted_input     INTEGER NOT NULL,
    wasted_output    INTEGER NOT NULL,
    estimated        INTEGER NOT NULL,
    crc32            INTEGER NOT NULL,
    body             BLOB NOT NULL,
    PRIMARY KEY (seed, purpose, slot, ordinal)
) STRICT;

CREATE TABLE log (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    seed    INTEGER NOT NULL UNIQUE REFERENCES plan (seed),
    batch   INTEGER NOT NULL,
    version INTEGER NOT NULL,
    source  TEXT NOT NULL,
    slot    INTEGER,
    pi      REAL,
    reason  TEXT,
    crc32   INTEGER NOT NULL,
    body    BLOB NOT NULL
) STRICT;

CREATE TABLE policy (
    version     INTEGER PRIMARY KEY,
    applied_seq INTEGER NOT NULL,
    crc32       INTEGER NOT NULL,
    p           BLOB NOT NULL,
    state       BLOB NOT NULL DEFAULT x''
) STRICT;

CREATE TABLE epoch (
    version     INTEGER PRIMARY KEY,
    applied_seq INTEGER NOT NULL,
    crc32       INTEGER NOT NULL,
    body        BLOB NOT NULL
) STRICT;

CREATE TABLE tally (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    applied_seq INTEGER NOT NULL,
    crc32       INTEGER NOT NULL,
    body        BLOB NOT NULL
) STRICT;

CREATE TABLE bank (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    seed        INTEGER NOT NULL,
    instruction TEXT NOT NULL,
    response    TEXT NOT NULL,
    pi          REAL NOT NULL,
    crc32       INTEGER NOT NULL,
    embedding   BLOB NOT NULL
) STRICT;

CREATE TABLE open_plan (seed INTEGER PRIMARY KEY) STRICT;

CREATE TRIGGER plan_opens AFTER INSERT ON plan BEGIN
    INSERT INTO open_plan VALUES (new.seed);
END;

CREATE TRIGGER log_closes AFTER INSERT ON log BEGIN
    DELETE FROM open_plan WHERE seed = new.seed;
END;
"""

MOVED = """
CREATE TABLE shard (
    seq_lo        INTEGER PRIMARY KEY,
    seq_hi        INTEGER NOT NULL UNIQUE,
    seed_lo       INTEGER NOT NULL,
    seed_hi       INTEGER NOT NULL,
    rows          INTEGER NOT NULL,
    failures      INTEGER NOT NULL,
    rows_crc32    INTEGER NOT NULL,
    replies_crc32 INTEGER NOT NULL
) STRICT;

CREATE INDEX shard_seeds ON shard (seed_hi);

CREATE TRIGGER plan_is_new BEFORE INSERT ON plan WHEN new.seed <= (SELECT max(seed_hi) FROM shard) BEGIN
    SELECT RAISE(ABORT, 'the seed was planned before');
END;
"""
"""Ranges of the log that lie in files (`shards`)."""

SPENDING = """
CREATE INDEX reply_failed ON reply (seed, purpose, slot, ordinal, endpoint, reason) WHERE ok = 0;

CREATE TABLE spend (
    endpoint         TEXT NOT NULL,
    agent            TEXT NOT NULL,
    pair             TEXT NOT NULL,
    purpose          TEXT NOT NULL,
    calls            INTEGER NOT NULL,
    failures         INTEGER NOT NULL,
    sends            INTEGER NOT NULL,
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER,
    cached_tokens    INTEGER,
    wasted_input     INTEGER NOT NULL,
    wasted_output    INTEGER NOT NULL,
    estimated        INTEGER NOT NULL,
    PRIMARY KEY (endpoint, agent, pair, purpose)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER reply_spends AFTER INSERT ON reply BEGIN
    INSERT INTO spend VALUES (
        new.endpoint, new.agent, new.pair, new.purpose, 1, 1 - new.ok, new.sends, new.input_tokens, new.output_tokens,
        new.reasoning_tokens, new.cached_tokens, new.wasted_input, new.wasted_output, new.estimated
    )
    ON CONFLICT (endpoint, agent, pair, purpose) DO UPDATE SET
        calls            = calls         + excluded.calls,
        failures         = failures      + excluded.failures,
        sends            = sends         + excluded.sends,
        input_tokens     = input_tokens  + excluded.input_tokens,
        output_tokens    = output_tokens + excluded.output_tokens,
        reasoning_tokens = coalesce(
            reasoning_tokens + excluded.reasoning_tokens, reasoning_tokens, excluded.reasoning_tokens
        ),
        cached_tokens    = coalesce(cached_tokens + excluded.cached_tokens, cached_tokens, excluded.cached_tokens),
        wasted_input     = wasted_input  + excluded.wasted_input,
        wasted_output    = wasted_output + excluded.wasted_output,
        estimated        = estimated     + excluded.estimated;
END;
"""
"""What is derived from `reply`."""

COMMANDS = """
CREATE TABLE command (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      TEXT NOT NULL,
    actor   TEXT NOT NULL,
    verb    TEXT NOT NULL,
    key     TEXT,
    outcome TEXT NOT NULL,
    crc32   INTEGER NOT NULL,
    body    BLOB NOT NULL
) STRICT;

CREATE INDEX command_verbs ON command (verb, id);

CREATE UNIQUE INDEX command_keys ON command (key) WHERE outcome IN ('begun', 'done');
"""
"""Orders to the run (`commands`)."""
