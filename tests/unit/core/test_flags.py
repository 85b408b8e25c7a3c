"""Flag sets: shared values, wire form, keywords without regard to case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.flags import NO_FLAGS, Flag, flag_set, stored_flag_set

names = st.sets(
    st.sampled_from(["\\Seen", "\\Answered", "\\Deleted", "$Junk", "$Forwarded", "work", "NonJunk"])
)


def test_equal_sets_are_one_object() -> None:
    assert flag_set(["\\Seen", "$Junk"]) is flag_set(["$Junk", "\\seen"])
    assert flag_set([]) is NO_FLAGS


def test_the_wire_form_is_the_list_of_flags() -> None:
    assert flag_set(["$b", "$A", "\\SEEN", "\\Deleted"]).wire == b"(\\Deleted \\Seen $A $b)"
    assert NO_FLAGS.wire == b"()"


@given(names)
def test_what_is_stored_comes_back(chosen: set[str]) -> None:
    made = flag_set(chosen)
    assert stored_flag_set(made.system, made.stored_keywords) is made


@given(names, names)
def test_union_and_without_are_those_of_sets(a: set[str], b: set[str]) -> None:
    assert flag_set(a).union(flag_set(b)) == flag_set(a | b)
    assert flag_set(a).without(flag_set(b)) == flag_set(a - b)


def test_a_keyword_keeps_its_first_spelling_and_is_found_in_any() -> None:
    both = flag_set(["Work"]).union(flag_set(["WORK", "\\Seen"]))
    assert both.keywords == ("Work",)
    assert "work" in both
    assert Flag.SEEN in both
    assert flag_set(["Work"]).without(flag_set(["work"])) is NO_FLAGS


@pytest.mark.parametrize("name", ["\\Recent", "\\New", "a b", "", "(x)", 'q"', "tab\t", "ümlaut"])
def test_what_is_not_a_flag_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a flag"):
        flag_set([name])
