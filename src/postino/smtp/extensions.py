"""What the server says it can do: the answer to EHLO and LHLO.

RFC: 5321 §4.1.1.1, 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3030
    (CHUNKING, BINARYMIME), 2034 (ENHANCEDSTATUSCODES), 9422 (LIMITS), 3207 (STARTTLS),
    4954 (AUTH), 2033 (LMTP).
Not here: when TLS and AUTH are offered (servers/smtp).
"""

from postino.smtp.reply import Reply


def hello_reply(
    hostname: str,
    *,
    message_octets: int,
    recipients: int,
    offers_tls: bool,
    mechanisms: list[str],
) -> Reply:
    """The multi-line 250 to EHLO. It has no enhanced code, as every answer to a greeting (RFC 2034 §4)."""
    keywords = [
        "PIPELINING",
        f"SIZE {message_octets}",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "BINARYMIME",
        "ENHANCEDSTATUSCODES",
        f"LIMITS RCPTMAX={recipients}",
    ]
    if offers_tls:
        keywords.append("STARTTLS")
    if mechanisms:
        keywords.append("AUTH " + " ".join(mechanisms))
    return Reply(250, "", hostname, *keywords)
