"""What request and response bodies say: one module per API family, pure functions over bytes."""
