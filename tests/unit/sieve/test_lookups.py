"""What scripts look up: mailboxes, uses, ids, annotations, lists; RFC 5490, 8579, 9042 and 6134 by section."""

import pytest

from postino.sieve import BadScript, Circumstances, FileInto, Redirect, compile_script, run
from postino.sieve.circumstances import NoSurroundings
from tests.unit.sieve.scripting import MESSAGE, done

_BOOK = "urn:ietf:params:sieve:addrbook:default"


class House(NoSurroundings):
    """Two mailboxes, an annotation, three lists."""

    def mailbox_exists(self, name: str) -> bool:
        return name in ("INBOX", "Partners")

    def mailbox_of_id(self, mailbox_id: str) -> str | None:
        return {"F6352ae03-b7f5-463c-896f-d8b48ee3": "Partners"}.get(mailbox_id)

    def special_use_mailbox(self, use: str) -> str | None:
        return {"\\junk": "Partners", "\\archive": "Partners"}.get(use.lower())

    def special_uses(self, mailbox: str) -> tuple[str, ...]:
        return ("\\Junk", "\\Archive") if mailbox == "Partners" else ()

    def metadata(self, mailbox: str | None, annotation: str) -> str | None:
        return {
            ("INBOX", "/private/vendor/vendor.isode/auto-replies"): "on",
            (None, "/private/vendor/vendor.isode/notification-uri"): "mailto:me@example.org",
            (None, "/shared/empty"): "",
        }.get((mailbox, annotation))

    def has_list(self, name: str) -> bool:
        return name in (_BOOK, "tag:example.com,2010-05-28:mylist", "urn:ietf:params:sieve:addrbook:Work")

    def in_list(self, name: str, value: str) -> bool:
        return (name == _BOOK and value.lower() == "ann@example.org") or value in self.list_members(name)

    def list_members(self, name: str) -> tuple[str, ...]:
        if name == _BOOK:
            return ()
        return (*tuple(f"m{number}@example.net" for number in range(6)), "Ann@Example.org")


HOUSE = House()


def holds(test: str, *requires: str) -> bool:
    names = ", ".join(f'"{name}"' for name in requires)
    found = done(f"require [{names}]; if {test} {{ discard; }}", MESSAGE, None, HOUSE)
    assert found in (["discard"], ["keep"]), found
    return found == ["discard"]


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        # RFC 5490 §3.1
        ('mailboxexists "Partners"', True),
        ('mailboxexists ["INBOX", "Partners"]', True),
        ('mailboxexists ["INBOX", "Nowhere"]', False),
        # RFC 8579 §3
        ('specialuse_exists "\\\\Junk"', True),
        ('specialuse_exists ["\\\\junk", "\\\\ARCHIVE"]', True),
        ('specialuse_exists ["\\\\Junk", "\\\\Sent"]', False),
        ('specialuse_exists "Partners" "\\\\Junk"', True),
        ('specialuse_exists "Partners" ["\\\\JUNK", "\\\\archive"]', True),
        ('specialuse_exists "Partners" ["\\\\Junk", "\\\\Sent"]', False),
        ('specialuse_exists "INBOX" "\\\\Junk"', False),
        ('specialuse_exists "Nowhere" "\\\\Junk"', False),
        # RFC 9042 §4
        ('mailboxidexists "F6352ae03-b7f5-463c-896f-d8b48ee3"', True),
        ('mailboxidexists ["F6352ae03-b7f5-463c-896f-d8b48ee3", "F2"]', False),
        # RFC 5490 §3.3, §3.4
        ('metadata :is "INBOX" "/private/vendor/vendor.isode/auto-replies" "on"', True),
        ('metadata "INBOX" "/private/vendor/vendor.isode/auto-replies" ["off", "ON"]', True),
        ('metadata :contains "Partners" "/private/vendor/vendor.isode/auto-replies" ""', False),
        ('metadataexists "INBOX" "/private/vendor/vendor.isode/auto-replies"', True),
        ('metadataexists "INBOX" ["/private/vendor/vendor.isode/auto-replies", "/shared/x"]', False),
        # RFC 5490 §4.1, §4.2
        ('servermetadata :matches "/private/vendor/vendor.isode/notification-uri" "mailto:*"', True),
        ('servermetadata "/private/vendor/vendor.isode/notification-uri" "none"', False),
        ('servermetadata "/shared/empty" ""', True),
        ('servermetadata "/shared/missing" ""', False),
        ('servermetadataexists ["/shared/empty"]', True),
        ('servermetadataexists ["/shared/empty", "/shared/missing"]', False),
    ],
)
def test_lookups(test: str, answer: bool) -> None:
    names = ("mailbox", "special-use", "mailboxid", "mboxmetadata", "servermetadata")
    assert holds(test, *names) is answer


def test_annotations_have_names_of_a_kind() -> None:
    script = compile_script(b'require "servermetadata"; if servermetadata "/comment" "a" { stop; }')
    assert ["/shared/ or /private/" in fault.words for fault in script.warnings] == [True]


def test_where_fileinto_goes() -> None:
    """RFC 5490 §3.2, 8579 §4 and §6, 9042 §3."""
    script = (
        'require ["fileinto", "special-use", "mailbox", "mailboxid"];\r\n'
        'fileinto :specialuse "\\\\Junk" :create :mailboxid "F1" "Spam";'
    )
    (found,) = run(compile_script(script.encode()), MESSAGE).actions
    assert isinstance(found, FileInto)
    target = found.target
    assert (target.mailbox, target.special_use, target.create, target.mailbox_id) == (
        "Spam", "\\Junk", True, "F1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        # RFC 6134 §2.5: the same name in other letters.
        ('envelope :list "from" ":addrbook:default"', True),
        ('envelope :list "from" ":ADDRBOOK:DEFAULT"', True),
        ('envelope :list "from" ":aDdRbOOk:DeFauLt"', True),
        ('envelope :list "from" ":AddrBook:%44%65%66ault"', True),
        ('envelope :list "from" "urn:ietf:params:sieve:addrbook:default"', True),
        ('envelope :list "from" "URN:IETF:params:sieve:addrbook:default"', True),
        ('envelope :list "to" ":addrbook:default"', False),
        ('envelope :list "to" [":addrbook:default", "tag:example.com,2010-05-28:mylist"]', False),
        ('address :list "from" "tag:example.com,2010-05-28:mylist"', True),
        # RFC 6134 §2.9.3: a whole field.
        ('header :list "from" "tag:example.com,2010-05-28:mylist"', True),
        ('header :list "subject" "tag:example.com,2010-05-28:mylist"', False),
        ('string :list " m1@example.net " "tag:example.com,2010-05-28:mylist"', True),
        # RFC 6134 §2.7
        ('valid_ext_list ":addrbook:default"', True),
        ('valid_ext_list [":addrbook:default", ":addrbook:%57ork"]', True),
        ('valid_ext_list ":addrbook:work"', False),
        ('valid_ext_list [":addrbook:default", "tag:example.com,2011:other"]', False),
        ('valid_ext_list "no URI"', False),
        ('valid_ext_list ":addrbook:"', False),
    ],
)
def test_lists(test: str, answer: bool) -> None:
    assert holds(test, "extlists", "envelope", "variables") is answer


def test_what_was_found_in_a_list_is_the_first_piece() -> None:
    """RFC 6134 §2.2."""
    script = (
        'require ["extlists", "variables", "fileinto"];\r\n'
        'if header :list ["subject", "from"] ":addrbook:default" { fileinto "${0}"; }'
    )
    assert done(script, MESSAGE, None, HOUSE) == ["fileinto Ann@Example.org"]


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ('header :list :comparator "i;octet" "from" ":addrbook:default"', "remove :comparator"),
        ('header :list "from" "friends"', "cannot be the name of a list"),
        ('environment :list "name" ":addrbook:default"', ":list is for address, envelope"),
        ('header :list :contains "from" ":addrbook:default"', "exclude each other"),
    ],
)
def test_bad_uses_of_lists(test: str, words: str) -> None:
    """RFC 6134 §2.2."""
    with pytest.raises(BadScript, match=words):
        compile_script(f'require ["extlists", "environment"]; if {test} {{ stop; }}'.encode())


def test_a_list_that_is_not_there_ends_the_script() -> None:
    script = 'require "extlists"; if header :list "from" "tag:example.com,2011:other" { discard; }'
    assert done(script, MESSAGE, None, HOUSE) == ["fault: there is no list 'tag:example.com,2011:other'"]


def test_redirect_to_a_list() -> None:
    """RFC 6134 §2.3: a list counts as one address, and who is told knows of which list it was."""
    name = "tag:example.com,2010-05-28:mylist"
    script = compile_script(f'require "extlists"; redirect :list "{name}";'.encode())
    evaluation = run(script, MESSAGE, Circumstances(), HOUSE)
    assert evaluation.fault is None
    sent = [action for action in evaluation.actions if isinstance(action, Redirect)]
    assert len(sent) == len(evaluation.actions) == 7
    assert {action.list_name for action in sent} == {name}


def test_a_list_that_cannot_be_read_is_not_redirected_to() -> None:
    (found,) = done('require "extlists"; redirect :list ":addrbook:default";', MESSAGE, None, HOUSE)
    assert found == "fault: the list ':addrbook:default' names nobody the message could be sent to"
    (found,) = done('require "extlists"; redirect :list "tag:example.com,2:x";', MESSAGE, None, HOUSE)
    assert found.startswith("fault: there is no list")
    with pytest.raises(BadScript, match="cannot be the name of a list"):
        compile_script(b'require "extlists"; redirect :list "a@example.org";')
