"""The grammar of QUOTA, METADATA, NOTIFY and LANGUAGE: RFC examples by section, then refusals."""

import time

import pytest

from postino.imap import commands as c
from postino.imap.commands.language import choose_language
from postino.imap.commands.notify import Event, EventGroup, Where
from postino.imap.fetch_item import FetchAtt
from postino.imap.framer import CommandFrame
from postino.imap.notify_filter import NotifyFilter

NEW = frozenset({Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE})


def parse(*parts: bytes) -> c.Command:
    return c.parse_command(CommandFrame(parts), c.ParseOptions())


WIRE: list[tuple[bytes, c.Command]] = [
    # RFC 9208 §4.1.1, §4.1.2, §4.1.3
    (b'G0001 GETQUOTA "!partition/sda4"', c.GetQuota(b"G0001", b"!partition/sda4")),
    (b"G0002 GETQUOTAROOT INBOX", c.GetQuotaRoot(b"G0002", "INBOX")),
    (
        b'S0001 SETQUOTA "#user/alice" (STORAGE 510)',
        c.SetQuota(b"S0001", b"#user/alice", (("STORAGE", 510),)),
    ),
    # RFC 2087 §4.1, §4.2
    (b'A001 SETQUOTA "" (STORAGE 512)', c.SetQuota(b"A001", b"", (("STORAGE", 512),))),
    (b'A003 GETQUOTA ""', c.GetQuota(b"A003", b"")),
    (b"a SETQUOTA x ()", c.SetQuota(b"a", b"x", ())),
    # RFC 5464 §4.2, §4.2.1, §4.2.2, §4.3, §4.4.1
    (b'a GETMETADATA "" /shared/comment', c.GetMetadata(b"a", "", ("/shared/comment",))),
    (
        b'a GETMETADATA "INBOX" (/shared/comment /private/comment)',
        c.GetMetadata(b"a", "INBOX", ("/shared/comment", "/private/comment")),
    ),
    (
        b'a GETMETADATA "INBOX" (MAXSIZE 1024) (/shared/comment /private/comment)',
        c.GetMetadata(b"a", "INBOX", ("/shared/comment", "/private/comment"), max_size=1024),
    ),
    (
        b'a GETMETADATA "INBOX" (DEPTH 1) (/private/filters/values)',
        c.GetMetadata(b"a", "INBOX", ("/private/filters/values",), depth=1),
    ),
    (
        b"a GETMETADATA (depth INFINITY maxsize 5) INBOX /Private/X",
        c.GetMetadata(b"a", "INBOX", ("/Private/X",), depth=None, max_size=5),
    ),
    (
        b'a GETMETADATA "INBOX" /private/comment /shared/comment',
        c.GetMetadata(b"a", "INBOX", ("/private/comment", "/shared/comment")),
    ),
    (
        b"a SETMETADATA INBOX (/private/comment NIL)",
        c.SetMetadata(b"a", "INBOX", (("/private/comment", None),)),
    ),
    (
        b'a SETMETADATA INBOX (/private/Comment "My new comment" /shared/comment "This one is for you!")',
        c.SetMetadata(
            b"a",
            "INBOX",
            (("/private/comment", b"My new comment"), ("/shared/comment", b"This one is for you!")),
        ),
    ),
    # RFC 9590 §4
    (
        b'A00 LIST "" % RETURN (METADATA ("/shared/vendor/cmu/cyrus-imapd/color"))',
        c.List(b"A00", "", ("%",), annotations=("/shared/vendor/cmu/cyrus-imapd/color",), extended=True),
    ),
    # RFC 5465 §3.1, §6
    (b"a NOTIFY NONE", c.Notify(b"a", ())),
    (
        b"a notify set (mailboxes INBOX (Messagenew messageExpunge)) (personal (SubscriptionChange))",
        c.Notify(
            b"a",
            (
                EventGroup(Where.MAILBOXES, ("INBOX",), NEW),
                EventGroup(Where.PERSONAL, (), frozenset({Event.SUBSCRIPTION_CHANGE})),
            ),
        ),
    ),
    (
        (
            b"a notify set (selected (Messagenew (uid flags) messageExpunge)) (inboxes (MessageNew FlagChange"
            b" MessageExpunge))"
        ),
        c.Notify(
            b"a",
            (
                EventGroup(Where.SELECTED, (), NEW, (FetchAtt.UID, FetchAtt.FLAGS)),
                EventGroup(Where.INBOXES, (), NEW | {Event.FLAG_CHANGE}),
            ),
        ),
    ),
    (
        (
            b"b notify set status (selected MessageNew (uid) MessageExpunge) (subtree (Lists a) MessageExpunge"
            b" MessageNew)"
        ),
        c.Notify(
            b"b",
            (
                EventGroup(Where.SELECTED, (), NEW, (FetchAtt.UID,)),
                EventGroup(Where.SUBTREE, ("Lists", "a"), NEW),
            ),
            status=True,
        ),
    ),
    (
        b"a NOTIFY SET (selected-delayed NONE)",
        c.Notify(b"a", (EventGroup(Where.SELECTED_DELAYED, (), frozenset()),)),
    ),
    # RFC 5255 §3.2
    (b"A003 LANGUAGE", c.Language(b"A003", None)),
    (b"E001 LANGUAGE FR-CA EN-CA", c.Language(b"E001", ("FR-CA", "EN-CA"))),
    (b'D003 LANGUAGE "default" *', c.Language(b"D003", ("default", "*"))),
]


@pytest.mark.parametrize(("wire", "command"), WIRE, ids=[wire[:70].decode() for wire, _ in WIRE])
def test_parse(wire: bytes, command: c.Command) -> None:
    assert parse(wire) == command
    assert parse(wire + b" ") == command, "a space before the line end does no harm"


def test_values_may_be_literals_of_any_octets() -> None:
    found = parse(b"a SETMETADATA x (/private/a {3+}", b"a\r\n", b" /private/b ~{2}", b"\0\xff", b")")
    assert found == c.SetMetadata(b"a", "x", (("/private/a", b"a\r\n"), ("/private/b", b"\0\xff")))
    with pytest.raises(c.BadCommand, match="NUL"):
        parse(b"a SETMETADATA x (/private/a {1}", b"\0", b")")


MANY = b" ".join(b"/private/e%d" % n for n in range(102))
REFUSED: list[tuple[bytes, str]] = [
    (b"a SETQUOTA x (" + b" ".join(b"R%d 1" % n for n in range(21)) + b")", "at most 20 resources"),
    (b"a SETQUOTA x (STORAGE 99999999999999999999)", "SETQUOTA needs"),
    (b"a GETQUOTA " + b"x" * 1001, "too long"),
    (b"a GETMETADATA x " + MANY, "At most 100 entries"),
    (b"a SETMETADATA x (" + MANY.replace(b" ", b" NIL ") + b" NIL)", "at most 100 entries"),
    (b"a GETMETADATA x /private/" + b"x" * 300, "path below"),
    (b"a GETMETADATA x /privately/x", "path below"),
    (b'a GETMETADATA x "/private/a\tb"', "path below"),
    (b"a GETMETADATA (MAXSIZE -1) x /private/a", "options"),
    (b"a GETMETADATA x ()", "path below|options|needs"),
    (b"a NOTIFY SET " + b" ".join([b"(personal NONE)"] * 51), "at most 50 event groups"),
    (
        b"a NOTIFY SET (mailboxes (" + b" ".join(b"m%d" % n for n in range(1001)) + b") NONE)",
        "at most 1000 mailboxes",
    ),
    (b"a NOTIFY", "NOTIFY takes"),
    (b"a NOTIFY SOME", "NOTIFY takes"),
    (b"a NOTIFY SET (personal (NONE MailboxName))", "NOTIFY takes"),
    (b"a NOTIFY SET (personal (MailboxName)", "NOTIFY takes"),
    (b"a LANGUAGE " + b" ".join([b"de"] * 51), "at most 50 languages"),
]


@pytest.mark.parametrize(("wire", "message"), REFUSED, ids=[wire[:60].decode() for wire, _ in REFUSED])
def test_refuse(wire: bytes, message: str) -> None:
    with pytest.raises(c.BadCommand, match=message) as caught:
        parse(wire)
    assert caught.value.status == "BAD"


def test_the_first_language_that_is_spoken_is_chosen() -> None:
    assert choose_language(["fr-CA", "en-Latn-US", "*"]) == "EN"
    assert choose_language(["fr", "*"]) == "i-default"
    assert choose_language(["english", "de", "-"]) is None


def test_a_mailbox_is_watched_by_every_group_that_means_it() -> None:
    command = parse(
        b"a NOTIFY SET (selected (MessageNew MessageExpunge)) (subscribed (MailboxName))"
        b" (subtree Work (MessageNew MessageExpunge)) (mailboxes Work/x (SubscriptionChange))"
        b" (inboxes (MailboxMetadataChange))"
    )
    assert isinstance(command, c.Notify)
    wanted = NotifyFilter(command.groups)
    everything = NEW | {Event.MAILBOX_NAME, Event.SUBSCRIPTION_CHANGE, Event.MAILBOX_METADATA_CHANGE}
    assert wanted.events("Work/x", subscribed=True) == everything
    assert wanted.events("Work/x", subscribed=True, is_selected=True) == everything - NEW
    assert wanted.events("Work", subscribed=False) == NEW | {Event.MAILBOX_METADATA_CHANGE}
    assert wanted.events("Workshop", subscribed=False) == {Event.MAILBOX_METADATA_CHANGE}
    assert wanted.events("Shared/bob/Work", subscribed=True) == {Event.MAILBOX_NAME}
    assert wanted.events("Shared/bob/Work", subscribed=False) == frozenset()
    assert wanted.selected.events == NEW
    assert not wanted.selected.delays_expunges


def test_asking_about_a_mailbox_costs_the_same_however_many_names_are_watched() -> None:
    def seconds(names: int) -> float:
        groups = b" ".join(
            b"(%b (%b) (MailboxName))" % (where, b" ".join(b"w%d" % number for number in range(names)))
            for where in (b"subtree", b"mailboxes")
        )
        command = parse(b"a NOTIFY SET " + groups)
        assert isinstance(command, c.Notify)
        wanted = NotifyFilter(command.groups)
        began = time.process_time()
        for number in range(5000):
            wanted.events(f"m{number}/x", subscribed=False)
        return time.process_time() - began

    assert seconds(500) < 20 * max(seconds(1), 0.001)
