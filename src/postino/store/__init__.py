"""The store: what mailboxes mean, written once over a small transaction, and the engines below it.

Not here: who may do what (servers/), how messages come in (delivery/).
"""
