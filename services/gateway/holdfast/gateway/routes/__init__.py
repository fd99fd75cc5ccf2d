"""The HTTP API, one module per resource. A route parses, asks a service and translates; it decides nothing."""
