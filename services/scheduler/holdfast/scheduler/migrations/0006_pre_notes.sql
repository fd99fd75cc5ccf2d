-- What happened to an object, or to the org's objects, that makes nothing missing; and what a job's user cannot see.
ALTER TABLE run_object ADD COLUMN notes text[] NOT NULL DEFAULT '{}';
ALTER TABLE run ADD COLUMN notes text[] NOT NULL DEFAULT '{}';
ALTER TABLE job ADD COLUMN warnings text[] NOT NULL DEFAULT '{}';
