"""The grammar and the answers of access control lists."""

import pytest

from postino.core.flags import flag_set
from postino.core.rights import ALL_RIGHTS, NO_RIGHTS, AclMode, flag_mask, parse_rights, permitted_flags
from postino.imap.bad_command import BadCommand
from postino.imap.commands import (
    Command,
    DeleteAcl,
    GetAcl,
    ListRights,
    MyRights,
    ParseOptions,
    SetAcl,
    parse_command,
)
from postino.imap.framer import CommandFrame
from postino.imap.responses.acl import acl_response, list_rights_response, my_rights_response


def parse(*parts: bytes) -> Command:
    return parse_command(CommandFrame(parts), ParseOptions())


LR = parse_rights("lr")


@pytest.mark.parametrize(
    ("wire", "command"),
    [
        # RFC 4314 §3.1
        (
            b"A002 SETACL INBOX/Drafts Chris +cda",
            SetAcl(b"A002", "INBOX/Drafts", "Chris", AclMode.ADD, parse_rights("kxtea")),
        ),
        (b"a SETACL x y lr", SetAcl(b"a", "x", "y", AclMode.REPLACE, LR)),
        (b"a setacl x y -lr", SetAcl(b"a", "x", "y", AclMode.REMOVE, LR)),
        (b'a SETACL x -y ""', SetAcl(b"a", "x", "-y", AclMode.REPLACE, NO_RIGHTS)),
        (b'a SETACL x "y z" "+"', SetAcl(b"a", "x", "y z", AclMode.ADD, NO_RIGHTS)),
        (b'a SETACL x "\xc3\xbc" l', SetAcl(b"a", "x", "ü", AclMode.REPLACE, parse_rights("l"))),
        # §3.2 to §3.5
        (b"B002 DeleteAcl INBOX Fred", DeleteAcl(b"B002", "INBOX", "Fred")),
        (b"A002 GETACL INBOX", GetAcl(b"A002", "INBOX")),
        (b"a001 LISTRIGHTS ~/Mail/saved smith", ListRights(b"a001", "~/Mail/saved", "smith")),
        (b"A003 MYRIGHTS inbox", MyRights(b"A003", "INBOX")),
    ],
)
def test_commands(wire: bytes, command: Command) -> None:
    assert parse(wire) == command


def test_an_identifier_may_be_a_literal() -> None:
    assert parse(b"a DELETEACL x {2}", b"\xc3\xbc", b"") == DeleteAcl(b"a", "x", "ü")


@pytest.mark.parametrize(
    "wire",
    [
        b"a SETACL",
        b"a SETACL x",
        b"a SETACL x y",
        b"a SETACL x y lr more",
        b"a SETACL x y lrQ",
        b"a SETACL x y lrq",
        b"a SETACL x y l9",
        b"a SETACL x y ++l",
        b"a SETACL x y l+r",
        b'a SETACL x y "\xff"',
        b'a SETACL x "\xff" l',
        b"a SETACL x " + b"y" * 1025 + b" l",
        b"a DELETEACL x",
        b"a DELETEACL x y z",
        b"a GETACL",
        b"a GETACL x y",
        b"a LISTRIGHTS x",
        b"a MYRIGHTS",
        b"a MYRIGHTS x y",
        b"a UID MYRIGHTS x",
    ],
)
def test_what_is_no_command_is_bad(wire: bytes) -> None:
    with pytest.raises(BadCommand) as caught:
        parse(wire)
    assert (caught.value.tag, caught.value.status) == (b"a", "BAD")


def test_answers() -> None:
    assert acl_response("INBOX", [], utf8=False) == b"* ACL INBOX\r\n"
    assert (
        acl_response("a b", [("ann@x", ALL_RIGHTS), ("-ü", LR), ("nil", NO_RIGHTS)], utf8=False)
        == b'* ACL "a b" ann@x lrswipkxteacd {3}\r\n-\xc3\xbc lr "nil" ""\r\n'
    )
    assert (
        list_rights_response("x", "anyone", NO_RIGHTS, utf8=True)
        == b'* LISTRIGHTS x anyone "" l r s w i p k x t e a c d\r\n'
    )
    assert list_rights_response("x", "ann", ALL_RIGHTS, utf8=True) == b"* LISTRIGHTS x ann lrswipkxteacd\r\n"
    assert my_rights_response("ü", LR, utf8=False) == b"* MYRIGHTS &APw- lr\r\n"
    assert my_rights_response("ü", LR, utf8=True) == b'* MYRIGHTS "\xc3\xbc" lr\r\n'


@pytest.mark.parametrize(
    ("letters", "kept"),
    [
        ("s", "\\Seen"),
        ("t", "\\Deleted"),
        ("w", "\\Answered \\Flagged \\Draft $Work"),
        ("swt", "\\Seen \\Deleted \\Answered \\Flagged \\Draft $Work"),
        ("lripkxea", ""),
    ],
)
def test_each_flag_has_its_right(letters: str, kept: str) -> None:
    every = flag_set(["\\Seen", "\\Deleted", "\\Answered", "\\Flagged", "\\Draft", "$Work"])
    rights = parse_rights(letters)
    assert permitted_flags(rights, every) == flag_set(kept.split())
    assert flag_mask(rights) == flag_set(kept.split()).system
