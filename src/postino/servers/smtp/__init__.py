"""The SMTP and LMTP server: receiving mail from other servers and from users' mail programs."""

from postino.servers.smtp.roles import SmtpRole
from postino.servers.smtp.session import serve_smtp

__all__ = ["SmtpRole", "serve_smtp"]
