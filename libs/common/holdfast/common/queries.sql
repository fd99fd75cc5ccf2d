-- name: append_event
-- One fact; a taken (stream, version) violates events_stream_version.
INSERT INTO events (stream, version, type, payload, correlation_id, causation_id, actor)
VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $7);

-- name: stream_version
-- The newest version of a stream, 0 for a new one.
SELECT coalesce(max(version), 0) FROM events WHERE stream = $1;

-- name: load_stream
-- A stream's facts in order, from a version on.
SELECT stream, version, type, payload::text AS payload, occurred_at, correlation_id, causation_id, actor
FROM events WHERE stream = $1 AND version >= $2 ORDER BY version;

-- name: enqueue
-- The number is gapless per (topic, key): its row stays locked until the transaction ends.
WITH given AS (
    INSERT INTO outbox_number AS n (topic, key, number) VALUES ($1, $2, 1)
    ON CONFLICT (topic, key) DO UPDATE SET number = n.number + 1
    RETURNING number
)
INSERT INTO outbox (topic, key, number, payload, headers)
SELECT $1, $2, given.number, $3, $4::text::jsonb FROM given;

-- name: unpublished
SELECT id, topic, key, number, payload, headers::text AS headers
FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT $1;

-- name: mark_published
-- Marks nothing when another relay has taken over: the epoch has moved.
UPDATE outbox SET published_at = clock_timestamp()
WHERE id = ANY($1::bigint[]) AND published_at IS NULL
  AND (SELECT epoch FROM outbox_relay WHERE shard = 0 FOR SHARE) = $2;

-- name: take_relay
INSERT INTO outbox_relay AS r (shard, epoch, holder) VALUES (0, 1, $1)
ON CONFLICT (shard) DO UPDATE SET epoch = r.epoch + 1, holder = excluded.holder
RETURNING epoch;

-- name: relay_lock
-- Held by the session, released by its end; the key is this schema's own.
SELECT pg_try_advisory_lock(hashtext('holdfast.outbox'), hashtext(current_schema()::text));

-- name: outbox_lag
SELECT count(*) AS rows, coalesce(extract(epoch FROM clock_timestamp() - min(enqueued_at)), 0)::float8 AS age_s
FROM outbox WHERE published_at IS NULL;

-- name: resend
-- Oldest first, in bounded batches: the relay begins with them while later ones are still marked.
UPDATE outbox SET published_at = NULL WHERE id IN (
    SELECT id FROM outbox
    WHERE published_at IS NOT NULL AND ($1::timestamptz IS NULL OR published_at >= $1) AND id > $2
    ORDER BY id LIMIT $3
) RETURNING id;

-- name: forget_published
-- Kafka has them, and they can be rebuilt from the events; a bounded batch keeps the table flat.
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox WHERE published_at < clock_timestamp() - $1::interval ORDER BY id LIMIT $2
);

-- name: inbox_insert
-- No row comes back when the message has been here before.
INSERT INTO inbox (consumer, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1;

-- name: seen_number
SELECT number FROM stream_seen WHERE consumer = $1 AND topic = $2 AND key = $3 FOR UPDATE;

-- name: advance_seen
-- Returns the number when it is the next one; no row for a duplicate or a gap.
INSERT INTO stream_seen AS s (consumer, topic, key, number)
SELECT $1, $2, $3, $4::bigint
WHERE $4 = 1 OR EXISTS (SELECT 1 FROM stream_seen WHERE consumer = $1 AND topic = $2 AND key = $3)
ON CONFLICT (consumer, topic, key) DO UPDATE SET number = excluded.number
WHERE s.number = excluded.number - 1
RETURNING number;

-- name: park
INSERT INTO parked (consumer, topic, kafka_partition, kafka_offset, message_key, payload, headers, type, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::json, $8, $9)
ON CONFLICT ON CONSTRAINT parked_message_once DO NOTHING;

-- name: early_keep
INSERT INTO early (consumer, topic, key, number, kafka_partition, kafka_offset, message_key, payload, headers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json)
ON CONFLICT DO NOTHING;

-- name: early_ready
-- One whose predecessor has been handled, or that has itself come again meanwhile.
SELECT topic, key, early.number, kafka_partition, kafka_offset, message_key, payload, headers::text AS headers
FROM early LEFT JOIN stream_seen AS s USING (consumer, topic, key)
WHERE consumer = $1 AND topic = ANY ($2::text[]) AND early.number <= coalesce(s.number, 0) + 1
ORDER BY topic, key, early.number LIMIT 1;

-- name: early_settled
DELETE FROM early USING stream_seen AS s
WHERE early.consumer = $1 AND early.topic = $2 AND early.key = $3 AND early.number = $4
  AND s.consumer = $1 AND s.topic = $2 AND s.key = $3 AND s.number >= early.number;

-- name: early_missing
-- What those that were set aside wait for, the longest wait first.
SELECT topic, key, coalesce(max(s.number), 0) + 1 AS number, clock_timestamp() - min(came_at) AS waited
FROM early LEFT JOIN stream_seen AS s USING (consumer, topic, key)
WHERE consumer = $1
GROUP BY topic, key
HAVING min(early.number) > coalesce(max(s.number), 0) + 1
ORDER BY waited DESC LIMIT $2;

-- name: count_attempt
INSERT INTO attempt AS a (consumer, topic, kafka_partition, kafka_offset, tries) VALUES ($1, $2, $3, $4, 1)
ON CONFLICT (consumer, topic, kafka_partition) DO UPDATE
SET tries = CASE WHEN a.kafka_offset = excluded.kafka_offset THEN a.tries + 1 ELSE 1 END,
    kafka_offset = excluded.kafka_offset
RETURNING tries;

-- name: parked_list
SELECT id, consumer, topic, kafka_partition, kafka_offset, type, reason, parked_at, state
FROM parked WHERE state = 'parked' ORDER BY id LIMIT $1;

-- name: parked_get
SELECT id, consumer, topic, kafka_partition, kafka_offset, message_key, payload, headers::text AS headers, type, state
FROM parked WHERE id = $1 FOR UPDATE;

-- name: parked_settle
-- Only from an expected state: two operators, or an operator and a replay, must not undo each other.
UPDATE parked SET state = $2, settled_at = clock_timestamp()
WHERE id = $1 AND state = ANY($3::text[]) RETURNING id;

-- name: parked_failed_again
UPDATE parked SET state = 'parked', reason = $2 WHERE id = $1 AND state = 'replaying';

-- name: parked_to_replay
SELECT id, topic FROM parked WHERE state = 'replaying' AND consumer = $1 ORDER BY id LIMIT 1;

-- name: lease_acquire
-- A free, expired or never-seen lease goes to the caller with the next epoch.
INSERT INTO lease AS l (name, holder, epoch, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + $3::interval)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, epoch = l.epoch + 1, expires_at = excluded.expires_at
WHERE l.expires_at <= clock_timestamp()
RETURNING epoch;

-- name: lease_extend
UPDATE lease SET expires_at = clock_timestamp() + $3::interval WHERE name = $1 AND epoch = $2 RETURNING epoch;

-- name: lease_guard
-- Locked until the transaction ends: nobody takes the lease while its holder commits.
SELECT epoch FROM lease WHERE name = $1 FOR SHARE;

-- name: lease_release
UPDATE lease SET expires_at = '-infinity' WHERE name = $1 AND epoch = $2;

-- name: lease_release_all
UPDATE lease SET expires_at = '-infinity' WHERE holder = $1 AND expires_at > clock_timestamp();

-- name: command_lock
-- Two calls with one key wait for each other until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('holdfast.command'), hashtext($1));

-- name: command_result
SELECT request_sha256, response FROM command_result WHERE key = $1;

-- name: command_store
INSERT INTO command_result (key, request_sha256, response) VALUES ($1, $2, $3);

-- name: migration_lock
SELECT pg_advisory_xact_lock(hashtext('holdfast.migrate'), hashtext($1));

-- name: migrations_done
SELECT package, name, sha256 FROM migration;

-- name: migration_record
INSERT INTO migration (package, name, sha256) VALUES ($1, $2, $3);
