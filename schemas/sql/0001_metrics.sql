-- metrics.db, version 1: what the run folders' records.jsonl say, arranged for reading. A cache
-- (WAL, synchronous=NORMAL): where it is missing, damaged or of another version, it is thrown away
-- and read again from the run folders.

-- Up to where each job's records.jsonl is in the table below; moves in the same transaction.
CREATE TABLE runs (
    job    INTEGER PRIMARY KEY,
    offset INTEGER NOT NULL, -- bytes, always behind a newline
    step   INTEGER NOT NULL, -- of the newest step record
    steps  INTEGER NOT NULL  -- planned, from the newest start record
) STRICT;

-- One row per line. An attempt that resumed from step r supersedes what earlier attempts wrote
-- about later steps: the effective curve is WHERE superseded = 0.
CREATE TABLE records (
    job        INTEGER NOT NULL,
    kind       TEXT NOT NULL,    -- the record's type
    step       INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    offset     INTEGER NOT NULL, -- of the line: two warnings of one step differ in it
    superseded INTEGER NOT NULL,
    body       TEXT NOT NULL,    -- the line
    PRIMARY KEY (job, kind, step, attempt, offset)
) STRICT, WITHOUT ROWID;
