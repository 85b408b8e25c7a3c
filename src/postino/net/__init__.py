"""Sockets: connections, TLS, listeners, and the in-memory network tests use."""
