"""Commands about mailboxes: which there are, who may do what in them, what is kept about them."""
