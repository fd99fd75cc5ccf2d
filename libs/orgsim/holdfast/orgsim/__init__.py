"""A Salesforce org that runs locally and keeps the truth in a ledger."""
