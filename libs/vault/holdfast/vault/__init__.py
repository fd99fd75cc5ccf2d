"""The record-change log: what a page becomes, what a record was, and the proof that nothing is lost.

The format is written down in `docs/formats/vault.md`; this package is its only writer.
"""
