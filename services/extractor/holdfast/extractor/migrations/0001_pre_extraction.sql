-- Extraction of runs: what is asked for, what is planned, what is durable.

-- One row per run, from `run.requested`. A row in state `waiting` is leased by a planner.
CREATE TABLE extraction (
    run_id uuid PRIMARY KEY,
    job_id uuid NOT NULL,
    run bigint NOT NULL,
    connection_id uuid NOT NULL,
    objects text[] NOT NULL,
    full_scan boolean NOT NULL,
    correlation_id uuid NOT NULL,
    causation_id uuid,
    actor text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'planned', 'refused')),
    plan_calls bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Lease and back-off; all by the database's clock, the only one that every worker shares.
    holder text,
    epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    not_before timestamptz,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz
);
CREATE INDEX extraction_waiting ON extraction (received_at) WHERE state = 'waiting';

-- One row per object of a run. A row in state `waiting` is leased by a worker.
CREATE TABLE task (
    task_id uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES extraction,
    object text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('baseline', 'incremental', 'full')),
    strategy text NOT NULL CHECK (strategy IN ('rest', 'bulk2')),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'extracted', 'failed')),
    estimated_rows bigint NOT NULL,
    estimated_calls bigint NOT NULL,
    schema text NOT NULL DEFAULT '',
    since timestamptz,
    -- Where reading goes on. A Bulk job is re-read from its locator, a REST query after the last record.
    bulk_job text,
    bulk_locator text,
    bulk_restarts integer NOT NULL DEFAULT 0,
    -- Org's time at which reading began: records read early may have changed since.
    read_from timestamptz,
    drained boolean NOT NULL DEFAULT false,
    next_seq integer NOT NULL DEFAULT 1,
    rows bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    max_stamp timestamptz,
    last_stamp timestamptz,
    last_id text,
    api_calls bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    code text NOT NULL DEFAULT '',
    holder text,
    epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    not_before timestamptz,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    UNIQUE (run_id, object)
);
CREATE INDEX task_waiting ON task (estimated_rows DESC) WHERE state = 'waiting';

-- One row per durable page. `bulk_locator` is where the page was read, `next_locator` where the next one is.
CREATE TABLE page (
    task_id uuid NOT NULL REFERENCES task,
    seq integer NOT NULL,
    page_id text NOT NULL UNIQUE,
    bulk_job text,
    bulk_locator text,
    next_locator text,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    path text NOT NULL,
    PRIMARY KEY (task_id, seq)
);

-- Newest SystemModstamp that a job has read whole, per object, in Salesforce's time. A row without a mark
-- says that the object was read but holds nothing to go on from.
CREATE TABLE watermark (
    job_id uuid NOT NULL,
    object text NOT NULL,
    run bigint NOT NULL,
    mark timestamptz,
    PRIMARY KEY (job_id, object)
);

-- Describes as the org last sent them, so that an unchanged one costs a call but no transfer.
CREATE TABLE described (
    connection_id uuid NOT NULL,
    object text NOT NULL,
    etag text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (connection_id, object)
);
