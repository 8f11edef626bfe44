-- The tables of schema 4, as its version of star-agents made them.
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
