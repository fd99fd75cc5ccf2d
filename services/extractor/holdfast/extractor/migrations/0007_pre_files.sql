-- Files: what is to be fetched, what of it is stored, and which pages say so.

-- The file fields of an object, as the describe had them when the run was planned; none without file fields.
CREATE TABLE file_field (
    run_id uuid NOT NULL REFERENCES extraction,
    object text NOT NULL,
    fields jsonb NOT NULL,
    PRIMARY KEY (run_id, object)
);

-- One row per org with files: when it may be asked again, and what the last day took.
CREATE TABLE file_source (
    connection_id uuid PRIMARY KEY,
    not_before timestamptz,
    day date NOT NULL DEFAULT current_date,
    calls bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0
);

-- How far the files of a run are; in the same units as the rows of `file`.
CREATE TABLE file_run (
    run_id uuid PRIMARY KEY REFERENCES extraction,
    queued bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    -- Whether the present figures, when nothing is left to fetch, were published.
    said boolean NOT NULL DEFAULT false
);
CREATE INDEX file_run_unsaid ON file_run (run_id) WHERE NOT said;

-- One row per version of a body. `waiting` is leased by a worker; `stored`: the blob is durable; `attached`: announced
-- to the differ in page `page_id`. `part` is the reference of an image within a rich text, else empty.
CREATE TABLE file (
    file_id uuid PRIMARY KEY,
    job_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    run_id uuid NOT NULL REFERENCES extraction,
    object text NOT NULL,
    record_id text NOT NULL,
    field text NOT NULL,
    part text NOT NULL DEFAULT '',
    stamp timestamptz,
    stated_bytes bigint,
    stated_md5 text,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'stored', 'attached', 'failed')),
    sha256 text,
    bytes bigint,
    page_id text,
    reason text NOT NULL DEFAULT '',
    code text NOT NULL DEFAULT '',
    rounds integer NOT NULL DEFAULT 0,
    -- The hash of the last body that was not as stated: one that comes again and again is what the org has.
    odd_sha256 text,
    settled_at timestamptz,
    holder text,
    epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    not_before timestamptz,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz
);
CREATE UNIQUE INDEX file_version ON file
    (job_id, object, record_id, field, part, coalesce(stamp, '-infinity'::timestamptz));
CREATE INDEX file_waiting ON file (connection_id, file_id) WHERE state = 'waiting';
CREATE INDEX file_stored ON file (run_id, object, field) WHERE state = 'stored';
CREATE INDEX file_failed ON file (job_id) WHERE state = 'failed';
CREATE INDEX file_of_run ON file (run_id, object, field, state);
CREATE INDEX file_of_page ON file (page_id) WHERE state = 'stored' AND page_id IS NOT NULL;

-- Pages of bodies: which rows they hold is fixed before they are written, so that a repeat writes the same bytes.
CREATE TABLE bodies_page (
    page_id text PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES extraction,
    object text NOT NULL,
    field text NOT NULL,
    images boolean NOT NULL,
    seq integer NOT NULL,
    staged boolean NOT NULL DEFAULT false,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (run_id, object, seq)
);
CREATE INDEX bodies_page_open ON bodies_page (made_at) WHERE NOT staged;
