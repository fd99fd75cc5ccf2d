-- The files of a run: how many its records name, and, once none is left to fetch, what became of them.
ALTER TABLE run
    ADD COLUMN files_queued bigint NOT NULL DEFAULT 0,
    ADD COLUMN files_stored bigint NOT NULL DEFAULT 0,
    ADD COLUMN files_failed bigint NOT NULL DEFAULT 0,
    ADD COLUMN files_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN files_missing text[] NOT NULL DEFAULT '{}',
    ADD COLUMN files_doubted text[] NOT NULL DEFAULT '{}';
