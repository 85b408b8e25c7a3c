"""The vocabulary every other package speaks: ids, addresses, number sets, flags, limits, errors, ports.

Invariants: pure; imports nothing of Postino and no I/O.
"""
