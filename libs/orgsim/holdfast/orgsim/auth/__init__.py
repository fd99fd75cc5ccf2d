"""Users, sessions and the ways to sign in."""
