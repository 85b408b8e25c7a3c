"""The small web service: our MTA-STS policy, and how mail programs set themselves up."""
