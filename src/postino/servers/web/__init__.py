"""The few pages this server shows over HTTPS: its domains' MTA-STS policies and mail programs' settings."""
