-- queue.db, version 1: what was submitted and what became of it. This file is state, not a cache
-- (WAL, synchronous=FULL).
--
-- The truth is two tables that only grow: events, and the documents that they name by digest. The
-- tables jobs and attempts are projections of the events, written in the same transaction by
-- daemon/projection.c; "remorad --check" builds them again by replay and compares.
--
-- type               data
-- job_submitted      name, kind, uid, spec, inputs (digests), slots, attempts_max
-- attempt_starting   attempt_id, cpus: the intention, committed before anything is spawned
-- attempt_started    boot_id, pid, process_start: the shim holds its lock and has said who it is
-- attempt_adopted    pid: a restarted daemon found the attempt alive
-- run_started        resumed_from, steps, world: rank 0 is at its first step
-- checkpoint_committed, evaluated, step_skipped, loss_spike     step and what the record says
-- attempt_ended      state, reason, exit_code, signal, counts (against attempts_max)
-- job_requeued, job_stopping, job_succeeded, job_failed, job_cancelled     reason
-- job_resumed        uid: back into the queue with a new budget of attempts

CREATE TABLE documents (
    digest TEXT PRIMARY KEY, -- SHA-256 of body
    body   TEXT NOT NULL     -- canonical JSON: a spec, or the list of a job's named inputs
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms INTEGER NOT NULL, -- Unix time
    job     INTEGER NOT NULL,
    attempt INTEGER NOT NULL, -- 0: about the job as a whole
    type    TEXT NOT NULL,
    data    TEXT NOT NULL     -- canonical JSON object
) STRICT;

CREATE INDEX events_of_job ON events (job, seq);

CREATE TRIGGER events_never_change BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_never_go BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TABLE jobs (
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL,
    kind            TEXT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL,    -- type
    evidence        TEXT NOT NULL,
    hint            TEXT NOT NULL,    -- the next command to type, or empty
    spec            TEXT NOT NULL,    -- digests of documents
    inputs          TEXT NOT NULL,
    uid             INTEGER NOT NULL, -- the submitter's
    slots           INTEGER NOT NULL,
    attempts_max    INTEGER NOT NULL,
    attempts_used   INTEGER NOT NULL, -- since submit or the last resume
    attempt         INTEGER NOT NULL, -- number of the newest attempt; 0: none yet
    queued_seq      INTEGER NOT NULL, -- place in the queue: the event that put it there
    submitted_ms    INTEGER NOT NULL,
    started_ms      INTEGER,          -- of the first attempt
    ended_ms        INTEGER           -- only in a final state
) STRICT;

CREATE INDEX jobs_by_state ON jobs (state, queued_seq);
CREATE INDEX jobs_by_name ON jobs (name);

CREATE TABLE attempts (
    job             INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    attempt_id      TEXT NOT NULL,    -- REMORA_ATTEMPT_ID of all its processes
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    evidence        TEXT NOT NULL,
    hint            TEXT NOT NULL,
    cpus            TEXT NOT NULL,    -- JSON list of core numbers
    boot_id         TEXT,             -- identity of the shim
    pid             INTEGER,
    process_start   INTEGER,          -- field 22 of /proc/PID/stat
    started_ms      INTEGER NOT NULL,
    ended_ms        INTEGER,
    exit_code       INTEGER,
    signal          INTEGER,
    resumed_from    INTEGER,
    run_started     INTEGER NOT NULL, -- 1 once rank 0 has reported its start
    checkpoint_step INTEGER NOT NULL, -- newest committed by this attempt; -1: none
    evaluation_step INTEGER NOT NULL,
    guard_step      INTEGER NOT NULL, -- of the last skipped step or loss spike
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;
