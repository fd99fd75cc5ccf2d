"""A Salesforce org that runs locally."""
