-- When the first reading of an object began and ended, by the database's clock: the next plan says how long it takes.
ALTER TABLE task ADD COLUMN began_at timestamptz, ADD COLUMN ended_at timestamptz;
