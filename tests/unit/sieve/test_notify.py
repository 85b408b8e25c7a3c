"""enotify by mail and fcc, with the examples of RFC 5435, 5436 and 8580 by section."""

import pytest

from postino.sieve import (
    BadScript,
    Circumstances,
    SendNotification,
    Target,
    Vacation,
    compile_script,
    run,
)
from tests.unit.sieve.scripting import MESSAGE, done, holds


def notified(script: str) -> list[SendNotification]:
    evaluation = run(compile_script(script.encode()), MESSAGE)
    assert evaluation.fault is None
    return [action for action in evaluation.actions if isinstance(action, SendNotification)]


def test_notify_says_how_what_and_how_urgently() -> None:
    """RFC 5435 §3.7, the first example."""
    (found,) = notified(
        'require ["enotify", "fileinto", "variables"];\r\n'
        'if header :matches "Subject" "*" { set "subject" "${1}"; }\r\n'
        'if header :matches "From" "*" { set "from" "${1}"; }\r\n'
        'notify :importance "3" :message "[SIEVE] ${from}: ${subject}" "mailto:alm@example.com";\r\n'
        'fileinto "INBOX.sieve";'
    )
    assert found.method == "mailto:alm@example.com"
    assert found.importance == "3"
    assert found.message == "[SIEVE] Ann Author <Ann@Example.org>: Gr\u00fc\u00dfe from Ann"


def test_what_is_left_out_has_its_default() -> None:
    (found,) = notified('require "enotify"; notify "mailto:a@example.org";')
    assert (found.importance, found.message, found.from_address, found.options) == ("2", "", "", ())
    assert found.fcc is None


def test_notify_leaves_the_keep_and_goes_with_everything() -> None:
    """RFC 5435 §7."""
    assert done('require "enotify"; notify "mailto:a@example.org";') == ["sendnotification", "keep"]
    script = 'require ["enotify", "reject"]; reject "no"; notify "mailto:a@example.org";'
    assert done(script) == ["reject no", "sendnotification"]


def test_made_texts_go_into_a_uri_encoded() -> None:
    """RFC 5435 §6."""
    (found,) = notified(
        'require ["enotify", "variables"]; set :encodeurl "body_param" "Safe body&evil=evilbody";\r\n'
        'notify "mailto:tim@example.com?body=${body_param}";'
    )
    assert found.method == "mailto:tim@example.com?body=Safe%20body%26evil%3Devilbody"


@pytest.mark.parametrize(
    ("uri", "valid"),
    [
        ("mailto:a@example.org", True),
        ("MAILTO:a@example.org", True),
        ("mailto:a@example.org,b@example.org", True),
        ("mailto:?to=a@example.org", True),
        ("mailto:?to=a%40example.org&cc=b@example.org", True),
        # RFC 5436 §3
        ("mailto:backup-address@example.com?subject=You%20have%20mail&importance=high", True),
        ("mailto:a%25b@example.org", True),
        ("mailto:", False),
        ("mailto:?subject=x", False),
        ("mailto:nobody", False),
        ("mailto:a@example.org,", False),
        ("mailto:a@example.org?body", False),
        ("mailto:a@example.org?=x", False),
        ("mailto:a@example.org?body=two words", False),
        ("mailto:a@example.org?body=%zz", False),
        ("mailto:a@example.org?body=\u00e4", False),
        ("mailto:a@example.org?a%0Db=c", False),
        ("mailto:" + ",".join(f"a{number}@example.org" for number in range(9)), False),
        ("mailto:a@example.org?body=" + "x" * 8000, False),
        ("xmpp:tim@example.com?message;subject=SIEVE", False),
        ("tel:+14085551212", False),
        # RFC 5435 §4
        ("http://gw.example.net/notify?test", False),
        ("", False),
    ],
)
def test_methods_are_checked_alike_by_the_test_and_the_action(uri: str, valid: bool) -> None:
    """RFC 5435 §3.2 and §4."""
    assert holds(f'valid_notify_method "{uri}"', "enotify") is valid
    assert holds(f'valid_notify_method ["{uri}", "mailto:b@example.org"]', "enotify") is valid
    found = done(f'require ["enotify", "variables"]; set "uri" "{uri}"; notify "${{uri}}";')
    assert (found == ["sendnotification", "keep"]) is valid
    assert valid or found[0].startswith("fault: nobody can be notified: ")


def test_bad_mailto_uris_are_found_at_once_and_other_schemes_when_they_are_run() -> None:
    """RFC 5435 §3.2."""
    with pytest.raises(BadScript, match=r"This cannot be notified: .*no address"):
        compile_script(b'require "enotify"; notify "mailto:nobody";')
    script = compile_script(
        b'require "enotify"; if valid_notify_method "tel:+1" { notify "tel:+1"; } else { discard; }'
    )
    assert ["mailto: only, not by tel:" in fault.words for fault in script.warnings] == [True]
    assert run(script, MESSAGE).fault is None
    assert done('require "enotify"; notify "tel:+1";')[0].startswith("fault: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (':importance "4" "mailto:a@example.org"', ':importance is "1"'),
        (':from "nobody" "mailto:a@example.org"', ":from takes one address"),
        (':options ["a"] "mailto:a@example.org"', "no option"),
        (':options [".a=b"] "mailto:a@example.org"', "no option"),
        (':options ["a=b\r\nc"] "mailto:a@example.org"', "no option"),
        (':create "mailto:a@example.org"', ":create .* needs require"),
    ],
)
def test_bad_tags(arguments: str, words: str) -> None:
    with pytest.raises(BadScript, match=words):
        compile_script(f'require "enotify"; notify {arguments};'.encode())


def test_tags_made_when_the_script_runs() -> None:
    head = 'require ["enotify", "variables"]; set "x" "9";'
    assert done(head + 'notify :importance "${x}" "mailto:a@example.org";')[0].startswith("fault: ")
    # RFC 5435 §3.3: what is no address is ignored.
    (found,) = notified(head + 'notify :from "${x}" :options ["o=${x}"] "mailto:a@example.org";')
    assert (found.from_address, found.options) == ("", ("o=9",))


def test_an_address_is_told_once() -> None:
    """RFC 5436 §2.7."""
    found = notified(
        'require "enotify"; notify :message "a" "mailto:a@example.org";\r\n'
        'notify :message "b" "mailto:?to=A%40Example.org";\r\n'
        'notify :message "c" "mailto:a@example.org,b@example.org";'
    )
    assert [action.message for action in found] == ["a", "c"]


def test_how_often_a_script_notifies_is_limited() -> None:
    """RFC 5435 §8."""
    commands = "".join(f'notify "mailto:a{number}@example.org";' for number in range(5))
    assert done(f'require "enotify"; {commands}') == ["fault: more than 4 notifications were asked for"]


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        ('"mailto:a@example.org" "Online" "maybe"', True),
        ('"mailto:a@example.org" "online" ["yes", "no"]', False),
        ('"mailto:a@example.org" "colour" "maybe"', False),
        ('"xmpp:tim@example.com?message;subject=SIEVE" "Online" "maybe"', False),
        ('"mailto:nobody" "online" "maybe"', False),
        # RFC 8580 §6.1: the scheme is enough.
        ('"mailto:" "fcc" "yes"', True),
        ('"xmpp:" "fcc" "yes"', False),
        (':count "eq" "mailto:" "online" "1"', True),
        (':count "eq" "mailto:" "colour" "0"', False),
    ],
)
def test_what_a_method_can_do(test: str, answer: bool) -> None:
    """RFC 5435 §5."""
    assert holds(f"notify_method_capability {test}", "enotify", "relational") is answer


def test_copies_of_what_is_sent_are_filed() -> None:
    """RFC 8580 §5 and §6."""
    script = (
        'require ["vacation", "fcc", "mailbox", "special-use", "imap4flags"];\r\n'
        'vacation :days 7 :from "hemingway@example.com" :specialuse "\\\\Sent" :create\r\n'
        ' :fcc "INBOX.Sent" :flags ["\\\\Seen"] :addresses "carl@example.net" "Gone Fishin\'";'
    )
    facts = Circumstances(envelope_from="ann@example.org", envelope_to="carl@example.net")
    (found, _) = run(compile_script(script.encode()), MESSAGE, facts).actions
    assert isinstance(found, Vacation)
    assert found.fcc == Target(mailbox="INBOX.Sent", create=True, special_use="\\Sent", flags=("\\Seen",))
    (told,) = notified(
        'require ["enotify", "fcc", "mailboxid"];\r\n'
        'notify :fcc "INBOX.Sent" :mailboxid "F1" :message "You got mail!" "mailto:ken@example.com";'
    )
    assert told.fcc == Target(mailbox="INBOX.Sent", mailbox_id="F1")


@pytest.mark.parametrize(
    ("names", "arguments", "words"),
    [
        ('"fcc", "mailbox"', ":create", ":create says how :fcc files"),
        ('"fcc", "imap4flags"', ':flags "a"', ":flags says how :fcc files"),
        ('"fcc", "special-use"', ':specialuse "a"', ":specialuse says how :fcc files"),
        ('"fcc"', ':fcc "A" :create', ":create of notify needs require .mailbox"),
        ('"mailbox"', ':fcc "A"', ":fcc of notify needs require .fcc"),
        ('"fcc"', ':fcc ""', "no name to file under"),
    ],
)
def test_bad_copies(names: str, arguments: str, words: str) -> None:
    with pytest.raises(BadScript, match=words):
        compile_script(f'require ["enotify", {names}]; notify {arguments} "mailto:a@b.example";'.encode())


def test_a_copy_cannot_go_to_a_mailbox_without_a_name() -> None:
    script = 'require ["enotify", "fcc", "variables"]; notify :fcc "${none}" "mailto:a@example.org";'
    assert done(script) == ["fault: the copy cannot be filed: a mailbox has a name"]
