"""The resources of the HTTP API, one module per resource. Commands refuse fields they do not know."""
