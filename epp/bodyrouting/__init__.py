"""Body-based routing: the model name in a request's body becomes a header that routes can match."""
