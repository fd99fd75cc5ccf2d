-- What a run has to say of an object beside its records. `shape` is what its fields were when it was planned, to be
-- compared with by the next run; `notes` are sentences for people; `gone` are fields that the org itself lost, in
-- lower case, which leave no gap.
ALTER TABLE task ADD COLUMN shape text NOT NULL DEFAULT '',
    ADD COLUMN notes text[] NOT NULL DEFAULT '{}',
    ADD COLUMN gone text[] NOT NULL DEFAULT '{}';

-- Ids of fields as the org last told them: they outlive names. Hidden fields are among them.
CREATE TABLE field_definition (
    connection_id uuid NOT NULL,
    object text NOT NULL,
    ids text NOT NULL,
    PRIMARY KEY (connection_id, object)
);

-- Objects that a job read and that the org no longer has: said once, and not looked for again.
CREATE TABLE vanished (
    job_id uuid NOT NULL,
    object text NOT NULL,
    run bigint NOT NULL,
    PRIMARY KEY (job_id, object)
);
