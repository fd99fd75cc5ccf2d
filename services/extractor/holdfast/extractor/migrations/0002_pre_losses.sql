-- Readings that never came into the vault: the differ gave the object up for the run. The watermark says how far
-- was read, so that it cannot be relied on until a later run has read the object whole.
CREATE TABLE loss (
    job_id uuid NOT NULL,
    object text NOT NULL,
    run    bigint NOT NULL,
    PRIMARY KEY (job_id, object, run)
);
