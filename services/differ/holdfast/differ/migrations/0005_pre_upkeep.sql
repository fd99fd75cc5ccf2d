-- Upkeep of a table: since when files lie there that were merged into others, and when its state index was last held
-- against the table.
ALTER TABLE vault_table
    ADD COLUMN replaced_since timestamptz,
    ADD COLUMN index_checked_at timestamptz NOT NULL DEFAULT clock_timestamp();
