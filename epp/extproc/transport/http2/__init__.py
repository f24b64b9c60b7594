"""HTTP/2 and gRPC for the ext-proc port. A core of bytes in and out, and an asyncio shell."""
