"""RFC 5228's own tests and actions, with its examples by section."""

import pytest

from postino.sieve import BadScript, Circumstances, SieveMessage, compile_script
from tests.unit.sieve.scripting import MESSAGE, done, holds


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        # §5.1
        ('address :is "from" "ann@example.org"', True),
        ('address :all "from" "ann@example.org"', True),
        ('address :localpart "from" "ann"', True),
        ('address :domain "from" "EXAMPLE.ORG"', True),
        ('address :is "from" "Ann Author"', False),
        ('address :is "to" "dora@example.net"', True),
        ('address :domain :contains ["from", "to"] "net"', True),
        ('address "cc" ""', False),
        ('address "resent-from" "ann@example.org"', False),
        # §5.2, §5.3, §5.8
        ("allof (true, true)", True),
        ("allof (true, false)", False),
        ("anyof (false, true)", True),
        ("anyof (false, false)", False),
        ("not false", True),
        ("not anyof (false, not true)", True),
        # §5.5
        ('exists "From"', True),
        ('exists ["From", "X-Empty"]', True),
        ('exists ["From", "X-Missing"]', False),
        # §5.9
        ("size :over 10", True),
        (f"size :over {len(MESSAGE)}", False),
        (f"size :under {len(MESSAGE)}", False),
        (f"size :under {len(MESSAGE) + 1}", True),
        ("size :over 1M", False),
    ],
)
def test_tests(test: str, answer: bool) -> None:
    assert holds(test) is answer


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        ('envelope "from" "ann@example.org"', True),
        ('envelope :localpart "from" "ann"', True),
        ('envelope :domain "to" "example.com"', True),
        ('envelope :all :is "to" "bob+shop@example.com"', True),
        ('envelope "auth" ""', False),
    ],
)
def test_the_envelope(test: str, answer: bool) -> None:
    assert holds(test, "envelope") is answer


@pytest.mark.parametrize("part", ["", ":all", ":localpart", ":domain"])
def test_the_null_reverse_path_has_the_empty_string_for_every_part(part: str) -> None:
    script = f'require "envelope"; if envelope {part} "from" "" {{ discard; }}'
    assert done(script, circumstances=Circumstances(envelope_from="")) == ["discard"]


@pytest.mark.parametrize(
    "test", [':all "from" "u@c.example"', ':localpart "from" "u"', '"from" "U@C.EXAMPLE"']
)
def test_a_source_route_is_no_part_of_an_envelope_address(test: str) -> None:
    circumstances = Circumstances(envelope_from="@a.example,@b.example:u@c.example")
    for form in (f"envelope {test}", f'not envelope :contains {test[: test.rindex(" ")]} "a.example"'):
        script = f'require "envelope"; if {form} {{ discard; }}'
        assert done(script, circumstances=circumstances) == ["discard"]


@pytest.mark.parametrize(
    "address",
    [
        "g: a@b.example;",
        "a@b.example, c@d.example",
        "<@r.example:a@b.example>",
        "Bart bart@b.example>",
        "x <>",
    ],
)
def test_mail_goes_to_one_address_without_a_route(address: str) -> None:
    with pytest.raises(BadScript, match="is not an address mail can be sent to"):
        compile_script(f'redirect "{address}";'.encode())


def test_only_fields_that_hold_addresses_are_read_as_addresses_also_by_variables() -> None:
    head = 'require "variables"; set "field" '
    tail = ' if address :contains "${field}" "ann" { discard; }'
    message = b"From: ann@example.org\r\nSubject: ann@example.org\r\nAuthor: ann@example.org\r\n\r\n"
    for field, actions in (("From", ["discard"]), ("Author", ["discard"]), ("Subject", ["keep"])):
        assert done(f'{head}"{field}";{tail}', message) == actions


@pytest.mark.parametrize(
    ("script", "actions"),
    [
        # §2.10.2: nothing said keeps; an action instead ends that.
        ("", ["keep"]),
        ("keep;", ["keep"]),
        ("discard;", ["discard"]),
        ("discard; keep;", ["discard", "keep"]),
        ("stop; discard;", ["keep"]),
        ("if true { stop; } discard;", ["keep"]),
        ('fileinto "INBOX.harassment";', ["fileinto INBOX.harassment"]),
        ('fileinto :copy "A";', ["fileinto A", "keep"]),
        ('redirect "bart@example.com";', ["redirect bart@example.com"]),
        # §2.4.2.3: a name may stand before the address.
        ('redirect "Bart <bart@example.com>";', ["redirect bart@example.com"]),
        ('redirect "\\"B. S.\\" <bart@example.com>";', ["redirect bart@example.com"]),
        ('redirect :copy "bart@example.com";', ["redirect bart@example.com", "keep"]),
        # §2.10.3: the same twice is done once.
        ('keep; keep; fileinto "A"; fileinto "A"; fileinto "B";', ["keep", "fileinto A", "fileinto B"]),
        ('redirect "a@b.c"; redirect "A@b.c";', ["redirect a@b.c"]),
        # §3.1
        ("if false { discard; } elsif true { keep; } else { discard; }", ["keep"]),
        ("if false { discard; } elsif false { discard; } else { keep; }", ["keep"]),
        ("if false { discard; } else { keep; } discard;", ["keep", "discard"]),
        # Nested, and a stop from within.
        ('if true { if true { fileinto "A"; stop; } fileinto "B"; } fileinto "C";', ["fileinto A"]),
    ],
)
def test_actions(script: str, actions: list[str]) -> None:
    assert done('require ["fileinto", "copy"];\r\n' + script) == actions


def test_encoded_characters_are_decoded_where_required() -> None:
    # §2.4.2.4, its table
    for written, text in [
        ("$${hex:40}", "$@"),
        ("${hex:c3}${hex:a9}", "é"),
        ("${hex: 40 }", "@"),
        ("${HEX: 40}", "@"),
        ("${hex:40", "${hex:40"),
        ("${hex:400}", "${hex:400}"),
        ("${hex:4${hex:30}}", "${hex:40}"),
        ("${unicode:40}", "@"),
        ("${ unicode:40}", "${ unicode:40}"),
        ("${UNICODE:40}", "@"),
        ("${UnICoDE:0000040}", "@"),
        ("${Unicode:40}", "@"),
        ("${unicode:41 3a9}", "AΩ"),
    ]:
        script = f'require ["fileinto", "encoded-character"]; fileinto "{written}";'
        assert done(script) == [f"fileinto {text}"], written
    assert done('require "fileinto"; fileinto "${hex:40}";') == ["fileinto ${hex:40}"]


def test_a_message_in_two_pieces_is_one() -> None:
    message = SieveMessage(b"Subject: x\r\n\r\n", b"body")
    assert holds("size :over 17", message=message)
    assert not holds("size :over 18", message=message)


def test_octets_that_are_no_text_are_compared_all_the_same() -> None:
    message = b"Subject: caf\xe9 \xff\r\nFrom: \xff\xfe@@@<<\r\n\r\n"
    assert holds('header :contains "subject" "caf"', message=message)
    assert not holds('address "from" "x"', message=message)
    assert not holds('header :is ["to", "subject"] "caf"', message=b"\xff\x00:\r\n" * 3)
