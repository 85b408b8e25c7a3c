"""Mail authentication, pure: DKIM and ARC signatures, SRS, MTA-STS and TLS reporting, DANE's matching."""
