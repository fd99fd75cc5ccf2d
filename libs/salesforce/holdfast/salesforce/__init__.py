"""Async Salesforce client."""
