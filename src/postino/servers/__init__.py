"""Sessions: a protocol joined to the store over a connection."""
