"""The DNS records our domains want: printed for the operator, and compared with what resolvers answer."""
