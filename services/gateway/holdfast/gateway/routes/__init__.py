"""The HTTP API, one module per resource. A route parses, asks a service, translates; it decides nothing."""
