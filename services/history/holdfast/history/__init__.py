"""Read models: runs, changes, record history, verification."""
