"""Address lists: RFC 5322 §3.4, §4.4 and appendix A; what senders really write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.mime.address import MAX_ADDRESSES, Group, Mailbox, parse_address_list


def box(local: bytes, domain: bytes, name: bytes | None = None, route: bytes | None = None) -> Mailbox:
    return Mailbox(name, route, local, domain)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 5322 appendix A.1.1 and A.1.2
        (b"John Doe <jdoe@machine.example>", [box(b"jdoe", b"machine.example", b"John Doe")]),
        (b'"Joe Q. Public" <john.q.public@example.com>', [box(b"john.q.public", b"example.com", b"Joe Q. Public")]),
        (
            b"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
            [box(b"mary", b"x.test", b"Mary Smith"), box(b"jdoe", b"example.org"), box(b"one", b"y.test", b"Who?")],
        ),
        (
            b'<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
            [box(b"boss", b"nil.test"), box(b"sysservices", b"example.net", b'Giant; "Big" Box')],
        ),
        # appendix A.1.3
        (
            b"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
            [Group(b"A Group", [box(b"c", b"a.test", b"Ed Jones"), box(b"joe", b"where.test"),
                                box(b"jdoe", b"one.test", b"John")])],
        ),
        (b"Undisclosed recipients:;", [Group(b"Undisclosed recipients", [])]),
        # appendix A.5
        (
            b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
            [box(b"pete", b"silly.test", b"Pete")],
        ),
        (
            (b"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n"
            b"         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)"),
            [Group(b"A Group", [box(b"c", b"public.example", b"Chris Jones"), box(b"joe", b"example.org"),
                                box(b"jdoe", b"one.test", b"John")])],
        ),
        (b"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", [Group(b"Hidden recipients", [])]),
        # appendix A.6.1
        (b"Joe Q. Public <john.q.public@example.com>", [box(b"john.q.public", b"example.com", b"Joe Q. Public")]),
        (
            b"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
            [box(b"mary", b"example.net", b"Mary Smith", b"@node.test"), box(b"jdoe", b"test.example")],
        ),
        # appendix A.6.3
        (b"Mary Smith\r\n  \r\n          <mary@example.net>", [box(b"mary", b"example.net", b"Mary Smith")]),
        # RFC 5322 §4.4
        (b"<@a.test,@b.test:c@d.test>", [box(b"c", b"d.test", None, b"@a.test,@b.test")]),
        (b"pete . smith @ example.org", [box(b"pete.smith", b"example.org")]),
        # RFC 5321 §4.1.3, 5322 §3.4.1
        (b"a@[192.0.2.1]", [box(b"a", b"[192.0.2.1]")]),
        (b'"very unusual"@example.org', [box(b"very unusual", b"example.org")]),
        (b'"x\\"y"@example.org', [box(b'x"y', b"example.org")]),
        # RFC 2047 §8, RFC 6532
        (
            b"=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>",
            [box(b"PIRARD", b"vm1.ulg.ac.be", b"=?ISO-8859-1?Q?Andr=E9?= Pirard")],
        ),
        (
            b"Nathaniel Borenstein <nsb@thumper.bellcore.com>\r\n      (=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=)",
            [box(b"nsb", b"thumper.bellcore.com", b"Nathaniel Borenstein")],
        ),
        ("Jürgen <jürgen@müller.example>".encode(),
         [box("jürgen".encode(), "müller.example".encode(), "Jürgen".encode())]),
        # met in mail
        (b"ann@example.org (Ann Smith)", [box(b"ann", b"example.org", b"Ann Smith")]),
        (b"MAILER-DAEMON", [box(b"MAILER-DAEMON", b"")]),
        (b"Mail Delivery System", [box(b"Mail Delivery System", b"")]),
        (b"Ann Smith ann@example.org", [box(b"ann", b"example.org", b"Ann Smith")]),
        (b"Smith, John <js@example.org>", [box(b"Smith", b""), box(b"js", b"example.org", b"John")]),
        (b"=?utf-8?Q?Smith,_John?= <js@example.org>", [box(b"js", b"example.org", b"=?utf-8?Q?Smith,_John?=")]),
        (b"ann@example.org <ann@example.org>", [box(b"ann", b"example.org", b"ann@example.org")]),
        (b"'ann@example.org' <ann@example.org>", [box(b"ann", b"example.org", b"'ann@example.org'")]),
        (b"Ann <ann@example.org", [box(b"ann", b"example.org", b"Ann")]),
        (b"Ann <>", [box(b"", b"", b"Ann")]),
        (b"Ann [the admin] <ann@example.org>", [box(b"ann", b"example.org", b"Ann [the admin]")]),
        (b"undisclosed-recipients:", [Group(b"undisclosed-recipients", [])]),
        (b"<ann@example.org>, <>", [box(b"ann", b"example.org")]),
        (b"a@x, G: b@y; c@z", [box(b"a", b"x"), Group(b"G", [box(b"b", b"y")]), box(b"c", b"z")]),
        (b"ann@example.org; bob@example.org", [box(b"ann", b"example.org"), box(b"bob", b"example.org")]),
        (b"a@b@c", [box(b"a", b"b@c")]),
        (b"@", []),
        (b"", []),
        (b" , ,, ", []),
        (b'""', []),
        (b"(only a comment)", []),
        (b"\0\xff", [box(b"\xff", b"")]),
    ],
)  # fmt: skip
def test_address_list(value: bytes, expected: list[Mailbox | Group]) -> None:
    assert parse_address_list(value) == expected


def test_texts_are_decoded_on_demand() -> None:
    (found,) = parse_address_list("=?utf-8?Q?J=C3=BCrgen?= <jürgen@müller.example>")
    assert isinstance(found, Mailbox)
    assert (found.display_name, found.addr_spec) == ("Jürgen", "jürgen@müller.example")
    (nameless,) = parse_address_list(b"root")
    assert isinstance(nameless, Mailbox)
    assert (nameless.display_name, nameless.addr_spec) == ("", "root")


@pytest.mark.parametrize(
    "value",
    [b"a@b," * 100_000, b"a.b@c d," * 50_000, b"(" * 300_000, b"<" * 300_000, b"a:" * 150_000, b'"' * 300_001,
     b"a " * 150_000, b". " * 150_000, b"a@" * 150_000, b"\\" * 300_000, b"[" * 300_000, b"=?a?q?" * 50_000,
     b"=?a" * 100_000, b"x:a@b;" * 50_000, b"<@a:" * 70_000],
)  # fmt: skip
def test_long_lists_take_bounded_time_and_room(value: bytes) -> None:
    found = parse_address_list(value)
    members = sum(1 if isinstance(entry, Mailbox) else 1 + len(entry.members) for entry in found)
    assert members <= MAX_ADDRESSES + 1


ATOMS = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-_+", min_size=1, max_size=8).map(str.encode)
NAMES = st.none() | st.text(
    st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12
).map(lambda text: text.strip().encode() or None)
MAILBOXES = st.builds(lambda name, local, domain: Mailbox(name, None, local, domain), NAMES, ATOMS, ATOMS)
ENTRIES = st.lists(MAILBOXES | st.builds(Group, ATOMS, st.lists(MAILBOXES, max_size=3)), max_size=5)


def written(entry: Mailbox | Group) -> bytes:
    if isinstance(entry, Group):
        return b"%b: %b;" % (entry.name, b", ".join(map(written, entry.members)))
    if entry.name is None:
        return b"%b@%b" % (entry.local_part, entry.domain)
    quoted = entry.name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"%b" <%b@%b>' % (quoted, entry.local_part, entry.domain)


@given(ENTRIES)
def test_written_lists_are_read_back(entries: list[Mailbox | Group]) -> None:
    assert parse_address_list(b", ".join(map(written, entries))) == entries


@given(st.lists(st.sampled_from([b"a", b"@", b"<", b">", b",", b";", b":", b"(", b")", b'"', b"\\", b"[", b"]", b".",
                                 b" ", b"\r\n ", b"=?utf-8?q?x?=", b"\xc3", b"\0", b"b.c"]), max_size=30))  # fmt: skip
def test_any_tokens_give_a_list(tokens: list[bytes]) -> None:
    for entry in parse_address_list(b"".join(tokens)):
        for mailbox in entry.members if isinstance(entry, Group) else [entry]:
            assert mailbox.local_part or mailbox.domain or mailbox.name
            assert isinstance(mailbox.addr_spec + mailbox.display_name, str)
