"""Whose turn it is: a request is placed now, waits with all that is known of it, or is refused."""
