"""Sieve's grammar: octets to tokens to a tree, and a tree back to text. Knows no command."""
