"""The IMAP session and the execution of each command."""
