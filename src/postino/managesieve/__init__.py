"""ManageSieve: a client's octets to commands, replies to octets."""
