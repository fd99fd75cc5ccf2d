"""Rows as immutable columns with an overlay of changes, and the ways to fill them."""
