"""Common's own tables; every service's schema gets them."""
