-- Pages of deletions, of a census, and of files' bodies; pages that the differ staged itself belong to no manifest.
ALTER TABLE page DROP CONSTRAINT page_mode_check;
ALTER TABLE page ADD CONSTRAINT page_mode_check
    CHECK (mode IN ('baseline', 'incremental', 'full', 'deletions', 'census', 'bodies'));
ALTER TABLE page ADD COLUMN own boolean NOT NULL DEFAULT false;

-- An object is settled in passes. `extracted` is what the extractor said of the newest one, `earlier` of those before;
-- `doubted` is the last pass that was not enough. `extracted` is null in manifests from before there were passes.
ALTER TABLE manifest
    ADD COLUMN pass_number integer NOT NULL DEFAULT 1,
    ADD COLUMN doubted integer NOT NULL DEFAULT 0,
    ADD COLUMN extracted jsonb,
    ADD COLUMN earlier jsonb NOT NULL DEFAULT '[]';
