"""One module a command: its value and how it is parsed."""
