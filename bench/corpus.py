"""Messages to measure with: the same octets at every run, shaped like a real mailbox.

Invariants: message(i) depends on nothing but i; every line ends in CRLF; no bare CR or LF.
Not here: sending them (drivers/).
"""

import base64
import random
import struct
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Final

EDITION: Final = 1  # part of the cache file's name: raise it when a message changes
DOMAIN: Final = "bench.example"
_START: Final = datetime(2025, 3, 3, 8, tzinfo=UTC)
_VOCABULARY: Final = 12_000
_ATTACHMENT_LIMIT: Final = 900_000
_MEAN_GAP_MINUTES: Final = 11


@cache
def _vocabulary() -> list[str]:
    rng = random.Random(20250303)
    onsets = ["b", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "v", "st", "tr", "pr", "ch"]
    vowels = ["a", "e", "i", "o", "u", "ia", "io"]
    codas = ["", "", "", "n", "r", "l", "s"]
    return [
        "".join(rng.choice(onsets) + rng.choice(vowels) + rng.choice(codas) for _ in range(rng.randint(1, 4)))
        for _ in range(_VOCABULARY)
    ]


@cache
def _sentences() -> list[str]:
    """Ready lines of at most 76 characters; frequent words are frequent, as in any language."""
    rng = random.Random(77)
    lines = []
    for _ in range(6000):
        line = _word(rng).capitalize()
        while len(line) < 60:
            line += " " + _word(rng)
        lines.append(line[:74] + ".")
    return lines


def _word(rng: random.Random) -> str:
    return _vocabulary()[int(_VOCABULARY ** rng.random()) - 1]


def _prose(rng: random.Random, lines: int) -> list[str]:
    return rng.choices(_sentences(), k=lines)


def _base64_lines(octets: bytes) -> str:
    return base64.encodebytes(octets).decode("ascii").replace("\n", "\r\n")


def _message_id(number: int) -> str:
    return f"<{number * 7907 % 1_000_003}.{number}@lists.{DOMAIN}>"


def _subject(rng: random.Random) -> str:
    words = " ".join(_word(rng) for _ in range(rng.randint(3, 9)))
    style = rng.random()
    if style < 0.10:
        return "=?utf-8?B?" + base64.b64encode(f"Grüße: {words}"[:42].encode()).decode("ascii") + "?="
    if style < 0.18:
        return "=?iso-8859-1?Q?R=E9f=E9rence_" + words[:30].replace(" ", "_") + "?="
    return words.capitalize()


def _header(rng: random.Random, number: int) -> list[str]:
    when = _START + timedelta(minutes=_MEAN_GAP_MINUTES * number)
    stamp = format_datetime(when)
    host = f"mx{number % 7}.{_word(rng)}.example"
    sender = f"{_word(rng)}@{_word(rng)}.example"
    lines = [
        f"Return-Path: <bounce+{number}@{host}>",
        f"Received: from {host} ({host} [192.0.2.{number % 254 + 1}])",
        f"\tby mail.{DOMAIN} with ESMTPS id {number:010x}",
        f"\tfor <reader@{DOMAIN}>; {stamp}",
        f"Received: from [198.51.100.{number % 254 + 1}] by {host} with ESMTPSA; {stamp}",
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; q=dns/txt; s=mail;",
        f"\td={host}; t={int(when.timestamp())}; h=From:To:Subject:Date:Message-ID:MIME-Version;",
        f"\tbh={base64.b64encode(rng.randbytes(32)).decode()};",
    ]
    signature = base64.b64encode(rng.randbytes(256)).decode()
    lines.append("\tb=" + "\r\n\t ".join(signature[at : at + 70] for at in range(0, len(signature), 70)))
    lines += [
        f"Authentication-Results: mail.{DOMAIN}; dkim=pass header.d={host}; spf=pass",
        f'From: "{_word(rng).capitalize()} {_word(rng).capitalize()}" <{sender}>',
        f"To: Reader One <reader@{DOMAIN}>"
        + "".join(f",\r\n {_word(rng)} <{_word(rng)}@{DOMAIN}>" for _ in range(rng.choice((0, 0, 0, 1, 3)))),
    ]
    if rng.random() < 0.15:
        lines.append(f"Cc: {_word(rng)}@{DOMAIN}, =?utf-8?Q?J=C3=B6rg?= <{_word(rng)}@{host}>")
    reply_to = number - rng.randint(1, 25) if number > 40 and rng.random() < 0.45 else 0
    lines += [
        f"Subject: {'Re: ' if reply_to else ''}{_subject(rng)}",
        f"Date: {stamp}",
        f"Message-ID: {_message_id(number)}",
    ]
    if reply_to:
        lines.append(f"In-Reply-To: {_message_id(reply_to)}")
        lines.append(f"References: {_message_id(max(1, reply_to - 3))}\r\n {_message_id(reply_to)}")
    if rng.random() < 0.3:
        lines.append(f"List-Id: A list <l{number % 15}.lists.{DOMAIN}>")
        lines.append(f"List-Unsubscribe: <https://lists.{DOMAIN}/leave/{number}>")
    lines.append("MIME-Version: 1.0")
    return lines


def _alternative(rng: random.Random, number: int) -> tuple[str, str]:
    """A text and an HTML rendering of the same prose, with its boundary."""
    boundary = f"=_alt_{number:08x}"
    prose = _prose(rng, int(rng.lognormvariate(3.2, 0.8)) + 4)
    plain = "\r\n".join(prose)
    html = "\r\n".join(
        f'<p style="margin:0 0 12px;font-family:Arial,sans-serif">{line}</p>' for line in prose
    )
    return boundary, (
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{plain}\r\n"
        f"--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: 8bit\r\n\r\n<html><body>\r\n{html}\r\n</body></html>\r\n--{boundary}--\r\n"
    )


def message(number: int) -> bytes:
    """The `number`-th message: about a third plain, a half text with HTML, the rest with an attachment."""
    rng = random.Random(number)
    header = _header(rng, number)
    kind = rng.random()
    if kind < 0.33:
        body = "\r\n".join(_prose(rng, int(rng.lognormvariate(3.0, 0.9)) + 3)) + "\r\n"
        if kind < 0.08:
            header += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64"]
            body = _base64_lines(f"Liebe Grüße\r\n{body}".encode())
        else:
            header += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    elif kind < 0.82:
        boundary, body = _alternative(rng, number)
        header.append(f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"')
    else:
        inner, alternative = _alternative(rng, number)
        outer = f"=_mix_{number:08x}"
        octets = rng.randbytes(min(int(rng.lognormvariate(9.82, 1.2)), _ATTACHMENT_LIMIT))
        header.append(f'Content-Type: multipart/mixed; boundary="{outer}"')
        body = (
            f'--{outer}\r\nContent-Type: multipart/alternative; boundary="{inner}"\r\n\r\n{alternative}'
            f'--{outer}\r\nContent-Type: application/pdf; name="report-{number}.pdf"\r\n'
            "Content-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment; filename="report-{number}.pdf"\r\n\r\n'
            f"{_base64_lines(octets)}--{outer}--\r\n"
        )
    return ("\r\n".join(header) + "\r\n\r\n" + body).encode()


def sized_message(number: int, octets: int) -> bytes:
    """A message for SMTP of `octets` (give or take a line): text, with a base64 part if it is large."""
    rng = random.Random(1_000_000 + number)
    header = _header(rng, number)[4:]
    text: list[str] = []
    if octets > 16_384:
        boundary = f"=_s_{number:08x}"
        header.append(f'Content-Type: multipart/mixed; boundary="{boundary}"')
        text += [f"--{boundary}", "Content-Type: text/plain; charset=utf-8", "", *_prose(rng, 20)]
        text += [f"--{boundary}", "Content-Type: image/jpeg", "Content-Transfer-Encoding: base64", ""]
        missing = octets - len("\r\n".join(header + text))
        text += _base64_lines(rng.randbytes(missing * 57 // 78)).split("\r\n")[:-1]
        text.append(f"--{boundary}--")
    else:
        header.append("Content-Type: text/plain; charset=utf-8")
        missing = octets - len("\r\n".join(header)) - 4
        while missing > 0:
            text.append(rng.choice(_sentences()))
            missing -= len(text[-1]) + 2
    return ("\r\n".join(header) + "\r\n\r\n" + "\r\n".join(text) + "\r\n").encode()


def outgoing_message(number: int, octets: int, sender: str) -> bytes:
    """A text message as a user's mail program submits it: no trace fields, no signature."""
    rng = random.Random(2_000_000 + number)
    header = [
        f"Date: {format_datetime(_START + timedelta(minutes=number))}",
        f"From: A Sender <{sender}>",
        f"To: {_word(rng).capitalize()} <{_word(rng)}@client.example>",
        f"Subject: {_subject(rng)}",
        f"Message-ID: {_message_id(3_000_000 + number)}",
        "User-Agent: Bench 1.0",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
    ]
    text: list[str] = []
    missing = octets - len("\r\n".join(header)) - 4
    while missing > 0:
        text.append(rng.choice(_sentences()))
        missing -= len(text[-1]) + 2
    return ("\r\n".join(header) + "\r\n\r\n" + "\r\n".join(text) + "\r\n").encode()


def load(directory: Path, count: int) -> list[bytes]:
    """The first `count` messages, from a cache file in `directory` that is made when it is missing."""
    path = directory / f"corpus-{EDITION}-{count}.bin"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        with unfinished.open("wb") as out:
            for number in range(1, count + 1):
                octets = message(number)
                out.write(struct.pack("<I", len(octets)) + octets)
        unfinished.rename(path)
    packed = path.read_bytes()
    messages, at = [], 0
    while at < len(packed):
        (size,) = struct.unpack_from("<I", packed, at)
        messages.append(packed[at + 4 : at + 4 + size])
        at += 4 + size
    return messages
