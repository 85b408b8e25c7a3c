"""The SMTP protocol: octets in, values out; no socket, no clock, no log."""
