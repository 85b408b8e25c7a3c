"""Base subjects (RFC 5256 §2.1) against a table, and against the grammar read literally."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.mime.base_subject import base_subject
from postino.mime.collation import sort_key

TABLE = [
    # subject, base subject, whether it is a reply or forward
    ("", "", False),
    ("Lunch", "LUNCH", False),
    ("Re: Lunch", "LUNCH", True),
    ("RE:Lunch", "LUNCH", True),
    ("re : Lunch", "LUNCH", True),
    ("re\t[x] : Lunch", "LUNCH", True),
    ("Re[2]: Lunch", "LUNCH", True),
    ("Fw: Fwd: Re: Lunch", "LUNCH", True),
    ("[list] Lunch", "LUNCH", False),
    ("[list] Re: [other] Lunch", "LUNCH", True),
    ("Re: [list] Re: Lunch", "LUNCH", True),
    ("[a] [b] Lunch", "LUNCH", False),
    ("[a][b]", "[B]", False),
    ("Re: [b]", "[B]", True),
    ("[a] (fwd)", "[A]", True),
    ("Lunch (fwd)", "LUNCH", True),
    ("Lunch (FWD)  (fwd)", "LUNCH", True),
    ("(fwd)", "", True),
    ("Re:", "", True),
    ("Re: ", "", True),
    ("Lunch  at \t noon", "LUNCH AT NOON", False),
    ("Lunch\r\n at noon ", "LUNCH AT NOON", False),
    ("[fwd: Lunch]", "LUNCH", True),
    ("[Fwd: Re: Lunch (fwd)]", "LUNCH", True),
    ("Re: [fwd: [fwd: Lunch]] (fwd)", "LUNCH", True),
    ("[fwd: ]", "", True),
    ("[fwd:]", "", True),
    ("[fwd: Lunch", "[FWD: LUNCH", False),
    ("[fwd: Lunch] more", "MORE", False),
    ("Regards", "REGARDS", False),
    ("Forward: Lunch", "FORWARD: LUNCH", False),
    ("Refund", "REFUND", False),
    ("AW: Lunch", "AW: LUNCH", False),
    ("[open Lunch", "[OPEN LUNCH", False),
    ("[[a]] Lunch", "[[A]] LUNCH", False),
    ("Lunch [list]", "LUNCH [LIST]", False),
    ("Re: Ünïcode", sort_key("Ünïcode"), True),
    ("ünïcode", sort_key("ÜNÏCODE"), False),
]


@pytest.mark.parametrize(("subject", "base", "is_reply"), TABLE)
def test_table(subject, base, is_reply):
    assert base_subject(subject) == (base, is_reply)


# The ABNF of RFC 5256 §5, one rule a line, and the steps of §2.1 as they are written.
BLOB = r"\[[^\[\]]*\][ \t]*"
REFWD = rf"(?:re|fwd?)[ \t]*(?:{BLOB})?:"
LEADER = re.compile(rf"(?:(?:{BLOB})*{REFWD}|[ \t])", re.IGNORECASE)
TRAILER = re.compile(r"(?:\(fwd\)|[ \t])\Z", re.IGNORECASE)


def literally(subject):
    text = re.sub(r" +", " ", re.sub(r"[\t\r\n]", " ", subject))
    is_reply = False
    while True:
        while found := TRAILER.search(text):
            is_reply = is_reply or bool(found[0].strip())
            text = text[: found.start()]
        while True:
            before = text
            while found := LEADER.match(text):
                is_reply = is_reply or bool(found[0].strip())
                text = text[found.end() :]
            if (found := re.match(BLOB, text)) and text[found.end() :].strip():
                text = text[found.end() :]
            if text == before:
                break
        if text[:5].lower() == "[fwd:" and text[-1:] == "]" and len(text) > 5:
            is_reply = True
            text = text[5:-1]
            continue
        return sort_key(text), is_reply


PIECES = [
    "re",
    "Fw",
    "fwd",
    ":",
    "[",
    "]",
    " ",
    "\t",
    "(fwd)",
    "[fwd:",
    "[a]",
    "x",
    "é",
    "Re: ",
    "  ",
    "(",
    ")",
]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_as_the_steps_say(subject):
    assert base_subject(subject) == literally(subject)


@settings(max_examples=50)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_base_subject_is_its_own(subject):
    base, _ = base_subject(subject)
    assert base_subject(base)[0] == base or "(" in base or ":" in base


@pytest.mark.parametrize("piece", ["[fwd:", "[a]", "re:", "(fwd)", " ", "[", "re[", "fw ", "]"])
def test_long_subjects_take_linear_time(piece):
    base_subject(piece * 50_000)
    base_subject(piece * 50_000 + "x" + "]" * 50_000)


def test_collation_is_unicode_casemap():
    # RFC 5051 §2: title case, then decomposed; `_` comes after letters, and one letter stays one.
    assert sort_key("a_b") > sort_key("azb")
    assert sort_key("É") == sort_key("é") == "E\u0301"
    assert sort_key("ß") == "ß"
    assert sort_key("ǆ") == unicodedata.normalize("NFKD", "ǅ")
    assert sort_key("é") > sort_key("e")


def test_whole_texts_collate_as_their_letters_do():
    # The title case of a text at once is that of its letters, also where it is not the upper case.
    for code in range(0x20000):
        letter = chr(code)
        title = letter.title() if len(letter.title()) == 1 else letter
        assert sort_key(letter) == unicodedata.normalize("NFKD", title)


@pytest.mark.parametrize(
    "subject", ["re: Grüße", "Ｒｅ: x", "Étude", "RE: [x] é", "re: é (fwd)", "é ", "\u00a0re: é"]
)
def test_subjects_that_are_not_ascii(subject):
    # Letters of other scripts that decompose to the marks of replies are none.
    key, is_reply = base_subject(subject)
    assert is_reply == subject.lower().startswith("re: ")
    assert "E\u0301" in key or key in {"GRU\u0308ßE", "RE: X", "RE: E\u0301"}
