"""SASL mechanisms, base64 around them, SASLprep.

Oracle: whatever a client answers, an exchange ends in success, ProtocolViolation or AuthenticationFailed
and asks only for bounded things; success needs a right answer to a question; base64 that is taken is
taken as it was meant; SASLprep is stable and never empties a text.
Run: python fuzz/fuzz_sasl.py -max_total_time=20
"""

import base64
import string

from common import run

from postino.core.errors import AuthenticationFailed, ProtocolViolation
from postino.sasl.exchange import (
    MAX_LOGIN_OCTETS,
    MAX_PASSWORD_OCTETS,
    Challenge,
    CheckCertificate,
    CheckPassword,
    CheckToken,
    FindScramKeys,
    ReportProof,
    ScramKeys,
    TokenRefusal,
    decode_base64,
    decode_initial,
    login_key,
)
from postino.sasl.mechanisms import Mechanism, begin
from postino.sasl.saslprep import saslprep
from postino.sasl.scram import ChannelBinding, format_keys, parse_keys

MECHANISMS = list(Mechanism)
KEYS = ScramKeys(4096, b"salt", bytes(32), bytes(32))
BINDING = ChannelBinding(b"hash")
TOKEN_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-._~+/=")


def check_exchange(mechanism: Mechanism, messages: list[bytes], *, accept: bool) -> None:
    """Run an exchange against these messages of a client."""
    left = iter(messages)
    exchange = begin(mechanism, next(left, None), nonce=b"server-nonce", binding=BINDING)
    granted = False
    steps = 0
    try:
        step = next(exchange)
        while True:
            steps += 1
            assert steps < 10
            match step:
                case Challenge():
                    assert len(step.octets) < 10_000
                    step = exchange.send(next(left, b""))
                case CheckPassword():
                    assert 0 < len(step.login.encode()) <= MAX_LOGIN_OCTETS
                    assert 0 < len(step.password.encode()) <= MAX_PASSWORD_OCTETS
                    saslprep(step.password)
                    granted = accept
                    step = exchange.send(accept)
                case FindScramKeys():
                    assert 0 < len(step.login.encode()) <= MAX_LOGIN_OCTETS
                    login_key(step.login)
                    step = exchange.send(KEYS)
                case ReportProof():
                    # Nobody knows a key whose hash is all zeros.
                    assert not step.holds
                    granted = accept
                    step = exchange.send(accept)
                case CheckToken():
                    assert len(step.login.encode()) <= MAX_LOGIN_OCTETS
                    assert set(step.token) <= TOKEN_CHARACTERS
                    granted = accept
                    step = exchange.send(accept or TokenRefusal("invalid_token", AuthenticationFailed("no")))
                case CheckCertificate():
                    assert len(step.login.encode()) <= MAX_LOGIN_OCTETS
                    if not accept:
                        return
                    granted = True
                    step = exchange.send(True)
    except StopIteration:
        assert granted
    except (ProtocolViolation, AuthenticationFailed):
        pass


def check_texts(data: bytes) -> None:
    """The small parsers."""
    try:
        taken = decode_base64(data)
    except ProtocolViolation:
        pass
    else:
        assert base64.b64encode(taken)[:-4] == data[:-4]
        assert decode_initial(data) == taken
    keys = parse_keys(data.decode("latin-1"))
    if keys is not None:
        assert parse_keys(format_keys(keys)) == keys
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    prepared = saslprep(text)
    assert prepared == saslprep(text)
    assert bool(prepared) == bool(text)


def test_one_input(data: bytes) -> None:
    """The first octet chooses the mechanism and the verdict; `\\xfe` parts the client's messages."""
    if not data:
        return
    choice, accept = data[0] >> 1, bool(data[0] & 1)
    if choice % (len(MECHANISMS) + 1) == len(MECHANISMS):
        check_texts(data[1:])
    else:
        mechanism = MECHANISMS[choice % (len(MECHANISMS) + 1)]
        check_exchange(mechanism, data[1:].split(b"\xfe"), accept=accept)


run(test_one_input, "sasl")
