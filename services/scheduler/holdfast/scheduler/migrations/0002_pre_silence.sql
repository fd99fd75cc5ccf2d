-- When the last report on a run came, so that one of which nothing is heard any more can be named.
ALTER TABLE run ADD COLUMN heard_at timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE INDEX run_open ON run (heard_at) WHERE state IN ('requested', 'running');
