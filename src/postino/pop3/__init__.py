"""POP3, pure: octets into lines into commands, and answers into octets.

RFC: 1939, 2449, 2595, 3206, 5034.
Not here: the maildrop and the connection (servers/pop3.py).
"""
