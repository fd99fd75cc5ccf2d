-- All statements of the file queue, by name.

-- name: note_fields
INSERT INTO file_field (run_id, object, fields) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: fields_of_object
SELECT fields::text FROM file_field WHERE run_id = $1 AND object = $2;

-- name: files_of_deleted
-- What still waits of records that are deleted can no longer be read.
WITH gone AS (
    UPDATE file SET state = 'failed', code = 'record-deleted', settled_at = clock_timestamp(),
        reason = 'The record was deleted before its file could be read.'
    WHERE job_id = $1 AND object = $2 AND record_id = ANY ($3::text[]) AND state = 'waiting'
    RETURNING run_id
)
UPDATE file_run SET failed = failed + lost.files, said = false
FROM (SELECT run_id, count(*) AS files FROM gone GROUP BY run_id) AS lost
WHERE file_run.run_id = lost.run_id;

-- name: queue_files
-- Bodies of one field of a page. A version that is known is not asked for again. A new version whose checksum is that
-- of an earlier one of the same record, or an image that is stored already, needs no download. An earlier version that
-- still waits, and that no checksum says to be the same, can no longer be read: the org holds the new one.
WITH given AS (
    SELECT DISTINCT ON (record_id, part, stamp) *
    FROM unnest($6::text[], $7::text[], $8::timestamptz[], $9::bigint[], $10::text[], $11::text[])
         AS g (record_id, part, stamp, stated_bytes, stated_md5, kept_with)
), same AS (
    SELECT DISTINCT ON (given.record_id, given.part, given.stamp)
           given.record_id, given.part, given.stamp, file.sha256, file.bytes
    FROM given JOIN file ON file.job_id = $1 AND file.object = $4 AND file.field = $5
        AND file.record_id = given.record_id AND file.part = given.part
    WHERE file.state IN ('stored', 'attached') AND file.code = ''
      AND (file.part <> '' OR (file.stated_md5 = given.stated_md5 AND file.bytes = given.stated_bytes))
), added AS (
    INSERT INTO file (file_id, job_id, connection_id, run_id, object, field, record_id, part, stamp, stated_bytes,
                      stated_md5, kept_with, state, sha256, bytes, settled_at)
    SELECT gen_random_uuid(), $1, $2, $3, $4, $5, given.record_id, given.part, given.stamp, given.stated_bytes,
           given.stated_md5, given.kept_with, CASE WHEN same.sha256 IS NULL THEN 'waiting' ELSE 'stored' END, same.sha256, same.bytes,
           CASE WHEN same.sha256 IS NULL THEN NULL ELSE clock_timestamp() END
    FROM given LEFT JOIN same ON same.record_id = given.record_id AND same.part = given.part
        AND same.stamp IS NOT DISTINCT FROM given.stamp
    ON CONFLICT DO NOTHING
    RETURNING file_id, record_id, part, stamp, stated_md5
), replaced AS (
    UPDATE file SET state = 'failed', code = 'replaced', settled_at = clock_timestamp(),
        reason = 'The file was replaced by a newer version before it could be read.'
    FROM added
    WHERE file.job_id = $1 AND file.object = $4 AND file.field = $5 AND file.record_id = added.record_id
      AND file.part = '' AND added.part = '' AND file.state = 'waiting' AND file.file_id <> added.file_id
      AND file.stamp < added.stamp AND (file.stated_md5 IS NULL OR file.stated_md5 <> added.stated_md5)
    RETURNING file.run_id
), noted AS (
    UPDATE file_run SET failed = failed + lost.files, said = false
    FROM (SELECT run_id, count(*) AS files FROM replaced GROUP BY run_id) AS lost
    WHERE file_run.run_id = lost.run_id
)
SELECT count(*) FROM added;

-- name: fetch_changed
-- Bodies of one field of a page that were replaced within the second that their stamp counts: the version is known, and
-- what is said of it is not. They are fetched again.
WITH given AS (
    SELECT DISTINCT ON (record_id, stamp) *
    FROM unnest($4::text[], $5::timestamptz[], $6::bigint[], $7::text[]) AS g (record_id, stamp, stated_bytes, stated_md5)
), was AS (
    SELECT file.file_id, file.run_id, file.state, file.bytes, given.stated_bytes, given.stated_md5
    FROM given JOIN file ON file.job_id = $1 AND file.object = $2 AND file.record_id = given.record_id
        AND file.field = $3 AND file.part = '' AND file.stamp IS NOT DISTINCT FROM given.stamp
    WHERE file.stated_bytes <> given.stated_bytes OR file.stated_md5 <> given.stated_md5
    FOR UPDATE OF file
), again AS (
    UPDATE file SET state = 'waiting', stated_bytes = was.stated_bytes, stated_md5 = was.stated_md5,
        sha256 = NULL, bytes = NULL, page_id = NULL, reason = '', code = '', odd_sha256 = NULL, rounds = 0, failures = 0,
        failing_since = NULL, not_before = NULL, settled_at = NULL, lease_until = NULL, holder = NULL, epoch = epoch + 1
    FROM was WHERE file.file_id = was.file_id
), total AS (
    SELECT run_id, count(*) FILTER (WHERE state = 'attached') AS stored, count(*) FILTER (WHERE state = 'failed') AS failed,
           coalesce(sum(bytes) FILTER (WHERE state = 'attached'), 0)::bigint AS bytes
    FROM was GROUP BY run_id
)
UPDATE file_run SET said = false, stored = file_run.stored - total.stored, failed = file_run.failed - total.failed,
    bytes = file_run.bytes - total.bytes
FROM total WHERE file_run.run_id = total.run_id;

-- name: count_queued
WITH source AS (
    INSERT INTO file_source (connection_id) VALUES ($2) ON CONFLICT DO NOTHING
)
INSERT INTO file_run (run_id, queued) VALUES ($1, $3)
ON CONFLICT (run_id) DO UPDATE SET queued = file_run.queued + excluded.queued, said = false
RETURNING queued;

-- name: retry_failed
-- A new run gives what failed another chance, three times at most; what is gone for good is left.
WITH rescued AS (
    -- Files of lost pages are tried again by `lost_pages`, and from what is stored.
    UPDATE file SET rounds = 0 WHERE job_id = $1 AND state = 'failed' AND code = 'page-lost'
), again AS (
    UPDATE file SET state = 'waiting', rounds = rounds + 1, failures = 0, failing_since = NULL, not_before = NULL,
        reason = '', code = '', odd_sha256 = NULL, settled_at = NULL
    WHERE job_id = $1 AND state = 'failed' AND rounds < 3 AND code NOT IN ('record-deleted', 'replaced', 'page-lost')
    RETURNING run_id
)
UPDATE file_run SET failed = failed - back.files, said = false
FROM (SELECT run_id, count(*) AS files FROM again GROUP BY run_id) AS back
WHERE file_run.run_id = back.run_id;

-- name: claim_file
-- The oldest file that waits, of an org that no run is reading, that may be asked and has quota left; none of $5,
-- which the caller has in hand.
WITH source AS (
    SELECT connection_id FROM file_source s
    WHERE (not_before IS NULL OR not_before <= clock_timestamp())
      AND (day <> current_date OR (calls < $3 AND bytes < $4))
      AND NOT EXISTS (SELECT FROM extraction e WHERE e.connection_id = s.connection_id AND e.state = 'waiting')
      AND NOT EXISTS (
          SELECT FROM task JOIN extraction e USING (run_id)
          WHERE task.state = 'waiting' AND e.connection_id = s.connection_id
      )
), claimed AS (
    UPDATE file SET holder = $1, epoch = epoch + 1, lease_until = clock_timestamp() + $2
    WHERE file_id = (
        SELECT next.file_id FROM source CROSS JOIN LATERAL (
            SELECT file_id FROM file
            WHERE file.connection_id = source.connection_id AND state = 'waiting' AND file_id <> ALL ($5::uuid[])
              AND (lease_until IS NULL OR lease_until < clock_timestamp())
              AND (not_before IS NULL OR not_before <= clock_timestamp())
            ORDER BY file_id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        ) AS next
        LIMIT 1
    )
    RETURNING file_id, run_id, connection_id, object, record_id, field, part, kept_with, stamp, stated_bytes,
              stated_md5, odd_sha256, epoch
)
SELECT claimed.*, extraction.job_id, extraction.run, extraction.correlation_id, extraction.causation_id,
       extraction.actor, extraction.api_limit_percent
FROM claimed JOIN extraction USING (run_id);

-- name: busy_connections
-- Orgs whose records are being read: their files wait.
SELECT DISTINCT e.connection_id FROM extraction e
WHERE e.state = 'waiting' OR EXISTS (SELECT FROM task WHERE task.run_id = e.run_id AND task.state = 'waiting');

-- name: renew_files
UPDATE file SET lease_until = clock_timestamp() + $4
FROM unnest($2::uuid[], $3::bigint[]) AS held (id, held_epoch)
WHERE file_id = held.id AND epoch = held.held_epoch AND (holder = $1 OR state <> 'waiting')
RETURNING file_id;

-- name: still_held_files
SELECT file_id FROM file, unnest($1::uuid[], $2::bigint[]) AS held (id, held_epoch)
WHERE file_id = held.id AND epoch = held.held_epoch;

-- name: release_file
UPDATE file SET lease_until = NULL, holder = NULL WHERE file_id = $1 AND epoch = $2;

-- name: release_own_files
UPDATE file SET lease_until = NULL WHERE holder = $1 AND state = 'waiting';

-- name: file_failures
SELECT failures, coalesce(clock_timestamp() - failing_since, interval '0') AS failing_for
FROM file WHERE file_id = $1;

-- name: postpone_file
UPDATE file SET lease_until = NULL, holder = NULL, failures = failures + 1, odd_sha256 = $4,
    failing_since = coalesce(failing_since, clock_timestamp()), not_before = clock_timestamp() + $3
WHERE file_id = $1 AND epoch = $2;

-- name: pause_source
-- The org is to be left alone; the file itself did not fail.
UPDATE file_source SET not_before = clock_timestamp() + $2 WHERE connection_id = $1;

-- name: count_use
UPDATE file_source SET day = current_date, calls = CASE WHEN day = current_date THEN calls ELSE 0 END + $2,
    bytes = CASE WHEN day = current_date THEN bytes ELSE 0 END + $3
WHERE connection_id = $1;

-- name: lock_file
SELECT epoch, state FROM file WHERE file_id = $1 FOR UPDATE;

-- name: file_stored
UPDATE file SET state = 'stored', sha256 = $2, bytes = $3, reason = $4, code = $5, settled_at = clock_timestamp(),
    lease_until = NULL, holder = NULL
WHERE file_id = $1;

-- name: file_failed
WITH failed AS (
    UPDATE file SET state = 'failed', reason = $2, code = $3, settled_at = clock_timestamp(), lease_until = NULL,
        holder = NULL
    WHERE file_id = $1
    RETURNING run_id
)
UPDATE file_run SET failed = file_run.failed + 1, said = false FROM failed WHERE file_run.run_id = failed.run_id;

-- name: ready_groups
-- Fields of a run with stored bodies that no page holds yet: enough of them, or waiting for long, or the last ones.
SELECT f.run_id, f.object, f.field, bool_or(f.part <> '') AS images
FROM file f
WHERE f.state = 'stored' AND f.page_id IS NULL
GROUP BY f.run_id, f.object, f.field
HAVING count(*) >= $1 OR min(f.settled_at) < clock_timestamp() - $2::interval
    OR NOT EXISTS (
        SELECT FROM file w
        WHERE w.run_id = f.run_id AND w.object = f.object AND w.field = f.field AND w.state = 'waiting'
    )
LIMIT 16;

-- name: gather_page
-- Give a page to stored bodies of a field. The images of a rich text go together, once none of them waits.
WITH chosen AS (
    SELECT file_id FROM file f
    WHERE run_id = $2 AND object = $3 AND field = $4 AND state = 'stored' AND page_id IS NULL
      AND (part = '' OR NOT EXISTS (
          SELECT FROM file w
          WHERE w.run_id = f.run_id AND w.object = f.object AND w.field = f.field AND w.record_id = f.record_id
            AND w.stamp IS NOT DISTINCT FROM f.stamp AND w.state = 'waiting'
      ))
    ORDER BY record_id, stamp, part
    LIMIT $5
    FOR UPDATE SKIP LOCKED
), given AS (
    UPDATE file SET page_id = $1 FROM chosen WHERE file.file_id = chosen.file_id
    RETURNING file.file_id
)
INSERT INTO bodies_page (page_id, run_id, object, field, images, seq)
SELECT $1, $2, $3, $4, $6, coalesce((SELECT max(seq) FROM bodies_page WHERE run_id = $2 AND object = $3), $7) + 1
WHERE EXISTS (SELECT FROM given)
RETURNING page_id;

-- name: open_pages
SELECT p.page_id, p.run_id, p.object, p.field, p.images, p.seq, p.made_at, e.job_id, e.run, e.connection_id,
       e.correlation_id, e.causation_id, e.actor, e.api_limit_percent
FROM bodies_page p JOIN extraction e USING (run_id)
WHERE NOT p.staged ORDER BY p.made_at LIMIT 16;

-- name: bodies_of_page
-- With an image that comes late, all others of its text are said again: a cell holds them all.
WITH held AS (SELECT * FROM file WHERE page_id = $1 AND state = 'stored')
SELECT record_id, part, stamp, sha256, bytes FROM held WHERE part = ''
UNION
SELECT f.record_id, f.part, f.stamp, f.sha256, f.bytes
FROM held JOIN file f USING (job_id, object, record_id, field)
WHERE held.part <> '' AND f.stamp IS NOT DISTINCT FROM held.stamp AND f.state IN ('stored', 'attached')
ORDER BY record_id, stamp, part;

-- name: page_staged
UPDATE bodies_page SET staged = true WHERE page_id = $1 AND NOT staged RETURNING page_id;

-- name: attach_files
WITH attached AS (
    UPDATE file SET state = 'attached' WHERE page_id = $1 AND state = 'stored' RETURNING run_id, bytes
), total AS (
    SELECT run_id, count(*) AS files, coalesce(sum(bytes), 0)::bigint AS bytes FROM attached GROUP BY run_id
)
UPDATE file_run SET said = false, stored = stored + total.files, bytes = file_run.bytes + total.bytes
FROM total WHERE file_run.run_id = total.run_id;

-- name: settled_runs
-- Runs whose files are all stored or failed, which is not said yet.
SELECT e.run_id, e.job_id, e.run, e.connection_id, e.correlation_id, e.causation_id, e.actor, e.api_limit_percent
FROM file_run f JOIN extraction e USING (run_id)
WHERE NOT f.said AND f.stored + f.failed >= f.queued LIMIT 100;

-- name: say_settled
UPDATE file_run SET said = true WHERE run_id = $1 AND NOT said AND stored + failed >= queued
RETURNING queued, stored, failed, bytes;

-- name: run_files
SELECT queued, stored, failed, bytes FROM file_run WHERE run_id = $1;

-- name: reasons_of_run
-- Why files of a run are missing, or doubtful, with how many share the reason.
SELECT object, field, state = 'failed' AS missing, reason, code, count(*) AS files, min(record_id) AS record_id
FROM file WHERE run_id = $1 AND reason <> '' AND state IN ('failed', 'attached')
GROUP BY 1, 2, 3, 4, 5 ORDER BY missing DESC, files DESC, object, field LIMIT 20;

-- name: lose_page
-- What a page said never came into the vault. A body that was kept in spite of a doubt is fetched again, so that the
-- doubt is not forgotten.
WITH lost AS (
    UPDATE file SET state = 'failed', code = 'page-lost', reason = $2, settled_at = clock_timestamp(),
        sha256 = CASE WHEN code = '' THEN sha256 END
    WHERE page_id = $1 AND state = 'attached'
    RETURNING run_id, bytes
), total AS (
    SELECT run_id, count(*) AS files, coalesce(sum(bytes), 0)::bigint AS bytes FROM lost GROUP BY run_id
)
UPDATE file_run SET said = false, stored = stored - total.files, failed = failed + total.files,
    bytes = file_run.bytes - total.bytes
FROM total WHERE file_run.run_id = total.run_id;

-- name: lost_pages
-- Pages whose files are to be tried again, once it is said that they are missing.
SELECT DISTINCT f.page_id, f.job_id FROM file f JOIN file_run r USING (run_id)
WHERE f.state = 'failed' AND f.code = 'page-lost' AND f.rounds < 3 AND (r.said OR r.stored + r.failed < r.queued)
LIMIT 16;

-- name: files_of_lost_page
SELECT file_id, sha256, bytes FROM file WHERE page_id = $1 AND state = 'failed' AND code = 'page-lost';

-- name: set_back
-- Bodies that are stored go into the next page; all others are fetched again.
WITH back AS (
    UPDATE file SET state = CASE WHEN given.there THEN 'stored' ELSE 'waiting' END, page_id = NULL, reason = '', code = '',
        rounds = rounds + 1, failures = 0, failing_since = NULL, not_before = NULL, odd_sha256 = NULL,
        sha256 = CASE WHEN given.there THEN sha256 END, bytes = CASE WHEN given.there THEN bytes END,
        settled_at = CASE WHEN given.there THEN clock_timestamp() END
    FROM unnest($2::uuid[], $3::bool[]) AS given (id, there)
    WHERE file_id = given.id AND page_id = $1 AND state = 'failed' AND code = 'page-lost'
    RETURNING run_id
)
UPDATE file_run SET failed = failed - set_back.files, said = false
FROM (SELECT run_id, count(*) AS files FROM back GROUP BY run_id) AS set_back
WHERE file_run.run_id = set_back.run_id;
