"""Reads Salesforce, page by durable page."""
