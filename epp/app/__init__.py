"""The shells around a composed picker: sockets, fetchers, signals, drain."""
