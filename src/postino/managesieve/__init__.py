"""ManageSieve, pure: a client's octets to commands, answers to octets.

RFC: 5804.
Not here: scripts and the connection (servers/managesieve/), the language (sieve/).
"""
