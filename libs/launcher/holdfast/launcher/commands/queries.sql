-- name: has_started
-- Whether the service whose schema this is has ever started.
SELECT to_regclass('parked') IS NOT NULL;
