"""The end of DATA as RFC 5321 §4.1.1.4 has it, read one octet at a time: slow, and plainly right.

The oracle for the framer, in unit tests and in the fuzz target.
"""


def read_data(stream: bytes) -> tuple[bytes, bytes] | None:
    """Split what follows DATA's CRLF into (message with dots unstuffed, the rest); None without an end."""
    message = bytearray()
    at_line_start = True
    at = 0
    while at < len(stream):
        if at_line_start and stream[at : at + 3] == b".\r\n":
            return bytes(message), stream[at + 3 :]
        if at_line_start and stream[at : at + 1] == b".":
            at += 1
            at_line_start = False
            continue
        message.append(stream[at])
        at += 1
        # A line starts after CRLF and nowhere else; a dot that was removed is not a line's start.
        at_line_start = stream[at - 2 : at] == b"\r\n" if at >= 2 else False
    return None


def has_bare_cr_or_lf(message: bytes) -> bool:
    """Whether a CR or LF is not half of a CRLF."""
    rest = message.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest
