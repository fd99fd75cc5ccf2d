-- Read models, folded from the events of scheduler and differ. All of it can be folded again.

CREATE TABLE job (
    job_id      uuid PRIMARY KEY,
    name        text NOT NULL DEFAULT ''     -- empty until job.created has come
);

CREATE TABLE run (
    run_id        uuid PRIMARY KEY,
    job_id        uuid NOT NULL,
    number        bigint NOT NULL,
    state         text NOT NULL CHECK (state IN ('requested', 'completed', 'partial', 'failed')),
    requested_at  timestamptz,
    completed_at  timestamptz,
    reason        text NOT NULL DEFAULT '',
    missing       jsonb NOT NULL DEFAULT '[]',
    objects       bigint,                    -- of a completed run: how many it holds
    CONSTRAINT run_number_once UNIQUE (job_id, number)
);

-- Counts are summed page by page until object.diffed brings the whole (then complete).
CREATE TABLE run_object (
    run_id         uuid NOT NULL,
    object         text NOT NULL,
    complete       boolean NOT NULL DEFAULT false,
    captured       bigint NOT NULL DEFAULT 0,
    created        bigint NOT NULL DEFAULT 0,
    updated        bigint NOT NULL DEFAULT 0,
    touched        bigint NOT NULL DEFAULT 0,
    deleted        bigint NOT NULL DEFAULT 0,
    undeleted      bigint NOT NULL DEFAULT 0,
    unseen         bigint NOT NULL DEFAULT 0,
    rows_read      bigint NOT NULL DEFAULT 0,
    bytes_written  bigint NOT NULL DEFAULT 0,
    table_path     text NOT NULL DEFAULT '',
    version        bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, object)
);

-- The second witness of each table: where its hash chain was when the differ last told.
CREATE TABLE table_head (
    job_id       uuid NOT NULL,
    object       text NOT NULL,
    table_path   text NOT NULL,
    version      bigint NOT NULL,
    commit_seq   bigint NOT NULL,            -- 0 where only object.diffed told of the version
    chain_head   text NOT NULL,
    PRIMARY KEY (job_id, object)
);

CREATE TABLE verification (
    verification_id  uuid PRIMARY KEY,
    job_id           uuid NOT NULL,
    verified_at      timestamptz NOT NULL,
    files            bigint NOT NULL,
    bytes            bigint NOT NULL,
    damaged          jsonb NOT NULL
);
CREATE INDEX verification_newest ON verification (job_id, verified_at DESC);
