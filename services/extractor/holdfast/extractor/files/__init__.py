"""Bodies of files: queued with the records, fetched in the background, attached to them when they are in."""
