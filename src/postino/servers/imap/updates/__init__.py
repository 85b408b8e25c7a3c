"""The selected mailbox, and how a session is told what happens there and elsewhere."""
