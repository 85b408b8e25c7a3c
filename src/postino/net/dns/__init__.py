"""Asking the DNS: one resolver with a cache, over dnspython."""
