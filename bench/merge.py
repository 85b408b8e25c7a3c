"""Put the sections of a run of some suites into the page of an earlier whole run, each marked with its time.

So one suite can be measured again, on a quiet machine, without twenty minutes for all the others.
"""

import re
from typing import Final

_SECTION: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_MEASURED: Final = re.compile(r"^\| measured \| (.+) \|$", re.MULTILINE)
_LOAD: Final = re.compile(r"^\| load before the run \| (.+) \|$", re.MULTILINE)
_KEPT: Final = re.compile(r"^Promises kept: \d+ of \d+\.$", re.MULTILINE)
_VERDICT: Final = re.compile(r"\| (ok|short|missing) \|")
_AFTER: Final = {"Sending, 4 KB, signed": "SMTP, 60 KB"}
"""Where a section goes that the whole run did not have."""
_NOT_FIGURES: Final = frozenset({"How it is measured", "Not measured"})


def merge(whole: str, part: str) -> str:
    """The page `whole` with the figures of `part` in place of its own."""
    head, sections = _sections(whole)
    part_head, fresh = _sections(part)
    when, load = _MEASURED.search(part_head), _LOAD.search(part_head)
    stamp = f"Measured apart, {when[1] if when else 'later'}, load {load[1] if load else 'unknown'}."
    for name, text in fresh.items():
        if name in _NOT_FIGURES:
            continue
        if name not in sections:
            sections = _inserted(sections, name, _AFTER.get(name, ""))
        sections[name] = f"\n\n{stamp}\n{text}"
    if "How it is measured" in fresh:
        sections["How it is measured"] = fresh["How it is measured"]
    page = head + "".join(f"## {name}{text}" for name, text in sections.items())
    verdicts = _VERDICT.findall(page)
    return _KEPT.sub(f"Promises kept: {verdicts.count('ok')} of {len(verdicts)}.", page, count=1)


def _sections(page: str) -> tuple[str, dict[str, str]]:
    """What stands before the first section, and each section's text by its name."""
    head, *rest = _SECTION.split(page)
    return head, dict(zip(rest[::2], rest[1::2], strict=True))


def _inserted(sections: dict[str, str], name: str, after: str) -> dict[str, str]:
    grown: dict[str, str] = {}
    for known, text in sections.items():
        if known in _NOT_FIGURES and name not in grown:
            grown[name] = ""
        grown[known] = text
        if known == after:
            grown[name] = ""
    return grown
