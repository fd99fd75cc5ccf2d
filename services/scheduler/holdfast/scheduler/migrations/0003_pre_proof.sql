-- What was proven of an object, as the differ says it; null for objects of runs from before there were proofs.
ALTER TABLE run_object ADD COLUMN proof jsonb;
-- How many objects of an ended run had which outcome.
ALTER TABLE run
    ADD COLUMN proven bigint NOT NULL DEFAULT 0,
    ADD COLUMN not_proven bigint NOT NULL DEFAULT 0,
    ADD COLUMN mismatched bigint NOT NULL DEFAULT 0;
