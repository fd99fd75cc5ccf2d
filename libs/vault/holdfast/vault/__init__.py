"""The record-change log: Delta tables in object storage."""
