"""The search index: each account's decoded texts in a file of their own, made behind delivery.

Derived data (docs/adr/0008-search-index.md): what is missing in it is read from the messages instead.
"""
