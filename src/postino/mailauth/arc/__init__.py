"""The Authenticated Received Chain: what a forwarder says about the mail it passes on."""
