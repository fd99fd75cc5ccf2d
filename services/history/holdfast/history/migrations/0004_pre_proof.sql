-- What was announced as proven of each object in each run: the second witness of the files beside the tables.
CREATE TABLE proof (
    job_id   uuid NOT NULL,
    object   text NOT NULL,
    run      bigint NOT NULL,
    proof    jsonb NOT NULL,
    PRIMARY KEY (job_id, object, run)
);
CREATE INDEX proof_proven ON proof (job_id, object, run DESC) WHERE proof->>'state' = 'proven';
