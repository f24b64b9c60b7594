"""The front door: one gRPC stream from the gateway is one HTTP exchange."""
