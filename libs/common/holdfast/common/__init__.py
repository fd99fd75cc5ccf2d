"""Event store, outbox, inbox, messaging, Postgres, object store, settings, telemetry, errors, contracts."""
