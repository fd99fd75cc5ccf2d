-- Read models of jobs and runs, written in the same transaction as the events they follow from.

CREATE TABLE job (
    job_id         uuid PRIMARY KEY,
    name           text NOT NULL,
    connection_id  uuid NOT NULL,
    objects        text[] NOT NULL,          -- empty: every recommended object of the org
    cron           text NOT NULL,            -- empty: only when asked for
    time_zone      text NOT NULL,
    created_at     timestamptz NOT NULL,
    next_run_at    timestamptz,
    active_run_id  uuid,
    last_run_id    uuid,
    CONSTRAINT job_name_once UNIQUE (name)
);
CREATE INDEX job_due ON job (next_run_at) WHERE next_run_at IS NOT NULL AND active_run_id IS NULL;

CREATE TABLE run (
    run_id         uuid PRIMARY KEY,
    job_id         uuid NOT NULL REFERENCES job (job_id),
    number         bigint NOT NULL CHECK (number > 0),
    state          text NOT NULL CHECK (state IN ('requested', 'running', 'completed', 'partial', 'failed')),
    trigger        text NOT NULL CHECK (trigger IN ('manual', 'slot')),
    label          text NOT NULL,
    slot           timestamptz,
    requested_at   timestamptz NOT NULL,
    completed_at   timestamptz,
    captured       bigint NOT NULL DEFAULT 0,
    created        bigint NOT NULL DEFAULT 0,
    updated        bigint NOT NULL DEFAULT 0,
    touched        bigint NOT NULL DEFAULT 0,
    deleted        bigint NOT NULL DEFAULT 0,
    undeleted      bigint NOT NULL DEFAULT 0,
    reason         text NOT NULL DEFAULT '',
    missing        jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT run_number_once UNIQUE (job_id, number),
    CONSTRAINT run_slot_once UNIQUE (job_id, slot)
);
CREATE INDEX run_newest ON run (requested_at DESC, run_id DESC);
CREATE INDEX run_newest_of_job ON run (job_id, requested_at DESC, run_id DESC);

CREATE TABLE run_object (
    run_id          uuid NOT NULL REFERENCES run (run_id),
    object          text NOT NULL,
    state           text NOT NULL CHECK (state IN ('planned', 'extracted', 'diffed', 'failed')),
    mode            text NOT NULL DEFAULT '',
    strategy        text NOT NULL DEFAULT '',
    estimated_rows  bigint NOT NULL DEFAULT 0,
    rows            bigint NOT NULL DEFAULT 0,
    api_calls       bigint NOT NULL DEFAULT 0,
    captured        bigint NOT NULL DEFAULT 0,
    created         bigint NOT NULL DEFAULT 0,
    updated         bigint NOT NULL DEFAULT 0,
    touched         bigint NOT NULL DEFAULT 0,
    deleted         bigint NOT NULL DEFAULT 0,
    undeleted       bigint NOT NULL DEFAULT 0,
    reason          text NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, object)
);
