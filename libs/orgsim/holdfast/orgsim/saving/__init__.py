"""Inserts, updates, deletes, undelete and merge: what one save does, whoever asks for it."""
