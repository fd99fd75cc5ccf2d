-- All statements of the extractor, by name. Leases and pauses go by the database's clock.

-- name: receive_run
-- A repeated announcement of a run changes nothing.
INSERT INTO extraction (run_id, job_id, run, connection_id, objects, full_scan, correlation_id, causation_id, actor,
                        api_limit_percent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (run_id) DO NOTHING;

-- name: claim_extraction
-- The oldest run that waits for a plan and that nobody holds; none of $3, which the caller has in hand.
UPDATE extraction SET holder = $1, epoch = epoch + 1, lease_until = clock_timestamp() + $2, wait_reason = '',
    wait_until = NULL
WHERE run_id = (
    SELECT run_id FROM extraction
    WHERE state = 'waiting' AND NOT paused AND run_id <> ALL ($3::uuid[])
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
      AND (not_before IS NULL OR not_before <= clock_timestamp())
    ORDER BY received_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING run_id, job_id, run, connection_id, objects, full_scan, correlation_id, causation_id, actor, epoch,
    api_limit_percent;

-- name: claim_task
-- The largest object that waits and that nobody holds, with what its worker must know of the run; none of $3, which
-- the caller has in hand.
WITH claimed AS (
    UPDATE task SET holder = $1, epoch = epoch + 1, lease_until = clock_timestamp() + $2, wait_reason = '',
        wait_until = NULL, began_at = coalesce(began_at, clock_timestamp())
    WHERE task_id = (
        SELECT task_id FROM task
        WHERE state = 'waiting' AND task_id <> ALL ($3::uuid[])
          AND EXISTS (
              SELECT FROM extraction
              WHERE extraction.run_id = task.run_id AND NOT extraction.paused AND extraction.state = 'planned'
          )
          AND (lease_until IS NULL OR lease_until < clock_timestamp())
          AND (not_before IS NULL OR not_before <= clock_timestamp())
        ORDER BY estimated_rows DESC, object
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    )
    RETURNING task_id, run_id, object, mode, strategy, schema, since, bulk_job, bulk_locator, bulk_restarts,
              read_from, drained, next_seq, max_stamp, last_stamp, last_id, epoch,
              pass_number, purpose, part, part_from_seq, census_due, legs
)
SELECT claimed.*, extraction.job_id, extraction.run, extraction.connection_id, extraction.correlation_id,
       extraction.causation_id, extraction.actor, extraction.api_limit_percent
FROM claimed JOIN extraction USING (run_id);

-- name: renew_extractions
-- Those of the named leases that still are the holder's, or whose work it has just closed.
UPDATE extraction SET lease_until = clock_timestamp() + $4
FROM unnest($2::uuid[], $3::bigint[]) AS held (id, held_epoch)
WHERE run_id = held.id AND epoch = held.held_epoch AND (holder = $1 OR state <> 'waiting')
RETURNING run_id;

-- name: renew_tasks
-- Those of the named leases that still are the holder's, or whose work it has just closed.
UPDATE task SET lease_until = clock_timestamp() + $4
FROM unnest($2::uuid[], $3::bigint[]) AS held (id, held_epoch)
WHERE task_id = held.id AND epoch = held.held_epoch AND (holder = $1 OR state <> 'waiting')
RETURNING task_id;

-- name: still_held_extractions
-- Those of the named leases that nobody has taken away; only looks.
SELECT run_id FROM extraction, unnest($1::uuid[], $2::bigint[]) AS held (id, held_epoch)
WHERE run_id = held.id AND epoch = held.held_epoch;

-- name: still_held_tasks
-- Those of the named leases that nobody has taken away; only looks.
SELECT task_id FROM task, unnest($1::uuid[], $2::bigint[]) AS held (id, held_epoch)
WHERE task_id = held.id AND epoch = held.held_epoch;

-- name: release_extraction
UPDATE extraction SET lease_until = NULL, holder = NULL WHERE run_id = $1 AND epoch = $2;

-- name: release_task
UPDATE task SET lease_until = NULL, holder = NULL WHERE task_id = $1 AND epoch = $2;

-- name: release_own_extractions
-- A holder that starts again needs not wait for its own leases to run out.
UPDATE extraction SET lease_until = NULL WHERE holder = $1 AND state = 'waiting';

-- name: release_own_tasks
-- A holder that starts again needs not wait for its own leases to run out.
UPDATE task SET lease_until = NULL WHERE holder = $1 AND state = 'waiting';

-- name: postpone_extraction
-- $5: why, in words. A wait for a limit of the org ($7) is no failure.
UPDATE extraction SET lease_until = NULL, holder = NULL, plan_calls = plan_calls + $4,
    failures = CASE WHEN $7 THEN 0 ELSE failures + 1 END,
    failing_since = CASE WHEN $7 THEN NULL ELSE coalesce(failing_since, clock_timestamp()) END,
    wait_reason = $5, wait_until = $6, not_before = clock_timestamp() + $3
WHERE run_id = $1 AND epoch = $2;

-- name: postpone_task
-- $5: why, in words. A wait for a limit of the org ($7) is no failure.
UPDATE task SET lease_until = NULL, holder = NULL, api_calls = api_calls + $4,
    failures = CASE WHEN $7 THEN 0 ELSE failures + 1 END,
    failing_since = CASE WHEN $7 THEN NULL ELSE coalesce(failing_since, clock_timestamp()) END,
    wait_reason = $5, wait_until = $6, not_before = clock_timestamp() + $3
WHERE task_id = $1 AND epoch = $2;

-- name: extraction_failures
-- How often planning failed in a row, and for how long.
SELECT failures, coalesce(clock_timestamp() - failing_since, interval '0') AS failing_for
FROM extraction WHERE run_id = $1;

-- name: task_failures
-- How often reading failed without a page in between, and for how long.
SELECT failures, coalesce(clock_timestamp() - failing_since, interval '0') AS failing_for
FROM task WHERE task_id = $1;

-- name: lock_extraction
SELECT epoch, state FROM extraction WHERE run_id = $1 FOR UPDATE;

-- name: lock_task
SELECT epoch, state, next_seq FROM task WHERE task_id = $1 FOR UPDATE;

-- name: pause_extraction
-- Whoever plans it is fenced by the epoch; nobody takes it until it is resumed.
UPDATE extraction SET paused = true, epoch = epoch + 1, holder = NULL, lease_until = NULL
WHERE run_id = $1 AND NOT paused AND state IN ('waiting', 'planned')
RETURNING run_id;

-- name: resume_extraction
-- What failed or waited before the pause begins anew.
UPDATE extraction SET paused = false, not_before = NULL, failures = 0, failing_since = NULL
WHERE run_id = $1 AND paused;

-- name: cancel_extraction
UPDATE extraction SET state = 'cancelled', paused = false, epoch = epoch + 1, holder = NULL, lease_until = NULL,
    wait_reason = '', wait_until = NULL
WHERE run_id = $1 AND state IN ('waiting', 'planned')
RETURNING connection_id;

-- name: fence_tasks
-- Whoever reads an object of the run can write nothing more of it.
UPDATE task SET epoch = epoch + 1, holder = NULL, lease_until = NULL WHERE run_id = $1 AND state = 'waiting';

-- name: resume_tasks
UPDATE task SET not_before = NULL, failures = 0, failing_since = NULL, wait_reason = '', wait_until = NULL
WHERE run_id = $1 AND state = 'waiting';

-- name: abandon_jobs
-- Bulk jobs that the org may still be working on for a run.
INSERT INTO abandoned_job (bulk_job, connection_id)
SELECT bulk_job, $2 FROM task WHERE run_id = $1 AND state = 'waiting' AND bulk_job IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: cancel_tasks
-- The marks of these objects stay where they were, so that the next run reads what is left.
UPDATE task SET state = 'cancelled', epoch = epoch + 1, holder = NULL, lease_until = NULL, wait_reason = '',
    wait_until = NULL
WHERE run_id = $1 AND state = 'waiting';

-- name: some_job_is_due
SELECT EXISTS (SELECT FROM abandoned_job WHERE not_before <= clock_timestamp());

-- name: next_abandoned_job
-- Due, and put off at once, so that a crash or a second process only tries it again later.
UPDATE abandoned_job SET tries = tries + 1, not_before = clock_timestamp() + $1
WHERE bulk_job = (
    SELECT bulk_job FROM abandoned_job WHERE not_before <= clock_timestamp()
    ORDER BY not_before LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING bulk_job, connection_id, tries;

-- name: forget_abandoned_job
DELETE FROM abandoned_job WHERE bulk_job = $1;

-- name: end_planning
UPDATE extraction SET state = $2, reason = $3, plan_calls = plan_calls + $4, lease_until = NULL, holder = NULL
WHERE run_id = $1;

-- name: add_task
INSERT INTO task (task_id, run_id, object, mode, strategy, estimated_rows, estimated_calls, schema, since,
                  state, reason, code, census_due)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: note_loss
INSERT INTO loss (job_id, object, run, in_vault) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: job_marks
-- What earlier runs of the job read to the end, and with which fields the last of them did. An object of which a
-- reading was lost, or does not agree with the org, has no mark until a later run has read it whole; it counts as never
-- read if none ever has, unless all of it came into the vault.
WITH lost AS (
    SELECT object, max(run) AS run, bool_and(in_vault) AS in_vault FROM loss WHERE job_id = $1 GROUP BY object
), whole AS (
    SELECT lost.object, max(extraction.run) AS run
    FROM lost
    JOIN task ON task.object = lost.object AND task.state = 'extracted' AND task.mode <> 'incremental'
    JOIN extraction ON extraction.run_id = task.run_id AND extraction.job_id = $1
    WHERE NOT EXISTS (
        SELECT FROM loss WHERE loss.job_id = $1 AND loss.object = task.object AND loss.run = extraction.run
    )
    GROUP BY lost.object
)
SELECT watermark.object, task.schema, rhythm.whole_at, rhythm.census_at,
       CASE WHEN lost.run > coalesce(whole.run, 0) THEN NULL ELSE watermark.mark END AS mark
FROM watermark
LEFT JOIN lost USING (object)
LEFT JOIN whole USING (object)
LEFT JOIN rhythm ON rhythm.job_id = watermark.job_id AND rhythm.object = watermark.object
LEFT JOIN extraction ON extraction.job_id = watermark.job_id AND extraction.run = watermark.run
LEFT JOIN task ON task.run_id = extraction.run_id AND task.object = watermark.object
WHERE watermark.job_id = $1 AND (lost.run IS NULL OR whole.run IS NOT NULL OR lost.in_vault);

-- name: last_schema
-- The fields of the last complete reading of an object before run $3.
SELECT task.schema
FROM watermark
JOIN extraction ON extraction.job_id = watermark.job_id AND extraction.run = watermark.run
JOIN task ON task.run_id = extraction.run_id AND task.object = watermark.object
WHERE watermark.job_id = $1 AND watermark.object = $2 AND watermark.run < $3;

-- name: describes
-- Cached describes of a connection.
SELECT object, etag, body FROM described WHERE connection_id = $1 AND object = ANY ($2::text[]);

-- name: keep_describe
INSERT INTO described (connection_id, object, etag, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (connection_id, object) DO UPDATE SET etag = excluded.etag, body = excluded.body;

-- name: move_reading
-- Reading goes on elsewhere: a Bulk job was created, given up, or REST takes over.
UPDATE task SET strategy = $2, bulk_job = $3, bulk_locator = NULL, bulk_restarts = $4,
    read_from = coalesce(read_from, $5), last_stamp = NULL, last_id = NULL, legs = $6::jsonb
WHERE task_id = $1;

-- name: renew_schema
UPDATE task SET schema = $2 WHERE task_id = $1;

-- name: next_leg
-- The present of $2 ranges of ids has no more pages; nothing happens if its last page said so already.
UPDATE task SET legs = legs - 0, bulk_job = NULL, bulk_locator = NULL, last_stamp = NULL, last_id = NULL
WHERE task_id = $1 AND jsonb_array_length(legs) = $2;

-- name: reading_position
SELECT legs, next_seq FROM task WHERE task_id = $1;

-- name: pages_of_job
-- What is durable of a Bulk job's result.
SELECT coalesce(sum(rows), 0)::bigint AS rows, coalesce(array_agg(body) FILTER (WHERE body <> ''), '{}') AS bodies
FROM page WHERE task_id = $1 AND bulk_job = $2;

-- name: add_page
INSERT INTO page (task_id, seq, page_id, bulk_job, bulk_locator, next_locator, rows, bytes, sha256, path,
                  id_sum, stamp_sum, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: advance_task
-- A page is durable: the next one comes after it, and failures start to count anew. The last page of a range of ids is
-- followed by the first of the next range.
UPDATE task SET next_seq = $2 + 1, rows = rows + $5, bytes = bytes + $6, max_stamp = greatest(max_stamp, $7),
    drained = $4 AND NOT leg_over,
    legs = CASE WHEN $4 THEN legs - 0 ELSE legs END,
    bulk_job = CASE WHEN NOT leg_over THEN bulk_job END,
    bulk_locator = CASE WHEN NOT leg_over THEN $3 END,
    last_stamp = CASE WHEN NOT leg_over THEN $8::timestamptz END,
    last_id = CASE WHEN NOT leg_over THEN $9 END, read_from = coalesce(read_from, $10),
    failures = 0, failing_since = NULL
FROM (SELECT $4 AND jsonb_array_length(legs) > 1 AS leg_over FROM task WHERE task_id = $1) AS present
WHERE task_id = $1;

-- name: siblings
-- Objects of a run that are to be read by REST and of which nothing was read yet; not those that another holder works on.
SELECT task_id, object, schema, since FROM task
WHERE run_id = $1 AND task_id <> ALL ($2::uuid[]) AND state = 'waiting' AND strategy = 'rest' AND jsonb_array_length(legs) = 0
  AND pass_number = 1 AND part = 'records' AND next_seq = 1 AND last_id IS NULL AND NOT drained AND failures = 0 AND (holder IS NULL OR holder = $3)
ORDER BY object LIMIT $4;

-- name: manifest
SELECT page_id, rows, sha256 FROM page WHERE task_id = $1 ORDER BY seq;

-- name: close_task
UPDATE task SET state = $2, api_calls = api_calls + $3, reason = $4, code = $5, lease_until = NULL, holder = NULL,
    ended_at = coalesce(ended_at, clock_timestamp())
WHERE task_id = $1
RETURNING rows, api_calls, max_stamp, read_from, schema;

-- name: org_time_of_run
-- The org's time at which the first Bulk job of the run was made; null without one.
SELECT min(read_from) FROM task WHERE run_id = $1;

-- name: advance_mark
-- A mark never goes back, and an older run never overwrites a newer one's.
INSERT INTO watermark (job_id, object, run, mark) VALUES ($1, $2, $3, $4)
ON CONFLICT (job_id, object) DO UPDATE SET run = excluded.run, mark = greatest(watermark.mark, excluded.mark)
WHERE watermark.run <= excluded.run
RETURNING mark;

-- name: mark_of
SELECT mark FROM watermark WHERE job_id = $1 AND object = $2;

-- name: earlier_evidence
-- Who looked when the job last read the object whole before run $3.
SELECT organization_id, user_id, rights FROM evidence
WHERE job_id = $1 AND object = $2 AND run < $3 ORDER BY run DESC LIMIT 1;

-- name: keep_evidence
-- The org that a job read first stays the one that later looks are held against. Two readings are enough to compare.
WITH known AS (
    SELECT run, organization_id, row_number() OVER (ORDER BY run DESC) AS age
    FROM evidence WHERE job_id = $1 AND object = $2
), dropped AS (
    DELETE FROM evidence
    WHERE job_id = $1 AND object = $2 AND run IN (SELECT run FROM known WHERE age > 1 AND run < $3)
)
INSERT INTO evidence (job_id, object, run, organization_id, user_id, rights)
SELECT $1, $2, $3, $4, $5, $6
WHERE NOT EXISTS (SELECT FROM known WHERE known.organization_id <> $4)
ON CONFLICT (job_id, object, run) DO NOTHING;

-- name: doubted_task
-- Not of a run that was cancelled meanwhile: nobody would read it, and what waits for readings would wait for ever.
SELECT task_id, schema, strategy, greatest(rows, estimated_rows) AS records FROM task JOIN extraction USING (run_id)
WHERE run_id = $1 AND object = $2 AND pass_number = $3 AND task.state = 'extracted' AND extraction.state = 'planned'
FOR UPDATE;

-- name: begin_pass
-- The next pass over an object: nobody who still works on the one before can write any more. A number between the pages
-- of two passes is left to the differ, for the page of those that turned out to be gone after the earlier one.
UPDATE task SET state = 'waiting', pass_number = pass_number + 1, purpose = $2, part = $3, strategy = $4,
    next_seq = next_seq + 1, part_from_seq = next_seq + 1,
    since = CASE WHEN $2 = 'delta' THEN $5 ELSE since END, deleted_until = NULL,
    drained = false, bulk_job = NULL, bulk_locator = NULL, bulk_restarts = 0, last_stamp = NULL, last_id = NULL,
    legs = '[]', epoch = epoch + 1, holder = NULL, lease_until = NULL, not_before = NULL, failures = 0, failing_since = NULL,
    wait_reason = '', wait_until = NULL
WHERE task_id = $1;

-- name: begin_part
UPDATE task SET purpose = $2, part = $3, strategy = $4, part_from_seq = next_seq,
    deleted_until = coalesce($5, deleted_until), notes = notes || $6::text[],
    drained = false, bulk_job = NULL, bulk_locator = NULL, bulk_restarts = 0, last_stamp = NULL, last_id = NULL,
    legs = '[]', failures = 0, failing_since = NULL
WHERE task_id = $1;

-- name: records_of_task
SELECT greatest(rows, estimated_rows) FROM task WHERE task_id = $1;

-- name: census_sums
-- All pages of the present part, those of a job that came to nothing too: the differ sums whatever pages it was given.
SELECT rows, id_sum, stamp_sum FROM page WHERE task_id = $1 AND seq >= $2;

-- name: deleted_until
SELECT deleted_until FROM rhythm WHERE job_id = $1 AND object = $2;

-- name: forget_deleted_until
-- What was listed may not have come into the vault: the next list begins as early as the org allows.
UPDATE rhythm SET deleted_until = NULL WHERE job_id = $1 AND object = $2;

-- name: note_whole
INSERT INTO rhythm (job_id, object, whole_at, census_at) VALUES ($1, $2, $3, $3)
ON CONFLICT (job_id, object) DO UPDATE SET whole_at = excluded.whole_at;

-- name: note_census
INSERT INTO rhythm (job_id, object, whole_at, census_at, deleted_until)
SELECT $1, $2, $3, $3, deleted_until FROM task WHERE task_id = $4
ON CONFLICT (job_id, object) DO UPDATE SET census_at = excluded.census_at,
    deleted_until = coalesce(excluded.deleted_until, rhythm.deleted_until);

-- name: run_progress
SELECT state, plan_calls, paused, wait_reason, wait_until, not_before, connection_id, api_limit_percent, received_at,
       holder
FROM extraction WHERE run_id = $1;

-- name: task_progress
SELECT task.task_id, task.object, task.state, task.strategy, task.estimated_rows, task.rows, task.bytes,
       task.next_seq - task.pass_number AS pages, task.api_calls, task.holder, task.wait_reason, task.wait_until,
       task.not_before, task.estimated_calls
FROM task WHERE task.run_id = $1 ORDER BY task.object;

-- name: last_shapes
-- What the fields of each object of a job were when it was last read to its end.
SELECT watermark.object, task.shape
FROM watermark
JOIN extraction ON extraction.job_id = watermark.job_id AND extraction.run = watermark.run
JOIN task ON task.run_id = extraction.run_id AND task.object = watermark.object
WHERE watermark.job_id = $1 AND task.shape <> '';

-- name: say_of_task
UPDATE task SET shape = $3, notes = $4, gone = $5 WHERE run_id = $1 AND object = $2;

-- name: said_of_task
SELECT notes, gone FROM task WHERE task_id = $1;

-- name: kept_field_ids
SELECT object, ids FROM field_definition WHERE connection_id = $1 AND object = ANY ($2::text[]);

-- name: keep_field_ids
INSERT INTO field_definition (connection_id, object, ids) VALUES ($1, $2, $3)
ON CONFLICT (connection_id, object) DO UPDATE SET ids = excluded.ids;

-- name: vanished_objects
SELECT object FROM vanished WHERE job_id = $1;

-- name: note_vanished
INSERT INTO vanished (job_id, object, run) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: forget_vanished
-- Objects that are there again.
DELETE FROM vanished WHERE job_id = $1 AND object = ANY ($2::text[]);

-- name: last_paces
-- How long the job's last reading of each object took, whole ones and incremental ones.
SELECT DISTINCT ON (object, incremental) object, mode = 'incremental' AS incremental, rows,
    extract(epoch FROM ended_at - began_at)::float8 AS seconds
FROM task JOIN extraction USING (run_id)
WHERE job_id = $1 AND task.state = 'extracted' AND ended_at IS NOT NULL AND began_at IS NOT NULL
ORDER BY object, incremental, run DESC;

-- name: looks_at_jobs
-- Calls of a Bulk reading less those for the making of the job, its pages and a count; the middle of the last hundred.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY looks) FROM (
    SELECT task.api_calls - (next_seq - 1) - 2 AS looks
    FROM task JOIN extraction USING (run_id)
    WHERE connection_id = $1 AND task.state = 'extracted' AND strategy = 'bulk2' AND bulk_restarts = 0
      AND purpose = 'reading' AND pass_number = 1 AND next_seq <= 4 AND ended_at IS NOT NULL
    ORDER BY ended_at DESC LIMIT 100
) AS lately;
