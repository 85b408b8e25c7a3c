"""Our name on what we send, and the keys it is written with."""
