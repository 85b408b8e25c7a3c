"""Load drivers: raw sockets, ready octets, as little reading of answers as correctness allows."""
