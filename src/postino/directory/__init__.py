"""Who is who: credentials, principals, what a password may be.

Not here: the rows (store/accounts.py), logging in (servers/authentication.py).
"""
