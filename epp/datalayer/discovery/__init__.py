"""Where the endpoints of the pool come from."""
