"""How gRPC streams reach the sessions: one module per implementation, one small contract."""
