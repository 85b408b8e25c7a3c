"""Microseconds of the pure functions that every message or command goes through."""
