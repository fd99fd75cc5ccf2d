-- name: know_job
INSERT INTO job (job_id, name)
VALUES ($1, $2)
ON CONFLICT (job_id) DO UPDATE
SET name = CASE WHEN excluded.name = '' THEN job.name ELSE excluded.name END;

-- name: request_run
-- The end may have come first, on another partition's consumer.
INSERT INTO run (run_id, job_id, number, state, requested_at)
VALUES ($1, $2, $3, 'requested', $4)
ON CONFLICT (run_id) DO UPDATE
SET requested_at = excluded.requested_at;

-- name: end_run
INSERT INTO run (run_id, job_id, number, state, completed_at, reason, missing, objects)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8)
ON CONFLICT (run_id) DO UPDATE
SET state = excluded.state, completed_at = excluded.completed_at, reason = excluded.reason,
    missing = excluded.missing, objects = excluded.objects;

-- name: add_page
-- A page that comes after the whole adds nothing.
INSERT INTO run_object AS held (run_id, object, captured, created, updated, touched, deleted, undeleted, unseen,
    table_path, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (run_id, object) DO UPDATE
SET captured = held.captured + excluded.captured, created = held.created + excluded.created,
    updated = held.updated + excluded.updated, touched = held.touched + excluded.touched,
    deleted = held.deleted + excluded.deleted, undeleted = held.undeleted + excluded.undeleted,
    unseen = held.unseen + excluded.unseen, table_path = excluded.table_path,
    version = greatest(held.version, excluded.version)
WHERE NOT held.complete;

-- name: complete_object
INSERT INTO run_object AS held (run_id, object, complete, captured, created, updated, touched, deleted, undeleted,
    unseen, table_path, version, rows_read, bytes_written)
VALUES ($1, $2, true, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (run_id, object) DO UPDATE
SET complete = true, captured = excluded.captured, created = excluded.created, updated = excluded.updated,
    touched = excluded.touched, deleted = excluded.deleted, undeleted = excluded.undeleted,
    unseen = excluded.unseen, table_path = excluded.table_path, version = excluded.version,
    rows_read = excluded.rows_read, bytes_written = excluded.bytes_written;

-- name: note_head
-- The newest head by version; an older one never overwrites it.
INSERT INTO table_head AS held (job_id, object, table_path, version, commit_seq, chain_head)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (job_id, object) DO UPDATE
SET table_path = excluded.table_path, version = excluded.version,
    commit_seq = greatest(held.commit_seq, excluded.commit_seq), chain_head = excluded.chain_head
WHERE held.version <= excluded.version;

-- name: find_job
SELECT job_id
FROM job
WHERE job_id::text = $1 OR name = $1
ORDER BY (job_id::text = $1) DESC
LIMIT 1;

-- name: get_run
SELECT run_id, job_id, number, state, objects
FROM run
WHERE run_id = $1;

-- name: run_objects
SELECT object, complete, captured, created, updated, touched, deleted, undeleted, unseen, rows_read, bytes_written,
    table_path, version
FROM run_object
WHERE run_id = $1
ORDER BY object;

-- name: table_heads
SELECT object, table_path, version, commit_seq, chain_head
FROM table_head
WHERE job_id = $1
ORDER BY object;

-- name: insert_verification
INSERT INTO verification (verification_id, job_id, verified_at, files, bytes, damaged)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb);

-- name: keep_proof
-- What was announced first stands: it is never announced otherwise.
INSERT INTO proof (job_id, object, run, proof)
VALUES ($1, $2, $3, $4::text::jsonb)
ON CONFLICT (job_id, object, run) DO NOTHING;

-- name: proofs_of_job
SELECT object, run, proof::text AS proof
FROM proof
WHERE job_id = $1;

-- name: last_proven
SELECT run, proof->>'checked' AS checked, (proof->>'at')::timestamptz AS at
FROM proof
WHERE job_id = $1 AND object = $2 AND proof->>'state' = 'proven'
ORDER BY run DESC
LIMIT 1;
