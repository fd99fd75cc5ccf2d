"""The holdfast command and the embedded stack."""
