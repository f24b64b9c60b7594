"""What the pool looks like now: its endpoints, what they say, and what we sent there."""
