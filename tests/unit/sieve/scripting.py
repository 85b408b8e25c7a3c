"""Run a script over a message and say shortly what came of it, for tables."""

from postino.sieve import (
    NO_SURROUNDINGS,
    Action,
    Circumstances,
    Discard,
    FileInto,
    Keep,
    Redirect,
    Reject,
    SieveMessage,
    Surroundings,
    compile_script,
    run,
)

MESSAGE = (
    b"Return-Path: <ann@example.org>\r\n"
    b"Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Received: from c by a; Mon, 23 Nov 2026 09:59:00 +0000\r\n"
    b"From: Ann Author <Ann@Example.org>\r\n"
    b"To: Bob <bob+shop@example.com>, friends: carl@example.net, dora@example.net;\r\n"
    b"Cc: undisclosed-recipients:;\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from\r\n Ann\r\n"
    b"X-Caffeine: \t C8H10N4O2  \r\n"
    b"X-Empty:\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"\r\n"
    b"The body.\r\n"
)


def done(
    script: str,
    message: bytes | SieveMessage = MESSAGE,
    circumstances: Circumstances | None = None,
    surroundings: Surroundings = NO_SURROUNDINGS,
) -> list[str]:
    """What the script decides, a word or two for each action."""
    if circumstances is None:
        circumstances = Circumstances(
            envelope_from="ann@example.org",
            envelope_to="bob+shop@example.com",
            now=1_795_428_000.0,
            addresses=("bob@example.com",),
        )
    evaluation = run(compile_script(script.encode()), message, circumstances, surroundings)
    if evaluation.fault is not None:
        return [f"fault: {evaluation.fault.words}"]
    return [shown(action) for action in evaluation.actions]


def holds(test: str, *requires: str, message: bytes | SieveMessage = MESSAGE) -> bool:
    """Whether a test is true."""
    names = ", ".join(f'"{name}"' for name in requires)
    head = f"require [{names}];\r\n" if names else ""
    found = done(f"{head}if {test} {{ discard; }}", message)
    assert found in (["discard"], ["keep"]), found
    return found == ["discard"]


def shown(action: Action) -> str:
    """One action."""
    match action:
        case Keep():
            words = "keep"
            flags = action.flags
        case FileInto():
            words = f"fileinto {action.target.mailbox}"
            flags = action.target.flags
        case Redirect():
            return f"redirect {action.address}"
        case Reject():
            return f"reject {action.reason}"
        case Discard():
            return "discard"
        case _:
            return type(action).__name__.lower()
    return f"{words} {' '.join(flags)}" if flags else words
