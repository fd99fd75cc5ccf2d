-- Runs rest and end by order, and wait for the org's API budget.
ALTER TABLE extraction ADD COLUMN paused boolean NOT NULL DEFAULT false;
ALTER TABLE extraction ADD COLUMN api_limit_percent integer NOT NULL DEFAULT 80;
-- Which states there are is said where they are written: queries.sql. `cancelled` ends a run and what it left open.
ALTER TABLE extraction DROP CONSTRAINT extraction_state_check;
ALTER TABLE task DROP CONSTRAINT task_state_check;

-- Why a row waits although nobody holds it, and until when as far as is known; shown to people. When it is looked
-- at again is `not_before`.
ALTER TABLE extraction ADD COLUMN wait_reason text NOT NULL DEFAULT '', ADD COLUMN wait_until timestamptz;
ALTER TABLE task ADD COLUMN wait_reason text NOT NULL DEFAULT '', ADD COLUMN wait_until timestamptz;

-- Bulk jobs of cancelled runs that the org is still working on, until it was told to stop.
CREATE TABLE abandoned_job (
    bulk_job      text PRIMARY KEY,
    connection_id uuid NOT NULL,
    tries         integer NOT NULL DEFAULT 0,
    not_before    timestamptz NOT NULL DEFAULT clock_timestamp()
);
