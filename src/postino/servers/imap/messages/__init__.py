"""Commands about messages: read, stored, copied, appended, expunged."""
