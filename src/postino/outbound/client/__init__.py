"""The client's side of a connection to another server: opened, secured, logged in, given messages."""
