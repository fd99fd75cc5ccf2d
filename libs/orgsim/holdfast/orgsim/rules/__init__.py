"""What the platform insists on when a record is saved. No rule knows a protocol."""
