"""Benchmarks of Postino beside Debian's Postfix and Dovecot: `python -m bench --help`."""
