"""Bulk API 2.0: query jobs, ingest jobs and their CSV results."""
