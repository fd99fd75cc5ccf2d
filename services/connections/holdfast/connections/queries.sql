-- name: insert_connection
-- No row comes back when the name is taken.
INSERT INTO connection (connection_id, name, login_url, instance_url, flow, client_id, organization_id,
    organization_name, username, api_version, warnings, added_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT ((lower(name))) DO NOTHING
RETURNING connection_id;

-- name: insert_credential
INSERT INTO credential (connection_id, key_id, wrapped_key, secret) VALUES ($1, $2, $3, $4);

-- name: get_credential
SELECT key_id, wrapped_key, secret FROM credential WHERE connection_id = $1;

-- name: get_connection
SELECT c.connection_id, c.name, c.login_url, c.instance_url, c.flow, c.client_id, c.organization_id,
    c.organization_name, c.username, c.api_version, c.warnings, c.broken_reason, c.refused_at, c.added_at,
    coalesce(b.used_calls, 0) AS used_calls, coalesce(b.limit_calls, 0) AS limit_calls
FROM connection c LEFT JOIN org_budget b USING (organization_id)
WHERE c.connection_id = $1;

-- name: find_connection
-- An id is asked for first, so that nobody hides a connection by naming another after its id.
SELECT connection_id FROM connection
WHERE connection_id = $1 OR lower(name) = lower($2)
ORDER BY (connection_id = $1) IS TRUE DESC LIMIT 1;

-- name: list_connections
SELECT c.connection_id, c.name, c.login_url, c.instance_url, c.flow, c.client_id, c.organization_id,
    c.organization_name, c.username, c.api_version, c.warnings, c.broken_reason, c.refused_at, c.added_at,
    coalesce(b.used_calls, 0) AS used_calls, coalesce(b.limit_calls, 0) AS limit_calls
FROM connection c LEFT JOIN org_budget b USING (organization_id)
WHERE lower(c.name) > lower($1) ORDER BY lower(c.name) LIMIT $2;

-- name: mark_broken
UPDATE connection SET broken_reason = $2 WHERE connection_id = $1;

-- name: note_refusal
-- When the credentials were last refused: no replica tries again before its time. NULL: they were accepted, elsewhere.
UPDATE connection SET refused_at = $2 WHERE connection_id = $1;

-- name: mark_recovered
UPDATE connection SET broken_reason = NULL, refused_at = NULL WHERE connection_id = $1;

-- name: move_connection
UPDATE connection SET instance_url = $2 WHERE connection_id = $1;

-- name: survey_connection
UPDATE connection SET organization_name = $2, username = $3, api_version = $4, warnings = $5
WHERE connection_id = $1;

-- name: add_calls
INSERT INTO usage_ledger AS l (organization_id, hour, calls) VALUES ($1, date_trunc('hour', $2::timestamptz), $3)
ON CONFLICT (organization_id, hour) DO UPDATE SET calls = l.calls + excluded.calls;

-- name: observe_budget
-- Returns a row when it is time to tell the others: the row lock lets one reporter do so. What is older than what
-- is known says nothing new.
INSERT INTO org_budget AS b (organization_id, used_calls, limit_calls, observed_at, announced_at)
VALUES ($1, $2, $3, $6, $4)
ON CONFLICT (organization_id) DO UPDATE
SET used_calls = excluded.used_calls, limit_calls = excluded.limit_calls, observed_at = excluded.observed_at,
    announced_at = CASE WHEN b.announced_at <= $4::timestamptz - $5::interval THEN $4 ELSE b.announced_at END
WHERE b.observed_at <= excluded.observed_at
RETURNING announced_at = $4 AS announce;

-- name: add_unseen_calls
-- Calls of which no answer told the usage: they count until the org says more.
UPDATE org_budget SET used_calls = used_calls + $2 WHERE organization_id = $1;

-- name: exhaust_calls
UPDATE org_budget SET used_calls = greatest(used_calls, limit_calls), observed_at = $2 WHERE organization_id = $1;

-- name: exhaust_bulk_jobs
UPDATE org_budget SET bulk_until = $2 WHERE organization_id = $1;

-- name: set_long_requests
UPDATE org_budget SET long_requests = $2 WHERE organization_id = $1;

-- name: lock_budget
-- Orders the reservations of one org.
SELECT used_calls, limit_calls, observed_at, long_requests, asked_at, bulk_until
FROM org_budget WHERE organization_id = $1 FOR UPDATE;

-- name: note_asked
UPDATE org_budget SET asked_at = $2
WHERE organization_id = $1 AND (asked_at IS NULL OR asked_at <= $2::timestamptz - $3::interval)
RETURNING true;

-- name: drop_expired_grants
DELETE FROM api_grant WHERE organization_id = $1 AND expires_at <= $2;

-- name: grants
SELECT caller, calls, slots, wanted_slots FROM api_grant WHERE organization_id = $1 AND expires_at > $2;

-- name: drop_grants_of_earlier_lives
-- A caller is `<process>/<life>`: a process that starts again does not wait for what it held before.
DELETE FROM api_grant
WHERE organization_id = $1 AND caller <> $2 AND $2 LIKE '%/%'
  AND regexp_replace(caller, '/[^/]*$', '') = regexp_replace($2, '/[^/]*$', '');

-- name: put_grant
INSERT INTO api_grant (organization_id, caller, calls, slots, wanted_slots, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (organization_id, caller) DO UPDATE
SET calls = excluded.calls, slots = excluded.slots, wanted_slots = excluded.wanted_slots,
    expires_at = excluded.expires_at;

-- name: use_grant
-- Calls were made: they are in the org's own count from now on.
UPDATE api_grant SET calls = greatest(0, calls - $3), expires_at = $4
WHERE organization_id = $1 AND caller = $2 AND expires_at > $5;

-- name: own_hours
-- Holdfast's own calls by hour, oldest first, as far as they may still count.
SELECT hour, calls FROM usage_ledger WHERE organization_id = $1 AND hour > $2::timestamptz - interval '25 hours'
ORDER BY hour;
