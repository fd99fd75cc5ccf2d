-- A page of bodies that was given up alone, and why: it is never committed, and its object's run is what it was.
ALTER TABLE page ADD COLUMN given_up text;
