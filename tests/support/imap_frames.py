"""What a session would see of octets that come in chunks; the framer's tests and its fuzz target compare it."""

from postino.imap.bad_command import BadCommand
from postino.imap.framer import AppendData, AppendStarted, Framer, FramerLimits


def read_frames(chunks: list[bytes], limits: FramerLimits, *, accept: bool = True) -> list[object]:
    """All frames, with streamed data joined; an error ends up in the list, a fatal one ends it."""
    framer = Framer(limits)
    found: list[object] = []
    for chunk in chunks:
        framer.feed(chunk)
        while True:
            try:
                frame = framer.next()
                if isinstance(frame, AppendStarted):
                    if accept:
                        framer.accept_stream()
                    else:
                        framer.discard_stream()
            except BadCommand as error:
                found.append((error.tag, str(error), error.fatal))
                if error.fatal:
                    return found
                continue
            if frame is None:
                break
            last = found[-1] if found else None
            if isinstance(frame, AppendData) and isinstance(last, AppendData):
                found[-1] = AppendData(last.octets + frame.octets)
            else:
                found.append(frame)
    return found
