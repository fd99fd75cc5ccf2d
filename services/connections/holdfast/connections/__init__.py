"""Org connections, OAuth and the API budget of each org."""
