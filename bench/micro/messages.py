"""MIME index and the facts derived at delivery, on messages of the corpus."""

from collections.abc import Iterator

from bench import corpus
from bench.micro.timing import Timing, time_call
from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.imap.envelope import encode_envelope
from postino.mime.index import index_message

_SAMPLES = 200


def timings() -> Iterator[Timing]:
    """Whole messages of the corpus, then plain ones of fixed sizes."""
    limits = Limits()
    sets = {
        "corpus, 16 KB mean": [corpus.message(number) for number in range(1, _SAMPLES + 1)],
        "text, 4 KB": [corpus.sized_message(number, 4096) for number in range(20)],
        "attachment, 60 KB": [corpus.sized_message(number, 61_440) for number in range(20)],
    }
    for name, messages in sets.items():
        mean = sum(map(len, messages)) // len(messages)
        count = len(messages)
        split = [(octets[: (at := octets.index(b"\r\n\r\n") + 4)], octets[at:]) for octets in messages]

        def index(messages: list[bytes] = messages) -> None:
            for octets in messages:
                index_message(octets, limits)

        def facts(split: list[tuple[bytes, bytes]] = split) -> None:
            for header, body in split:
                derive_facts(header, body, limits)

        def envelope(split: list[tuple[bytes, bytes]] = split) -> None:
            for header, _ in split:
                encode_envelope(header)

        yield time_call(f"mime index: {name}", index, calls=count, octets=mean)
        yield time_call(f"facts: {name}", facts, calls=count, octets=mean)
        yield time_call(f"envelope: {name}", envelope, calls=count)
