"""Choose endpoints: filters narrow, scorers rank, a picker picks. Synchronous and pure."""
