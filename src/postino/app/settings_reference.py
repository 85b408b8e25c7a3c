"""Print the settings: for `postino reference`, docs/settings.md and the file `postino init` writes.

Invariants: every setting of the schema is printed, and the commented file, uncommented, is valid.
"""

import difflib
import textwrap
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from postino.app.settings_schema import Setting, is_required, tables
from postino.app.units import show_duration, show_size
from postino.core.errors import SettingsError

_WIDTH: Final = 100


def render_markdown() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "This page is printed by `postino reference --markdown` from the program's schema; do not edit it.",
        "",
        "Postino reads one TOML file, `postino.toml` in the data directory unless `--config` names another.",
        "`postino init` writes one with every setting commented. A key that does not exist is refused, with",
        "the nearest right name. `postino check-config` checks a file; SIGHUP makes a running server read it",
        "again.",
        "",
        'Sizes are octets, or texts such as `"50 MiB"` or `"5GB"`; times are seconds, or texts such as',
        '`"30 min"`.',
        "",
    ]
    for table in tables():
        header = f"[[{table.name}]]" if table.repeated else f"[{table.name}]"
        lines += [f"## `{header}`", "", table.meaning, "", "| setting | type | unit | default | meaning |"]
        lines += ["|---|---|---|---|---|"]
        for setting in table.settings:
            cells = [
                f"`{setting.key}`",
                setting.type_name,
                setting.unit or "-",
                default_text(setting),
                setting.meaning,
            ]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def render_commented_file(values: dict[str, Any]) -> str:
    """A settings file with every setting explained; `values` (by `table.key`) are set, others commented."""
    lines = [
        "# Settings of Postino. What is commented shows the default, or an example where there is none.",
        '# Sizes are octets or texts such as "50 MiB"; times are seconds or texts such as "30 min".',
        "# Check this file with: postino check-config --config FILE",
        "",
    ]
    for table in tables():
        lines += _wrapped(table.meaning)
        header = f"[[{table.name}]]" if table.repeated else f"[{table.name}]"
        lines += [f"# {header}" if table.repeated else header, ""]
        for setting in table.settings:
            lines += _wrapped(f"{setting.meaning} {_facts(setting)}".strip())
            if setting.name in values:
                lines.append(f"{setting.key} = {toml_value(values[setting.name])}")
            else:
                shown = setting.shown if setting.shown is not msgspec.NODEFAULT else ""
                lines.append(f"# {setting.key} = {toml_value(shown)}")
            lines.append("")
    return "\n".join(lines)


def default_text(setting: Setting) -> str:
    """A default, for people."""
    if is_required(setting):
        return "must be given"
    default = setting.default
    if default in ("", ()):
        return "empty"
    if setting.unit == "octets" and default:
        return f"{default} ({show_size(default)})"
    if setting.unit == "seconds" and default >= 60:
        return f"{toml_value(default)} ({show_duration(default)})"
    if isinstance(default, float):
        return f"{default:g}"
    return f"`{toml_value(default)}`" if isinstance(default, (str, tuple, bool)) else str(default)


def toml_value(value: Any) -> str:
    """One value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _facts(setting: Setting) -> str:
    facts = [setting.type_name.capitalize()]
    if setting.unit in {"octets", "seconds"}:
        facts.append(f"in {setting.unit}")
    if not is_required(setting) and setting.default not in ("", ()):
        facts.append(f"default {default_text(setting).replace('`', '')}")
    return f"({', '.join(facts)}.)"


def _wrapped(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2)]


def render_text(names: Sequence[str] = ()) -> str:
    """The reference for a terminal; `names` are tables or settings. Raises SettingsError for others."""
    known = {table.name for table in tables()} | {s.name for t in tables() for s in t.settings}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"; did you mean {close[0]}?" if close else "; postino reference lists them all"
            raise SettingsError(f"There is no setting {name}{hint}")
    lines: list[str] = []
    for table in tables():
        for setting in table.settings:
            if names and table.name not in names and setting.name not in names:
                continue
            unit = f" in {setting.unit}" if setting.unit else ""
            default = default_text(setting).replace("`", "")
            lines += [setting.name, f"    {setting.type_name}{unit}; default: {default}"]
            lines += [f"    {line}" for line in textwrap.wrap(setting.meaning, _WIDTH - 4)]
            lines.append("")
    return "\n".join(lines)
