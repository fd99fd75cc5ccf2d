-- The record that Salesforce keeps an image with, where its text stands in another one: a clone shows the original's.
ALTER TABLE file ADD COLUMN kept_with text;
