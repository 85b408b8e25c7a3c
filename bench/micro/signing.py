"""What a DKIM signature costs: header, body and the keys' own work, in this process."""

from statistics import median
from time import perf_counter

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from bench import corpus
from bench.peers.server import ONE
from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization
from postino.mailauth.dkim.sign import SigningKey, sign_message

_OCTETS = 16_384
_TIMES = 300


def signing_milliseconds() -> dict[str, float]:
    """Medians for a message of 16 KB: with an RSA-2048 key, and with an Ed25519 key beside it."""
    message = corpus.outgoing_message(1, _OCTETS, ONE)
    end = message.index(b"\r\n\r\n") + 4
    header, body = message[:end], message[end:]
    rsa = SigningKey(corpus.DOMAIN, "rsa", generate_private_key(65537, 2048))
    ed25519 = SigningKey(corpus.DOMAIN, "ed", Ed25519PrivateKey.generate())

    def seconds(keys: list[SigningKey]) -> float:
        started = perf_counter()
        body_hash = BodyHash(Canonicalization.RELAXED)
        body_hash.update(body)
        sign_message(header, body_hash.digest(), keys, now=1_767_225_600)
        return perf_counter() - started

    return {
        "sending.sign": median(seconds([rsa]) for _ in range(_TIMES)) * 1000,
        "sending.sign.both": median(seconds([rsa, ed25519]) for _ in range(_TIMES)) * 1000,
    }
