"""Rewritten reverse-paths: round trips, and everything that must not lead back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.address import Address
from postino.core.ids import Instant
from postino.mailauth.srs import (
    VALID_DAYS,
    BadReturn,
    Fault,
    Kept,
    is_rewritten,
    rewrite,
    rewrite_kept,
    token_of,
    undo,
)
from postino.smtp.paths import parse_path, path_text

KEY = b"k" * 32
NOW = Instant(1_767_225_600)
DAY = 86_400


def rewritten(text: str, domain: str = "example.org", now: int = NOW) -> Address:
    path = parse_path(f"<{text}>")
    assert path is not None
    made = rewrite(path, domain, KEY, Instant(now))
    assert made is not None
    return made


@pytest.mark.parametrize(
    "path",
    [
        "ann@example.net",
        "ann+shop@example.net",
        "o=brien=x@example.net",
        '"ann smith"@example.net',
        '"a@b"@example.net',
        "ann@[192.0.2.1]",
        "jörg@exämple.net",
    ],
)
def test_a_path_comes_back_as_it_was(path: str) -> None:
    made = rewritten(path)
    assert made.domain == "example.org"
    assert len(made.local_part.encode()) <= 64
    again = parse_path(path_text(made))
    assert again == made, "the rewritten address must be one that can be said in MAIL"
    assert undo(made.local_part, KEY, NOW) == parse_path(f"<{path}>")


@pytest.mark.parametrize("path", ["ann@exämple.net", "SRS0=HHH=TT=first.example=ann@exämple.net"])
def test_what_could_be_said_without_smtputf8_still_can(path: str) -> None:
    made = rewritten(path)
    assert made.local_part.isascii()
    assert str(undo(made.local_part, KEY, NOW)) == path.replace("exämple", "xn--exmple-cua")


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_changed_case_still_leads_back(change) -> None:
    made = rewritten("Ann.Lee@example.net")
    found = undo(change(made.local_part), KEY, NOW)
    assert isinstance(found, Address)
    assert (found.local_part.lower(), found.domain) == ("ann.lee", "example.net")


def test_another_forwarders_address_leads_back_to_that_forwarder_at_any_distance() -> None:
    first = rewritten("ann@example.net", "first.example")
    second = rewritten(str(first), "second.example")
    third = rewritten(str(second), "third.example")
    assert second.local_part.startswith("SRS1=")
    assert third.local_part.startswith("SRS1=")
    assert len(third.local_part) == len(second.local_part), "further hops add nothing"
    for made in (second, third):
        assert undo(made.local_part, KEY, NOW) == first


def test_other_separators_of_other_forwarders_are_kept() -> None:
    made = rewritten("SRS0+abcd=TT=example.net=ann@first.example")
    assert undo(made.local_part, KEY, NOW) == Address("SRS0+abcd=TT=example.net=ann", "first.example")


@pytest.mark.parametrize(
    ("age_days", "good"),
    [(0, True), (VALID_DAYS, True), (VALID_DAYS + 1, False), (-1, True), (-2, False), (500, False)],
)
def test_an_address_is_good_for_a_time(age_days: int, good: bool) -> None:
    made = rewritten("ann@example.net", now=NOW - age_days * DAY)
    if good:
        assert undo(made.local_part, KEY, NOW) == Address("ann", "example.net")
    else:
        with pytest.raises(BadReturn) as caught:
            undo(made.local_part, KEY, NOW)
        assert caught.value.fault is Fault.EXPIRED


@pytest.mark.parametrize(
    ("local_part", "fault"),
    [
        ("ann", Fault.MALFORMED),
        ("SRS0", Fault.MALFORMED),
        ("SRS0=", Fault.MALFORMED),
        ("SRS0=abc", Fault.MALFORMED),
        ("SRS2=abc=de=f=g", Fault.MALFORMED),
        ("SRS0=ABCDEFGH=AA=example.net=ann", Fault.FORGED),
        ("SRS1=ABCDEFGH=example.net==x=y=z=w", Fault.FORGED),
        ("SRS0==AA=example.net=ann", Fault.FORGED),
        ("SRS0=é=AA=example.net=ann", Fault.FORGED),
    ],
)
def test_what_leads_nowhere(local_part: str, fault: Fault) -> None:
    with pytest.raises(BadReturn) as caught:
        undo(local_part, KEY, NOW)
    assert caught.value.fault is fault


def test_another_secret_is_forged() -> None:
    with pytest.raises(BadReturn):
        undo(rewritten("ann@example.net").local_part, b"other", NOW)


@settings(max_examples=200)
@given(at=st.integers(0, 60), letter=st.characters(min_codepoint=33, max_codepoint=126))
def test_a_changed_character_is_never_believed(at: int, letter: str) -> None:
    local = rewritten("ann@example.net").local_part
    at %= len(local)
    changed = local[:at] + letter + local[at + 1 :]
    if changed.lower() == local.lower():
        return
    try:
        found = undo(changed, KEY, NOW)
    except BadReturn:
        return
    # Only the separator after SRS0 is not signed.
    assert (at, found) == (4, Address("ann", "example.net"))


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_any_text_is_refused_or_none_of_ours(text: str) -> None:
    is_rewritten(text)
    for local in (text, f"SRS0={text}", f"SRS1={text}"):
        with pytest.raises(BadReturn):
            undo(local, KEY, NOW)


def test_a_path_that_is_too_long_is_kept_and_named() -> None:
    path = Address("bounces+" + "x" * 50, "lists.example.net")
    assert rewrite(path, "example.org", KEY, NOW) is None
    made = rewrite_kept(token_of(path, KEY), "example.org", KEY, NOW)
    assert len(made.local_part) <= 64
    assert undo(made.local_part.lower(), KEY, NOW) == Kept(token_of(path, KEY))
    assert token_of(path, KEY) != token_of(Address("bounces+" + "x" * 49 + "y", "lists.example.net"), KEY)
    with pytest.raises(BadReturn):
        undo(made.local_part, KEY, Instant(NOW + 30 * DAY))
