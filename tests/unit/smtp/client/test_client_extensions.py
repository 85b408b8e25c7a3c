"""The answer to EHLO as values."""

import pytest

from postino.smtp.client.extensions import NO_EXTENSIONS, Extensions, read_extensions
from postino.smtp.client.replies import FarReply


def read(*lines: str) -> Extensions:
    return read_extensions(FarReply(250, "", ("mx.far.example greets you", *lines)))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), NO_EXTENSIONS),
        (("HELP", "EXPN", "X-WHATEVER a b"), NO_EXTENSIONS),
        (("SIZE",), Extensions(has_size=True)),
        (("SIZE 0",), Extensions(has_size=True)),
        (("size 35882577",), Extensions(has_size=True, size=35_882_577)),
        (("SIZE lots",), Extensions(has_size=True)),
        (("SIZE 99999999999999999999999",), Extensions(has_size=True)),
        (
            ("PIPELINING", "8BITMIME", "SMTPUTF8"),
            Extensions(pipelining=True, eight_bit_mime=True, smtputf8=True),
        ),
        (("CHUNKING", "BINARYMIME"), Extensions(chunking=True, binary_mime=True)),
        # RFC 3030 §3: BINARYMIME cannot be used without CHUNKING.
        (("BINARYMIME",), NO_EXTENSIONS),
        (("DSN", "REQUIRETLS", "STARTTLS"), Extensions(dsn=True, require_tls=True, start_tls=True)),
        (("MT-PRIORITY MIXER",), Extensions(mt_priority=True)),
        (("DELIVERBY",), Extensions(deliver_by=True)),
        (("DELIVERBY 240",), Extensions(deliver_by=True, deliver_by_seconds=240)),
        (("AUTH plain login",), Extensions(auth=("PLAIN", "LOGIN"))),
        (("AUTH=PLAIN LOGIN",), Extensions(auth=("PLAIN", "LOGIN"))),
        (("AUTH PLAIN SCRAM-SHA-256", "AUTH=PLAIN"), Extensions(auth=("PLAIN", "SCRAM-SHA-256"))),
        (("LIMITS RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1",), Extensions(recipients=20, messages=5)),
        (("limits rcptmax=20",), Extensions(recipients=20)),
        (("LIMITS RCPTMAX MAILMAX=x",), NO_EXTENSIONS),
        (("", " ", "\u00a0"), NO_EXTENSIONS),
    ],
)
def test_extensions(lines: tuple[str, ...], expected: Extensions) -> None:
    assert read(*lines) == expected


def test_the_servers_name_is_no_extension() -> None:
    assert read_extensions(FarReply(250, "", ("SIZE 10",))) == NO_EXTENSIONS
