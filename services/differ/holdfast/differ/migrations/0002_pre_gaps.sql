-- What the extractor says it could not read of an object, to be said again when the object is complete.
ALTER TABLE manifest ADD COLUMN gaps text[] NOT NULL DEFAULT '{}';
