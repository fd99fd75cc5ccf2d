-- Since when, and how often, a page or the completing of an object has failed in a way that time does not cure.
ALTER TABLE page ADD COLUMN failures integer NOT NULL DEFAULT 0, ADD COLUMN failing_since timestamptz;
ALTER TABLE manifest ADD COLUMN failures integer NOT NULL DEFAULT 0, ADD COLUMN failing_since timestamptz;

-- An object that was given up for a run: its pages that are not committed never will be, and it never completes.
CREATE TABLE loss (
    run_id uuid NOT NULL,
    object text NOT NULL,
    job_id uuid NOT NULL,
    run    bigint NOT NULL,
    reason text NOT NULL,
    code   text NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, object)
);
CREATE INDEX loss_of_object ON loss (job_id, object, run);
