"""What an org has before anybody saves a record: its own row, profiles, users, record types, features."""
