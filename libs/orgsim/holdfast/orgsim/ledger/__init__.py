"""The truth: every accepted change, in commit order."""
