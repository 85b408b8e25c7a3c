"""The `postino` command: a list of commands, each loaded when it is called for.

Invariants: an error a person can meet ends as one line on standard error and a status other than 0.
Not here: the commands, one file each beside this one.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from postino import __version__
from postino.core.errors import PostinoError
from postino.core.harmless import harmless_lines

# PERF: each command's module is imported when it runs, so that `postino serve` imports no table
# printing and `postino account add` no servers.
_COMMANDS: Final = {
    "demo": "Try it: a whole server on this machine, with mail in it.",
    "init": "Set up a server for a domain.",
    "serve": "Run the server.",
    "check-config": "Check a settings file.",
    "account": "Add, list, change and remove accounts.",
    "domain": "Add, list and remove domains.",
    "alias": "Add, list and remove further addresses.",
    "dkim": "Show, make and change the keys that sign mail.",
    "trace": "Tell why a message is where it is: what scripts did with it.",
    "acl": "Share mailboxes between accounts.",
    "sieve": "Check Sieve scripts, try them on messages, put them in force.",
    "rule": "File, flag and forward an account's mail by simple rules.",
    "dns": "Print and check the DNS records of a domain.",
    "send": "Send a message, as sendmail does.",
    "queue": "Look at mail that waits to go elsewhere, and decide about it.",
    "verify": "Check that the stored mail is consistent.",
    "search": "Show and rebuild the indexes that make searches fast.",
    "reference": "Explain every setting.",
}
_PROGRAMS: Final = {
    "sendmail": ("send",),
    "mailq": ("send", "-bp"),
    "newaliases": ("send", "-bi"),
}
"""What this program is when it is called by another name."""


class Commands(click.Group):
    """The group of all commands."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run; called `sendmail` it is `postino send`."""
        if args is None:
            own = _PROGRAMS.get(os.path.basename(sys.argv[0]))
            args = None if own is None else [*own, *sys.argv[1:]]
        return super().main(args, *more, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"postino.cli.{name}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn errors into one line."""
        try:
            return super().invoke(ctx)
        except PostinoError as error:
            # SECURITY: errors name what others chose, such as mailboxes and scripts.
            raise click.ClickException(harmless_lines(str(error))) from error
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get("POSTINO_DEBUG"):
                raise
            raise click.ClickException(
                f"A fault in Postino itself: {type(error).__name__}: {error}. Set POSTINO_DEBUG=1 to see "
                "where, and please report it"
            ) from error


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: postino demo",
)
@click.version_option(__version__, prog_name="postino")
def main() -> None:
    """A whole mail server: SMTP in, on disk for good, IMAP and POP3 out."""
