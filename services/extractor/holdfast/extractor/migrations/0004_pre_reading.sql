-- An object that cannot be read in one go is read in ranges of ids: `[[low, high], …]`, half-open, "" for an open end.
-- The first is the one being read; empty where the object is read in one go.
ALTER TABLE task ADD COLUMN legs jsonb NOT NULL DEFAULT '[]';
-- Hash of a page's text as it came: the same text twice in one result is a page that came in place of another.
ALTER TABLE page ADD COLUMN body text;
