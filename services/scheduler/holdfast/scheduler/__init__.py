"""Backup jobs and runs."""
