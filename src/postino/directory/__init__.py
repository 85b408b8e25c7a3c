"""Domains, accounts, addresses and credentials: the rules, without the SQL."""
