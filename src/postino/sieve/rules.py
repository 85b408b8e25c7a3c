"""Simple rules, kept as a block of generated Sieve in a script whose other lines are a person's own.

RFC: 5228 §3.2 (require comes first), §5.1 (address), §5.7 (header), §5.9 (size), 2919 §3 (List-Id),
    3894 (copy), 5232 §4 (addflag), 5490 §3.2 (:create).
Exposure: scripts as their owners wrote them.
Invariants: what is not the block survives octet for octet; a block that was changed by hand is refused, never
    overwritten; the block stands at the head, after the person's own `require` lines where there are any.
Not here: reading and storing scripts (store/scripts.py), the command line (cli/rule.py).
"""

import hashlib
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from postino.core.address import parse_address
from postino.core.errors import PostinoError

VERSION: Final = 1
"""Of the block's form."""


class BadRules(PostinoError):
    """Rules that cannot be read, or not be as asked."""


class ConditionKind(StrEnum):
    """What of a message is looked at."""

    FROM = "from"
    TO = "to"
    SUBJECT = "subject"
    LIST = "list"
    HEADER = "header"
    LARGER = "larger"


class Condition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """True when one of the values fits."""

    kind: ConditionKind
    values: tuple[str, ...]
    """For `larger`, one number of octets."""
    field: str = ""
    """The header field's name, for `header` only."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to do with which messages."""

    name: str
    conditions: tuple[Condition, ...] = ()
    """None: every message."""
    is_any: bool = False
    """One true condition is enough; otherwise all are wanted."""
    move_to: str = ""
    copy_to: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """Flags with their backslash, and keywords."""
    forward_to: tuple[str, ...] = ()
    """Addresses that get a copy."""
    discard: bool = False
    """The message is not kept, unless another rule or line keeps it."""
    stop: bool = False
    """Nothing below is looked at."""


class Ruled(msgspec.Struct, frozen=True, kw_only=True):
    """A script in its two parts."""

    rules: tuple[Rule, ...] = ()
    own: bytes = b""
    """What the person wrote, as if there was no block."""


_BEGIN: Final = re.compile(rb"/\* Rules of `postino rule` \((\d{1,9}), ([0-9a-f]{16})\):[^*\n]*\*/\r?\n")
_ANY_BEGIN: Final = re.compile(rb"/\* Rules of `postino rule`")
_END_LINE: Final = b"/* End of the rules of `postino rule`. */\n"
_END: Final = re.compile(rb"/\* End of the rules of `postino rule`\. \*/\r?\n?")
_RULE_LINE: Final = re.compile(rb"^# rule (\{.*\})\r?$", re.MULTILINE)
_BLANK: Final = rb"(?:\s++|#[^\n]*+(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*+\*/)"
# Possessive throughout: no script makes this try a second way.
_REQUIRES: Final = re.compile(
    rb"(?:" + _BLANK + rb"*+require(?:" + _BLANK + rb'|"(?:[^"\\]|\\.)*+"|[\[\],])++;)++',
    re.IGNORECASE | re.DOTALL,
)
_LINE_END: Final = re.compile(rb"[ \t]*+(?:#[^\n]*+)?\r?\n")
_FIELD_NAME: Final = re.compile(r"[!-9;-~]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_WILD: Final = ("*", "?")


# A script taken apart and put together


def read_rules(source: bytes) -> Ruled:
    """The rules of a script, and the rest of it. Raises BadRules where they were changed by hand."""
    begins = list(_ANY_BEGIN.finditer(source))
    ends = list(_END.finditer(source))
    if not begins and not ends:
        return Ruled(own=source)
    if len(begins) != 1 or len(ends) != 1 or ends[0].start() < begins[0].start():
        raise _changed(source, (begins or ends)[0].start())
    begin = _BEGIN.match(source, begins[0].start())
    if begin is None:
        raise _changed(source, begins[0].start())
    if int(begin[1]) > VERSION:
        raise BadRules(
            "A newer Postino wrote the rules of this script; change them with that, or update this one"
        )
    inner = source[begin.end() : ends[0].start()].replace(b"\r\n", b"\n")
    if _digest(inner) != begin[2]:
        raise _changed(source, begin.start())
    try:
        rules = tuple(msgspec.json.decode(found, type=Rule) for found in _RULE_LINE.findall(inner))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _changed(source, begin.start()) from None
    return Ruled(rules=rules, own=source[: begin.start()] + source[ends[0].end() :])


def write_rules(ruled: Ruled) -> bytes:
    """The script that has these rules and these own lines; without rules, the own lines alone."""
    if not ruled.rules:
        return ruled.own
    at = _head(ruled.own)
    return ruled.own[:at] + _block(ruled.rules) + ruled.own[at:]


def _head(own: bytes) -> int:
    """Where the block goes: after the last `require` of the script's beginning, which none may follow."""
    requires = _REQUIRES.match(own)
    if requires is None:
        return 0
    line_end = _LINE_END.match(own, requires.end())
    return requires.end() if line_end is None else line_end.end()


def _block(rules: Sequence[Rule]) -> bytes:
    needed = sorted({name for rule in rules for name in _extensions(rule)})
    lines = [f"require [{', '.join(map(_quoted, needed))}];"] if needed else []
    for rule in rules:
        lines += [f"# rule {msgspec.json.encode(rule).decode()}", *_sieve(rule)]
    inner = "".join(f"{line}\n" for line in lines).encode()
    digest = _digest(inner).decode()
    begin = f"/* Rules of `postino rule` ({VERSION}, {digest}): change them with it, and write below. */\n"
    return begin.encode() + inner + _END_LINE


def _digest(inner: bytes) -> bytes:
    return hashlib.sha256(inner).hexdigest()[:16].encode()


def _changed(source: bytes, at: int) -> BadRules:
    line = source.count(b"\n", 0, at) + 1
    return BadRules(
        f"The rules that begin in line {line} of the script were changed by hand, so they cannot be changed "
        "here without losing that: undo the change, or take the comments before and after them out, which "
        "makes them lines of your own"
    )


# A rule as Sieve


def _extensions(rule: Rule) -> list[str]:
    needed = []
    if rule.move_to or rule.copy_to:
        needed += ["fileinto", "mailbox"]
    if rule.copy_to or rule.forward_to:
        needed.append("copy")
    if rule.flags:
        needed.append("imap4flags")
    return needed


def _sieve(rule: Rule) -> list[str]:
    tests = [_test(condition) for condition in rule.conditions]
    if not tests:
        test = "true"
    elif len(tests) == 1:
        test = tests[0]
    else:
        join = ",\n" + " " * 10
        test = f"{'anyof' if rule.is_any else 'allof'}({join.join(tests)})"
    actions = []
    if rule.flags:
        actions.append(f"addflag {_strings(rule.flags)};")
    actions += [f"fileinto :copy :create {_quoted(name)};" for name in rule.copy_to]
    actions += [f"redirect :copy {_quoted(address)};" for address in rule.forward_to]
    if rule.move_to:
        actions.append(f"fileinto :create {_quoted(rule.move_to)};")
    if rule.discard:
        actions.append("discard;")
    if rule.stop:
        actions.append("stop;")
    return [f"if {test} {{", *(f"    {action}" for action in actions), "}"]


def _test(condition: Condition) -> str:
    values = condition.values
    match condition.kind:
        case ConditionKind.FROM:
            return _any_of(_address_tests(["from"], values))
        case ConditionKind.TO:
            return _any_of(_address_tests(["to", "cc"], values))
        case ConditionKind.SUBJECT:
            return _any_of(_text_tests(["subject"], values))
        case ConditionKind.LIST:
            return f"header :contains {_strings(['list-id', 'list-post'])} {_strings(_list_marks(values))}"
        case ConditionKind.HEADER:
            return _any_of(_text_tests([condition.field], values))
        case ConditionKind.LARGER:
            return f"size :over {int(values[0])}"
        case _:
            assert_never(condition.kind)


def _any_of(tests: Sequence[str]) -> str:
    return tests[0] if len(tests) == 1 else f"anyof({', '.join(tests)})"


def _address_tests(fields: Sequence[str], values: Sequence[str]) -> list[str]:
    """Whole addresses, everybody of a domain as @example.org, patterns, parts of a name."""
    wild = [each for each in values if _is_wild(each)]
    plain = [each for each in values if not _is_wild(each)]
    domains = [each[1:] for each in plain if each.startswith("@")]
    whole = [each for each in plain if "@" in each[1:]]
    parts = [each for each in plain if "@" not in each]
    return [
        *([f"address :is {_strings(fields)} {_strings(whole)}"] if whole else []),
        *([f"address :is :domain {_strings(fields)} {_strings(domains)}"] if domains else []),
        *([f"address :matches {_strings(fields)} {_strings(wild)}"] if wild else []),
        *([f"header :contains {_strings(fields)} {_strings(parts)}"] if parts else []),
    ]


def _text_tests(fields: Sequence[str], values: Sequence[str]) -> list[str]:
    wild = [each for each in values if _is_wild(each)]
    plain = [each for each in values if not _is_wild(each)]
    return [
        *([f"header :contains {_strings(fields)} {_strings(plain)}"] if plain else []),
        *([f"header :matches {_strings(fields)} {_strings(wild)}"] if wild else []),
    ]


def _list_marks(values: Sequence[str]) -> list[str]:
    """By what a list is known: its id `<talk.example.org>`, or that and where it is written to."""
    marks = []
    for value in values:
        name = value.strip("<>")
        if "@" in name:
            marks += [f"<{name.replace('@', '.')}>", f"<mailto:{name}>"]
        else:
            marks.append(f"<{name}>" if "." in name else name)
    return marks


def _is_wild(value: str) -> bool:
    return any(mark in value for mark in _WILD)


def _strings(values: Sequence[str]) -> str:
    return _quoted(values[0]) if len(values) == 1 else f"[{', '.join(map(_quoted, values))}]"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# Rules added, taken out and put in another order


def check_rule(rule: Rule) -> None:
    """Raises BadRules, saying what to correct, for a rule that would make no sense."""
    for condition in rule.conditions:
        if not condition.values or not all(condition.values):
            raise BadRules(f"Say what --{condition.kind} is to look for: the value is empty")
        if condition.kind is ConditionKind.HEADER and not _FIELD_NAME.fullmatch(condition.field):
            raise BadRules(f"{condition.field!r} is no name of a header field; give one such as X-Spam-Flag")
        if condition.kind is ConditionKind.LARGER and not re.fullmatch(r"[0-9]{1,10}", condition.values[0]):
            raise BadRules(f"{condition.values[0]!r} is no size in octets; give a number such as 5000000")
    if not (rule.move_to or rule.copy_to or rule.flags or rule.forward_to or rule.discard or rule.stop):
        raise BadRules(
            f"The rule {rule.name!r} does nothing; say what to do, for instance with --move-to Boss"
        )
    if rule.move_to and rule.discard:
        raise BadRules(f"The rule {rule.name!r} cannot both move a message and throw it away; choose one")
    for mailbox in ([rule.move_to] if rule.move_to else []) + list(rule.copy_to):
        if not all(mailbox.split("/")):
            raise BadRules(f"{mailbox!r} is no name for a mailbox; write one such as Lists/Talk")
    for address in rule.forward_to:
        try:
            parse_address(address)
        except PostinoError as error:
            raise BadRules(f"Nothing can be forwarded there: {error}") from error
    texts = [rule.name, rule.move_to, *rule.copy_to, *rule.flags, *rule.forward_to]
    texts += [text for condition in rule.conditions for text in (condition.field, *condition.values)]
    if any(_CONTROL.search(text) for text in texts):
        raise BadRules(f"The rule {rule.name!r} has a line end or control character in it; leave it out")
    if not rule.name.strip() or rule.name.isdecimal():
        raise BadRules(
            f"{rule.name!r} is no name for a rule: give words, for a number is its place in the list"
        )


def add_rule(rules: Sequence[Rule], rule: Rule, at: int | None = None) -> tuple[Rule, ...]:
    """With one more, as the `at`-th (from 1) or the last. Raises BadRules."""
    check_rule(rule)
    if any(each.name == rule.name for each in rules):
        raise BadRules(
            f"There is a rule {rule.name!r} already; give this one another --name, or remove that one"
        )
    place = len(rules) if at is None else _bounded(at, len(rules) + 1)
    return (*rules[:place], rule, *rules[place:])


def remove_rule(rules: Sequence[Rule], which: str) -> tuple[Rule, ...]:
    """Without the one of this name or number. Raises BadRules."""
    place = find_rule(rules, which)
    return (*rules[:place], *rules[place + 1 :])


def move_rule(rules: Sequence[Rule], which: str, to: int) -> tuple[Rule, ...]:
    """With the one of this name or number as the `to`-th. Raises BadRules."""
    place = find_rule(rules, which)
    left = remove_rule(rules, which)
    at = _bounded(to, len(rules))
    return (*left[:at], rules[place], *left[at:])


def find_rule(rules: Sequence[Rule], which: str) -> int:
    """The index of the one of this name or number. Raises BadRules."""
    if which.isdecimal() and 1 <= int(which) <= len(rules):
        return int(which) - 1
    for place, rule in enumerate(rules):
        if rule.name == which:
            return place
    raise BadRules(f"There is no rule {which!r}; `postino rule list ACCOUNT` shows those there are")


def free_name(rules: Sequence[Rule], wanted: str) -> str:
    """`wanted`, with a number after it when there is a rule of this name."""
    names = {rule.name for rule in rules}
    candidates = (wanted if number == 1 else f"{wanted} ({number})" for number in range(1, len(rules) + 2))
    return next(name for name in candidates if name not in names)


def suggested_name(conditions: Sequence[Condition]) -> str:
    """A name made of what a rule looks for."""
    words = [f"{each.field.lower() or each.kind} {' or '.join(each.values)}" for each in conditions]
    return _CONTROL.sub(" ", ", ".join(words) or "every message")[:80]


def described(rule: Rule) -> tuple[str, str]:
    """For people: which messages, and what becomes of them."""
    joined = (" or " if rule.is_any else " and ").join(
        f"{each.field.lower() or each.kind} {' or '.join(each.values)}" for each in rule.conditions
    )
    done = [
        *([f"flag {' '.join(rule.flags)}"] if rule.flags else []),
        *(f"copy to {name}" for name in rule.copy_to),
        *(f"forward to {address}" for address in rule.forward_to),
        *([f"move to {rule.move_to}"] if rule.move_to else []),
        *(["discard"] if rule.discard else []),
        *(["stop"] if rule.stop else []),
    ]
    return joined or "every message", ", ".join(done)


def _bounded(at: int, count: int) -> int:
    if not 1 <= at <= count:
        raise BadRules(f"There is no place {at} in the list; the places are 1 to {count}")
    return at - 1
