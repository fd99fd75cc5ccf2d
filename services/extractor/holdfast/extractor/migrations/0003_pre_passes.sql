-- An object is read in passes until it is known how what the vault holds of it compares with the org.

ALTER TABLE task
    ADD COLUMN pass_number integer NOT NULL DEFAULT 1,
    -- What the present pass is for, and which part of it is being read.
    ADD COLUMN purpose text NOT NULL DEFAULT 'reading' CHECK (purpose IN ('reading', 'delta', 'census')),
    ADD COLUMN part text NOT NULL DEFAULT 'records' CHECK (part IN ('records', 'deletions', 'census')),
    -- Number of the part's first page.
    ADD COLUMN part_from_seq integer NOT NULL DEFAULT 1,
    ADD COLUMN census_due boolean NOT NULL DEFAULT false,
    -- How far, in the org's time, its list of deleted records was read in this pass.
    ADD COLUMN deleted_until timestamptz;

-- Sums over the ids, and the ids with their stamps, of a page of a census; as 16 hex digits.
ALTER TABLE page
    ADD COLUMN id_sum text,
    ADD COLUMN stamp_sum text;

-- Whether the pages of the run are in the vault, though what is there does not agree with the org.
ALTER TABLE loss ADD COLUMN in_vault boolean NOT NULL DEFAULT false;

-- Who looked when a run read an object whole. The last reading and the one before it are kept.
CREATE TABLE evidence (
    job_id uuid NOT NULL,
    object text NOT NULL,
    run bigint NOT NULL,
    organization_id text NOT NULL,
    user_id text NOT NULL,
    rights text NOT NULL,
    PRIMARY KEY (job_id, object, run)
);

-- When an object was last read whole, and last listed whole, by our clock; and how far, by the org's, its list of
-- deleted records is known.
CREATE TABLE rhythm (
    job_id uuid NOT NULL,
    object text NOT NULL,
    whole_at timestamptz NOT NULL,
    census_at timestamptz NOT NULL,
    deleted_until timestamptz,
    PRIMARY KEY (job_id, object)
);
