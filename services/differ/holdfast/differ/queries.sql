-- name: add_page
-- A repeat of the announcement changes nothing.
INSERT INTO page (page_id, run_id, job_id, run, object, mode, seq, path, rows, bytes, sha256, schema_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (page_id) DO NOTHING;

-- name: add_manifest
-- A later pass takes the place of the earlier one, whose announcement is kept beside it.
INSERT INTO manifest (
    run_id, object, job_id, run, mode, pages, rows, sha256, correlation_id, gaps, pass_number, extracted
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (run_id, object) DO UPDATE SET
    pages = excluded.pages, rows = excluded.rows, sha256 = excluded.sha256, gaps = excluded.gaps,
    pass_number = excluded.pass_number, extracted = excluded.extracted,
    earlier = manifest.earlier || jsonb_build_array(manifest.extracted),
    failures = 0, failing_since = NULL
WHERE excluded.pass_number > manifest.pass_number AND NOT manifest.diffed;

-- name: add_table
INSERT INTO vault_table (job_id, object) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: put_job_connection
INSERT INTO job_connection (job_id, connection_id) VALUES ($1, $2)
ON CONFLICT (job_id) DO UPDATE SET connection_id = excluded.connection_id;

-- name: put_connection_organization
INSERT INTO connection_organization (connection_id, organization_id) VALUES ($1, $2)
ON CONFLICT (connection_id) DO UPDATE SET organization_id = excluded.organization_id;

-- name: organization_of_job
SELECT o.organization_id
FROM job_connection j JOIN connection_organization o USING (connection_id)
WHERE j.job_id = $1;

-- name: due_tables
-- Tables with a page to commit, a manifest whose pages are all here and committed, or a feed that lags.
SELECT p.job_id, p.object FROM page p
WHERE NOT p.committed AND p.given_up IS NULL
  AND (p.mode = 'bodies' OR NOT EXISTS (SELECT FROM loss l WHERE l.run_id = p.run_id AND l.object = p.object))
  AND (p.mode <> 'deletions' OR p.own OR EXISTS (
      SELECT FROM manifest m
      WHERE m.run_id = p.run_id AND m.object = p.object AND m.pages = (
          SELECT count(*) FROM page q
          WHERE q.run_id = m.run_id AND q.object = m.object AND NOT q.own AND q.mode <> 'bodies'
            AND (q.committed OR q.mode = 'deletions')
      )
  ))
UNION
SELECT m.job_id, m.object FROM manifest m
WHERE NOT m.diffed AND m.doubted < m.pass_number
  AND NOT EXISTS (SELECT FROM loss l WHERE l.run_id = m.run_id AND l.object = m.object)
  AND m.pages = (
      SELECT count(*) FROM page p
      WHERE p.run_id = m.run_id AND p.object = m.object AND p.committed AND NOT p.own AND p.mode <> 'bodies'
  )
UNION
SELECT job_id, object FROM vault_table t WHERE fed_seq < commit_seq AND pending_page IS NULL
  AND EXISTS (SELECT 1 FROM job_connection JOIN connection_organization USING (connection_id) WHERE job_id = t.job_id)
ORDER BY 1, 2;

-- name: get_table
SELECT commit_seq, pending_page, version, chain_head, records, fed_seq
FROM vault_table WHERE job_id = $1 AND object = $2;

-- name: list_tables
SELECT object, commit_seq, version, chain_head, records
FROM vault_table WHERE job_id = $1 AND commit_seq > 0 ORDER BY object;

-- name: staged_pages
-- Deletions wait until every observation of their run is in the table: they end lives that it has to know.
-- Bodies outlive the loss of their object: a later run brings its records, and never asks for the same bodies again.
SELECT page_id, run_id, run, mode, seq, path, rows, bytes, sha256, schema_id,
       p.mode = 'bodies' AND EXISTS (SELECT FROM page g WHERE g.run_id = p.run_id AND g.object = p.object
           AND g.mode = 'bodies' AND g.given_up IS NOT NULL) AS again
FROM page p WHERE job_id = $1 AND object = $2 AND NOT committed AND given_up IS NULL
  AND (p.mode = 'bodies' OR NOT EXISTS (SELECT FROM loss l WHERE l.run_id = p.run_id AND l.object = p.object))
  AND (p.mode <> 'deletions' OR p.own OR EXISTS (
      SELECT FROM manifest m
      WHERE m.run_id = p.run_id AND m.object = p.object AND m.pages = (
          SELECT count(*) FROM page q
          WHERE q.run_id = m.run_id AND q.object = m.object AND NOT q.own AND q.mode <> 'bodies'
            AND (q.committed OR q.mode = 'deletions')
      )
  ))
ORDER BY run, seq LIMIT $3;

-- name: get_page
SELECT page_id, run_id, run, mode, seq, path, rows, bytes, sha256, schema_id,
       p.mode = 'bodies' AND EXISTS (SELECT FROM page g WHERE g.run_id = p.run_id AND g.object = p.object
           AND g.mode = 'bodies' AND g.given_up IS NOT NULL) AS again
FROM page p WHERE page_id = $1;

-- name: reserve_commit
-- The number is given before the commit and kept until it is recorded: a crash in between is told apart.
UPDATE vault_table SET pending_page = $3
WHERE job_id = $1 AND object = $2 AND commit_seq = $4 - 1 AND (pending_page IS NULL OR pending_page = $3)
RETURNING commit_seq;

-- name: record_commit
UPDATE vault_table SET commit_seq = $3, pending_page = NULL, version = $4, chain_head = $5, records = $6
WHERE job_id = $1 AND object = $2 AND commit_seq = $3 - 1;

-- name: release_commit
-- The reserved page turned out to hold nothing new.
UPDATE vault_table SET pending_page = NULL WHERE job_id = $1 AND object = $2 AND pending_page = $3;

-- name: mark_page
UPDATE page SET committed = true, commit_seq = $2, version = $3, bytes_written = $4, counts = $5
WHERE page_id = $1 AND NOT committed;

-- name: complete_manifests
-- Whole, not yet complete, and not waiting for another pass.
SELECT m.run_id, m.run, m.mode, m.pages, m.rows, m.sha256, m.correlation_id, m.gaps, m.pass_number,
       m.extracted, m.earlier
FROM manifest m
WHERE m.job_id = $1 AND m.object = $2 AND NOT m.diffed AND m.doubted < m.pass_number
  AND NOT EXISTS (SELECT FROM loss l WHERE l.run_id = m.run_id AND l.object = m.object)
  AND m.pages = (
      SELECT count(*) FROM page p
      WHERE p.run_id = m.run_id AND p.object = m.object AND p.committed AND NOT p.own AND p.mode <> 'bodies'
  )
ORDER BY m.run;

-- name: pages_of_object
-- With the pages that the differ staged itself, which no manifest names.
SELECT page_id, mode, path, rows, sha256, counts, bytes_written, own FROM page
WHERE run_id = $1 AND object = $2 AND mode <> 'bodies' ORDER BY own, seq;

-- name: mark_doubted
UPDATE manifest SET doubted = pass_number
WHERE run_id = $1 AND object = $2 AND pass_number = $3 AND doubted < pass_number AND NOT diffed;

-- name: add_own_page
-- Behind every page of the passes so far, and before those of the next one.
INSERT INTO page (page_id, run_id, job_id, run, object, mode, seq, path, rows, bytes, sha256, schema_id, own)
VALUES ($1, $2, $3, $4, $5, 'deletions', $6, $7, $8, $9, $10, $11, true)
ON CONFLICT (page_id) DO NOTHING;

-- name: last_seq
-- Of all pages but $3 itself; pages of bodies have numbers of their own, far behind. The next number is nobody else's:
-- the extractor leaves one out where a pass ends.
SELECT max(seq) FROM page WHERE run_id = $1 AND object = $2 AND mode <> 'bodies' AND page_id <> $3;

-- name: vanished_lately
SELECT coalesce(sum(rows), 0)::bigint FROM page
WHERE job_id = $1 AND object = $2 AND own AND committed AND noted_at > clock_timestamp() - $3::interval;

-- name: mark_diffed
UPDATE manifest SET diffed = true WHERE run_id = $1 AND object = $2 AND NOT diffed;

-- name: advance_feed
UPDATE vault_table SET fed_seq = $3 WHERE job_id = $1 AND object = $2 AND fed_seq < $3;

-- name: page_failed
UPDATE page SET failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp())
WHERE page_id = $1 AND NOT committed
RETURNING failures, clock_timestamp() - failing_since AS failing_for;

-- name: manifest_failed
UPDATE manifest SET failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp())
WHERE run_id = $1 AND object = $2 AND NOT diffed
RETURNING failures, clock_timestamp() - failing_since AS failing_for;

-- name: give_up_page
UPDATE page SET given_up = $2 WHERE page_id = $1 AND NOT committed AND given_up IS NULL RETURNING page_id;

-- name: add_loss
-- Only of an object that is not complete; a repeat changes nothing.
INSERT INTO loss (run_id, object, job_id, run, reason, code)
SELECT $1, $2, $3, $4, $5, $6
WHERE NOT EXISTS (SELECT FROM manifest WHERE run_id = $1 AND object = $2 AND diffed)
ON CONFLICT DO NOTHING
RETURNING run_id;

-- name: open_loss
-- The newest run before this one whose changes are still missing: nothing has been read whole since.
SELECT max(l.run) FROM loss l
WHERE l.job_id = $1 AND l.object = $2 AND l.run < $3 AND NOT EXISTS (
    SELECT FROM manifest m
    WHERE m.job_id = l.job_id AND m.object = l.object AND m.run > l.run AND m.run < $3
      AND m.diffed AND m.mode <> 'incremental'
);

-- name: adopt_head
-- The table is ahead of this row, which is older than the vault: go on from the table.
UPDATE vault_table SET commit_seq = $4, pending_page = NULL, version = $5, chain_head = $6, records = $7
WHERE job_id = $1 AND object = $2 AND commit_seq = $3
RETURNING commit_seq;

-- name: find_page
SELECT page_id, run_id, run, mode, seq, path, rows, bytes, sha256, schema_id
FROM page WHERE page_id = $1 AND NOT committed;

-- name: record_compaction
-- The commit number is that of the last append: a compaction has none of its own.
UPDATE vault_table SET version = $4, chain_head = $5, replaced_since = coalesce(replaced_since, $6)
WHERE job_id = $1 AND object = $2 AND commit_seq = $3 AND version < $4;

-- name: tables_to_keep_up
-- Tables whose replaced files have outlived their grace, or whose index has not been checked for long.
SELECT job_id, object FROM vault_table
WHERE pending_page IS NULL AND commit_seq > 0 AND (replaced_since < $1 OR index_checked_at < $2)
ORDER BY least(replaced_since, index_checked_at), job_id, object LIMIT 1;

-- name: upkeep_of
SELECT replaced_since, index_checked_at FROM vault_table WHERE job_id = $1 AND object = $2;

-- name: mark_cleared
UPDATE vault_table SET replaced_since = $3 WHERE job_id = $1 AND object = $2;

-- name: mark_checked
UPDATE vault_table SET index_checked_at = $3 WHERE job_id = $1 AND object = $2;
