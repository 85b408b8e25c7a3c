"""The inbound pipeline: from accepted octets to rows in accounts."""
