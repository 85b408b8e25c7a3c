"""A section measured again takes its place in the page, says when, and the promises are counted anew."""

from pathlib import Path

from bench.merge import merge

WHOLE = """\
# Benchmarks

Promises kept: 1 of 2.

| the machine | |
|---|---|
| measured | 2026-11-01 10:00 UTC |
| load before the run | 0.10 |

## SMTP, 60 KB

| accepted | 10/s | 5/s | 2.00x | >= 3x | short | 3 |

## POP3

| STAT | 9/s | 3/s | 3.00x | >= 1x | ok | 5 |

## How it is measured

- With care.
"""
PART = """\
# Benchmarks

Promises kept: 2 of 2.

| the machine | |
|---|---|
| measured | 2026-11-02 11:00 UTC |
| load before the run | 0.20 |

## SMTP, 60 KB

| accepted | 20/s | 5/s | 4.00x | >= 3x | ok | 3 |

## Sending, 4 KB, signed

| accepted | 30/s | 5/s | 6.00x | >= 3x | ok | 3 |

## How it is measured

- With more care.
"""


def test_sections_are_replaced_and_added_in_their_place() -> None:
    page = merge(WHOLE, PART)
    names = [line for line in page.splitlines() if line.startswith("## ")]
    assert names == ["## SMTP, 60 KB", "## Sending, 4 KB, signed", "## POP3", "## How it is measured"]
    assert "Promises kept: 3 of 3." in page
    assert page.count("Measured apart, 2026-11-02 11:00 UTC, load 0.20.") == 2
    assert "| measured | 2026-11-01 10:00 UTC |" in page
    assert "10/s | 5/s" not in page
    assert "With more care." in page
    assert "With care." not in page


def test_the_same_part_twice_changes_nothing() -> None:
    once = merge(WHOLE, PART)
    assert merge(once, PART) == once


def test_the_committed_page_can_be_taken_apart_and_joined() -> None:
    page = Path("docs/benchmarks.md").read_text(encoding="utf-8")
    assert merge(page, "# Benchmarks\n") == page
