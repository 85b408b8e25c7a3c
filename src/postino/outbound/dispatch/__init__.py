"""Emptying the queue: what is due is brought to its destination, carried, and its outcome written down."""
