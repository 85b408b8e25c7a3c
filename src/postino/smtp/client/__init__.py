"""The client's side of SMTP and LMTP, pure: replies in, commands out."""
