"""Where mail goes and how TLS must be there: routes, mail exchangers, DANE, MTA-STS."""
