"""ManageSieve sessions: the protocol (managesieve/) joined to an account's scripts (store/scripts.py)."""
