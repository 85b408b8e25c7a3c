"""Messages as octets with structure: one-pass index, headers, addresses, encoded words, dates. Pure."""
