-- Pages that the extractor staged, each with what became of it.
CREATE TABLE page (
    page_id       text PRIMARY KEY,
    run_id        uuid NOT NULL,
    job_id        uuid NOT NULL,
    run           bigint NOT NULL,
    object        text NOT NULL,
    mode          text NOT NULL CHECK (mode IN ('baseline', 'incremental', 'full')),
    seq           bigint NOT NULL,
    path          text NOT NULL,
    rows          bigint NOT NULL,
    bytes         bigint NOT NULL,
    sha256        text NOT NULL,
    schema_id     text NOT NULL,
    committed     boolean NOT NULL DEFAULT false,
    commit_seq    bigint,
    version       bigint,
    bytes_written bigint NOT NULL DEFAULT 0,
    counts        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX page_staged ON page (job_id, object, run, seq) WHERE NOT committed;
CREATE INDEX page_of_object ON page (run_id, object, seq);

-- What the extractor says belongs to an object of a run; complete once every page of it is committed.
CREATE TABLE manifest (
    run_id         uuid NOT NULL,
    object         text NOT NULL,
    job_id         uuid NOT NULL,
    run            bigint NOT NULL,
    mode           text NOT NULL,
    pages          bigint NOT NULL,
    rows           bigint NOT NULL,
    sha256         text NOT NULL,
    correlation_id uuid NOT NULL,
    diffed         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run_id, object)
);
CREATE INDEX manifest_waiting ON manifest (job_id, object, run) WHERE NOT diffed;

-- One vault table: the number of its last commit, the commit in flight, and how far the record feed got.
CREATE TABLE vault_table (
    job_id       uuid NOT NULL,
    object       text NOT NULL,
    commit_seq   bigint NOT NULL DEFAULT 0,
    pending_page text,
    version      bigint NOT NULL DEFAULT -1,
    chain_head   text NOT NULL DEFAULT '',
    records      bigint NOT NULL DEFAULT 0,
    fed_seq      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, object)
);

-- Which organisation a job's run reads, for the key of the record feed.
CREATE TABLE job_connection (
    job_id        uuid PRIMARY KEY,
    connection_id uuid NOT NULL
);
CREATE TABLE connection_organization (
    connection_id   uuid PRIMARY KEY,
    organization_id text NOT NULL
);
