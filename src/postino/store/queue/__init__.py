"""Mail that waits to go elsewhere: messages, the state of each recipient, leases, destinations.

docs/states/queue.md has every state, who moves it, and what a crash leaves.
"""
