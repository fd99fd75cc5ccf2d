"""The wire: one package per API. A handler knows its protocol and nothing of how rows are stored."""
