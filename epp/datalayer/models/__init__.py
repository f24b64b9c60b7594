"""Which models the servers of the pool offer."""
