-- name: insert_job
-- Takes the name; returns nothing when another job has it.
INSERT INTO job (job_id, name, connection_id, objects, cron, time_zone, created_at, next_run_at, api_limit_percent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (name) DO NOTHING
RETURNING job_id;

-- name: lock_job
-- Orders everything that changes one job: numbering of runs, slots, releases.
SELECT job_id, name, connection_id, objects, cron, time_zone, next_run_at, api_limit_percent
FROM job
WHERE job_id = $1
FOR UPDATE;

-- name: find_job
-- The id of a job by its id or, failing that, its name.
SELECT job_id
FROM job
WHERE job_id::text = $1 OR name = $1
ORDER BY (job_id::text = $1) DESC
LIMIT 1;

-- name: occupy_job
UPDATE job
SET active_run_id = $2, last_run_id = $2
WHERE job_id = $1;

-- name: release_job
UPDATE job
SET active_run_id = NULL
WHERE job_id = $1 AND active_run_id = $2;

-- name: plan_next_slot
UPDATE job
SET next_run_at = $2
WHERE job_id = $1;

-- name: next_due_job
-- The job that is overdue longest. A job with an active run waits for its end.
SELECT job_id, next_run_at
FROM job
WHERE next_run_at <= $1 AND active_run_id IS NULL
ORDER BY next_run_at
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: insert_run
INSERT INTO run (run_id, job_id, number, state, trigger, label, slot, requested_at, api_limit_percent)
VALUES ($1, $2, $3, 'requested', $4, $5, $6, $7, $8);

-- name: lock_run
-- Orders the reports on one run, whichever topic brings them.
UPDATE run
SET heard_at = clock_timestamp()
WHERE run_id = $1
RETURNING run_id, job_id, number;

-- name: silent_runs
SELECT run_id
FROM run
WHERE state IN ('requested', 'running') AND NOT paused AND heard_at < clock_timestamp() - $1::interval
ORDER BY heard_at
LIMIT 100;

-- name: start_run
UPDATE run
SET state = 'running'
WHERE run_id = $1 AND state = 'requested';

-- name: pause_run
UPDATE run
SET paused = true
WHERE run_id = $1;

-- name: resume_run
UPDATE run
SET paused = false
WHERE run_id = $1;

-- name: change_api_limit
UPDATE job
SET api_limit_percent = $2
WHERE job_id = $1;

-- name: end_run
UPDATE run
SET state = $2, paused = false, completed_at = $3, captured = $4, created = $5, updated = $6, touched = $7, deleted = $8,
    undeleted = $9, reason = $10, missing = $11::text::jsonb,
    (proven, not_proven, mismatched) = (
        SELECT count(*) FILTER (WHERE proof ->> 'state' = 'proven'),
            count(*) FILTER (WHERE proof ->> 'state' = 'not proven'),
            count(*) FILTER (WHERE proof ->> 'state' = 'mismatch')
        FROM run_object o WHERE o.run_id = $1
    )
WHERE run_id = $1;

-- name: plan_object
-- An outcome that came before the plan keeps its state.
INSERT INTO run_object (run_id, object, state, mode, strategy, estimated_rows)
VALUES ($1, $2, 'planned', $3, $4, $5)
ON CONFLICT (run_id, object) DO UPDATE
SET mode = excluded.mode, strategy = excluded.strategy, estimated_rows = excluded.estimated_rows;

-- name: read_object
-- Read whole; does not take back that it was diffed or failed.
INSERT INTO run_object (run_id, object, state, mode, rows, api_calls)
VALUES ($1, $2, 'extracted', $3, $4, $5)
ON CONFLICT (run_id, object) DO UPDATE
SET rows = excluded.rows, api_calls = excluded.api_calls,
    state = CASE WHEN run_object.state = 'planned' THEN 'extracted' ELSE run_object.state END;

-- name: hold_object
INSERT INTO run_object (
    run_id, object, state, rows, captured, created, updated, touched, deleted, undeleted, reason, proof
)
VALUES ($1, $2, 'diffed', $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb)
ON CONFLICT (run_id, object) DO UPDATE
SET proof = excluded.proof, rows = excluded.rows, captured = excluded.captured, created = excluded.created, updated = excluded.updated,
    touched = excluded.touched, deleted = excluded.deleted, undeleted = excluded.undeleted,
    reason = CASE WHEN run_object.state = 'failed' THEN run_object.reason ELSE excluded.reason END,
    state = CASE WHEN run_object.state = 'failed' THEN 'failed' ELSE 'diffed' END;

-- name: lose_object
INSERT INTO run_object (run_id, object, state, reason)
VALUES ($1, $2, 'failed', $3)
ON CONFLICT (run_id, object) DO UPDATE
SET state = 'failed', reason = excluded.reason;

-- name: get_job
SELECT job_id, name, connection_id, objects, cron, time_zone, created_at, next_run_at, last_run_id,
    api_limit_percent, warnings
FROM job
WHERE job_id = $1;

-- name: list_jobs
-- In order of name, after the name $1.
SELECT job_id, name, connection_id, objects, cron, time_zone, created_at, next_run_at, last_run_id,
    api_limit_percent, warnings
FROM job
WHERE name > $1
ORDER BY name
LIMIT $2;

-- name: queue_files
UPDATE run SET files_queued = greatest(files_queued, $2) WHERE run_id = $1;

-- name: settle_files
UPDATE run SET files_queued = $2, files_stored = $3, files_failed = $4, files_bytes = $5, files_missing = $6,
    files_doubted = $7
WHERE run_id = $1;

-- name: get_runs
SELECT run_id, job_id, number, state, trigger, label, requested_at, completed_at, captured, created, updated,
    touched, deleted, undeleted, reason, missing::text AS missing, api_limit_percent, paused,
    proven, not_proven, mismatched, notes,
    files_queued, files_stored, files_failed, files_bytes, files_missing, files_doubted
FROM run
WHERE run_id = ANY ($1::uuid[]);

-- name: list_runs
-- Newest first, older than the position ($2, $3); of all jobs when $1 is null.
SELECT run_id, job_id, number, state, trigger, label, requested_at, completed_at, captured, created, updated,
    touched, deleted, undeleted, reason, missing::text AS missing, api_limit_percent, paused,
    proven, not_proven, mismatched, notes,
    files_queued, files_stored, files_failed, files_bytes, files_missing, files_doubted
FROM run
WHERE ($1::uuid IS NULL OR job_id = $1)
    AND ($2::timestamptz IS NULL OR (requested_at, run_id) < ($2, $3::uuid))
ORDER BY requested_at DESC, run_id DESC
LIMIT $4;

-- name: run_objects
SELECT object, state, mode, strategy, estimated_rows, rows, api_calls, captured, created, updated, touched, deleted,
    undeleted, reason, notes, proof::text AS proof
FROM run_object
WHERE run_id = $1
ORDER BY object;

-- name: note_object
-- Sentences about an object; those of a later pass and of the differ are added to what was said before.
UPDATE run_object SET notes = notes || ARRAY(SELECT one FROM unnest($3::text[]) AS one WHERE one <> ALL (notes))
WHERE run_id = $1 AND object = $2;

-- name: note_run
-- A page of notes behind those of the pages before it; a repeat adds nothing.
UPDATE run SET notes = notes || ARRAY(
    SELECT note FROM unnest($2::text[]) WITH ORDINALITY AS added (note, place) WHERE note <> ALL (notes) ORDER BY place
) WHERE run_id = $1;

-- name: warn_of_job
UPDATE job SET warnings = $2 WHERE job_id = $1;
