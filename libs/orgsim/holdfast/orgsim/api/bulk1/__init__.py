"""Bulk API 1.0: jobs, their batches, and results in CSV, JSON and XML."""
