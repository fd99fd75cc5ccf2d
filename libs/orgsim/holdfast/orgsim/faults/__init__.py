"""Trouble on demand."""
