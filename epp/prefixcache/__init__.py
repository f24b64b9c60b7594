"""Which server probably holds which part of a prompt in its KV cache."""
