"""The only writer of the vault: pages in, change events out."""
