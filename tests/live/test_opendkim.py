"""OpenDKIM verifies what we sign, and we verify what it signs; keys come from a file, not from the DNS."""

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization
from postino.mailauth.dkim.reasons import Reason
from postino.mailauth.dkim.sign import sign_message
from postino.mailauth.dkim.verify import verify_dkim
from postino.mime.header import header_octets
from tests.live.mail_programs import require_program, run_program, sample
from tests.support.dkim_examples import answer, ed25519_key, rsa_key, zone_of

NOW = 1_767_225_600
LISTED = (
    b"From: ann@example.org\r\nTo: =?utf-8?q?B=C3=B6b?= <bob@example.net>,\r\n\teve@example.net\r\n"
    b"Subject: long   and\r\n folded \r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
    b"List-Unsubscribe: <https://example.org/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Received: from a\r\n by b; x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    b"blanks \t here  \r\n\r\n\xc3\xa9\t\r\n\r\n\r\n"
)
MESSAGES = [LISTED, b"From: ann@example.org\r\n\r\n"]


def messages() -> list[bytes]:
    made = [bytes(sample(number)).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for number in range(3)]
    return MESSAGES + made


def signed(message: bytes) -> bytes:
    at = header_octets(message)
    body = BodyHash(Canonicalization.RELAXED)
    body.update(message[at:])
    return sign_message(message[:at], body.digest(), (rsa_key(), ed25519_key()), now=NOW) + message


@pytest.mark.parametrize("number", range(5))
def test_opendkim_verifies_what_we_sign(tmp_path: Path, number: int) -> None:
    opendkim = require_program("opendkim")
    (tmp_path / "keys").write_text("".join(f"{name} {text}\n" for name, text in zone_of(rsa_key()).items()))
    (tmp_path / "conf").write_text(f"Mode v\nSyslog no\nTestPublicKeys {tmp_path / 'keys'}\n")
    message = signed(messages()[number])
    for name, octets in (("good", message), ("bad", message + b"more\r\n")):
        (tmp_path / name).write_bytes(octets)
        said = run_program([opendkim, "-f", "-x", "conf", "-t", name, "-v"], cwd=tmp_path)
        wanted = "2048-bit key) succeeded" if name == "good" else "signature verification failed"
        assert wanted in said, said


@pytest.mark.parametrize("canonical", ["simple/simple", "relaxed/relaxed", "relaxed/simple"])
@pytest.mark.parametrize("number", range(5))
def test_we_verify_what_opendkim_signs(tmp_path: Path, number: int, canonical: str) -> None:
    opendkim = require_program("opendkim")
    key = rsa_key()
    file = tmp_path / "rsa.private"
    file.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    (tmp_path / "conf").write_text(
        f"Mode s\nSyslog no\nDomain example.org\nSelector rsa\nKeyFile {file}\nCanonicalization {canonical}\n"
        "InternalHosts 0.0.0.0/0\nOversignHeaders From\nRequireSafeKeys no\n"
    )
    message = messages()[number]
    (tmp_path / "message").write_bytes(message)
    said = run_program([opendkim, "-f", "-x", "conf", "-t", "message", "-vv"], cwd=tmp_path)
    found = re.search(r"hname='DKIM-Signature' hvalue='([^']*)'", said)
    assert found is not None, said
    field = b"DKIM-Signature: " + found[1].replace("\r", "").replace("\n", "\r\n").encode() + b"\r\n"
    at = header_octets(message)
    (result,) = answer(verify_dkim(field + message[:at], (message[at:],), now=NOW), zone_of(key))
    assert result.reason is Reason.PASSED, field
    assert result.signature is not None
    assert result.signature.algorithm == "rsa-sha256"
