"""The figures as a table on the terminal, and as docs/benchmarks.md."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table

from bench.figures import GROWTH, GROWTH_SIZES, Row
from bench.machine import Machine

_COLOURS = {"ok": "green", "short": "red", "missing": "yellow"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of the bench."""

    machine: Machine
    versions: Sequence[str]
    rows: Sequence[Row]
    failures: Sequence[str]
    notes: Sequence[str]
    minutes: float
    quick: bool


def number(value: float | None, unit: str) -> str:
    """A figure with as many digits as are worth reading."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{digits}f} {unit}".rstrip() if unit != "/s" else f"{value:,.{digits}f}/s"


def promise(row: Row) -> str:
    """What the project promises for this row."""
    if row.figure.limit is not None:
        return f"<= {row.figure.limit:g} {row.figure.unit}"
    return f">= {row.figure.ratio:g}x" if row.figure.ratio is not None else ""


def _cells(row: Row) -> list[str]:
    unit = row.figure.unit
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    return [
        row.figure.title,
        number(row.postino, unit),
        number(row.peers, unit),
        ratio,
        promise(row),
        row.verdict,
    ]


def print_table(console: Console, rows: Iterable[Row]) -> None:
    """For the terminal."""
    table = Table(title="Postino beside Postfix + Dovecot (medians; a ratio over 1 means Postino is faster)")
    table.add_column("measured")
    for name in ("Postino", "Postfix + Dovecot", "ratio", "promised"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for group, members in groupby(rows, key=lambda row: row.figure.group):
        table.add_section()
        table.add_row(f"[bold]{group}[/bold]")
        for row in members:
            *cells, verdict = _cells(row)
            colour = _COLOURS.get(verdict, "default")
            cells[0] = cells[0].replace("[", r"\[")
            table.add_row(*cells, f"[{colour}]{verdict}[/{colour}]")
    console.print(table)


def _curves(rows: list[Row]) -> list[str]:
    """A line for each command, a column for each size of the mailbox."""
    found = {row.figure.key: row for row in rows}
    cases = list(dict.fromkeys(row.figure.key.split(".", 1)[1].rpartition(".")[0] for row in rows))
    sizes = [size for size in GROWTH_SIZES if any(f"growth.{case}.{size}" in found for case in cases)]
    lines = [
        "| milliseconds, Postino | " + " | ".join(f"{size:,}" for size in sizes) + " | factor | promised | |",
        "|---|" + "---:|" * (len(sizes) + 2) + "---|",
    ]
    for case in cases:
        each = [found.get(f"growth.{case}.{size}") for size in sizes]
        factor = found.get(f"growth.{case}.factor")
        cells = [number(row.postino if row else None, "") for row in each]
        cells += [number(factor.postino, "x"), promise(factor), factor.verdict] if factor else ["-", "", ""]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return lines


def markdown(outcome: Outcome) -> str:
    """The whole page docs/benchmarks.md."""
    busy = (
        "**Other programs kept the machine busy when this run began; repeat it before believing a figure.**"
    )
    promised = [row for row in outcome.rows if row.verdict]
    kept = sum(row.verdict == "ok" for row in promised)
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. Postino and Debian's Postfix with Dovecot run side by side on one",
        "machine, take the same octets in turn (A, B, B, A, ...), and every figure is the median of its runs. Ratios carry",
        "over to other machines, absolute figures do not. A ratio over 1 means that Postino is faster.",
        "",
        f"Promises kept: {kept} of {len(promised)}.",
        "",
        *([busy, ""] if outcome.machine.is_busy else []),
        "| the machine | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in outcome.machine.lines()),
        *(f"| server | {version} |" for version in outcome.versions),
        f"| the run | {'quick' if outcome.quick else 'full'}, {outcome.minutes:.1f} minutes |",
    ]
    for group, members in groupby(outcome.rows, key=lambda row: row.figure.group):
        if group == GROWTH:
            lines += ["", f"## {group}", "", *_curves(list(members))]
            continue
        lines += [
            "",
            f"## {group}",
            "",
            "| measured | Postino | Postfix + Dovecot | ratio | promised | | runs |",
        ]
        lines.append("|---|---:|---:|---:|---:|---|---:|")
        for row in members:
            lines.append("| " + " | ".join([*_cells(row), str(row.runs)]) + " |")
    lines += ["", "## How it is measured", "", *("- " + note.replace("\n", "\n  ") for note in outcome.notes)]
    if outcome.failures:
        lines += ["", "## Not measured", "", *(f"- {failure}" for failure in outcome.failures)]
    return "\n".join(lines) + "\n"
