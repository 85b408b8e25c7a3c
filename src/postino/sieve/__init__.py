"""Sieve: compile scripts, run them over messages, get actions. Pure, and usable without the server."""
