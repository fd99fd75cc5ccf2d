-- When a page was heard of: how many records vanished lately is summed over the pages that the differ staged itself.
ALTER TABLE page ADD COLUMN noted_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX page_own ON page (job_id, object, noted_at) WHERE own;
