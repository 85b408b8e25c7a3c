"""`postino send`: hand a message in as sendmail does, for cron, PHP and every script that calls sendmail."""

import os
import pwd
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from postino.cli.options import data_options, now

if TYPE_CHECKING:
    from postino.app.handing_in import NotHandedIn
    from postino.app.sendmail_options import Options
    from postino.app.settings_file import Configuration

_OURS: Final = ("--data", "--config", "--socket")
_MOST_OCTETS: Final = 1 << 30
"""What is read of standard input at most; the server has its own limit."""


def _failed(error: object, status: int) -> SystemExit:
    """Ends the program with an exit status of sysexits.h, which callers of sendmail act on."""
    click.echo(f"Error: {error}", err=True)
    return SystemExit(status)


class _Sendmail(click.Command):
    """Options beyond ours are sendmail's, which click's grammar does not fit."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ours: list[str] = []
        theirs: list[str] = []
        left = list(args)
        while left:
            word = left.pop(0)
            if word == "--":
                theirs += [word, *left]
                break
            if word in _OURS:
                ours += [word, *left[:1]]
                del left[:1]
            elif word == "--help" or word.partition("=")[0] in _OURS:
                ours.append(word)
            else:
                theirs.append(word)
        rest = super().parse_args(ctx, ours)
        ctx.params["arguments"] = theirs
        return rest


@click.command(
    cls=_Sendmail,
    options_metavar="[OPTIONS] [RECIPIENT]...",
    context_settings={"help_option_names": ["--help"]},
    epilog="Example: printf 'To: ann@example.org\\nSubject: hello\\n\\nHello.\\n' | postino send -t -i",
)
@data_options
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    envvar="POSTINO_SOCKET",
    metavar="PATH",
    help="The server's local socket; default: those of listen.local, then /run/postino/submit.sock.",
)
def send(data: Path | None, config: Path | None, socket_path: Path | None, **given: Any) -> None:
    """Send the message on standard input, with sendmail's options.

    \b
    -t          take recipients from To, Cc and Bcc, beside those named
    -i, -oi     a line with one dot does not end the message
    -f ADDRESS  the sender, for reports too; -f '' for none (also -r)
    -F NAME     the sender's full name, where the message has no From
    -N WHEN     never, or some of success,failure,delay: when to report
    -R WHAT     full or hdrs: how much of the message a report shall hold
    -V ID       an id that reports shall name
    -bs         speak SMTP on standard input and output
    -bp         show the queue, as mailq does

    Other options of sendmail are taken and mean nothing. Missing From, Date and Message-ID fields are
    added, Bcc is taken out. It works as /usr/sbin/sendmail, too: link that name to this program.

    The message is given to the server on this machine, which asks the system who you are. While no
    server runs, its user and root put it into the queue directly.
    """  # noqa: D301
    from postino.app.handing_in import NoServer, NotHandedIn
    from postino.app.sendmail_message import BadMessage
    from postino.app.sendmail_options import BadUsage, Mode, parse_options
    from postino.core.errors import PostinoError, SettingsError

    try:
        options = parse_options(given["arguments"])
        if options.mode is Mode.ALIASES:
            return
        if options.mode is Mode.LIST:
            _list_queue(data, config)
            return
        if options.mode is Mode.SEND and not options.recipients and not options.from_header:
            raise BadUsage("No recipient is named; give addresses, or -t to take those of the message")
        with _connected(data, config, socket_path) as connected:
            if options.mode is Mode.SMTP:
                from postino.app.handing_in import splice

                splice(connected)
            else:
                _send(connected, options)
    except BadUsage as error:
        raise _failed(error, os.EX_USAGE) from error
    except BadMessage as error:
        raise _failed(error, os.EX_DATAERR) from error
    except NotHandedIn as error:
        raise _failed(error, _status(error)) from error
    except SettingsError as error:
        raise _failed(error, os.EX_CONFIG) from error
    except (NoServer, PostinoError, OSError) as error:
        # Whoever calls us keeps the message and tries again.
        raise _failed(error, os.EX_TEMPFAIL) from error


def _send(connected: socket.socket, options: "Options") -> None:
    from postino.app.handing_in import Letter, LocalServer
    from postino.app.sendmail_message import BadMessage, Writer, make_message

    user, full_name = _who()
    server = LocalServer(connected, user)
    raw = sys.stdin.buffer.read(_MOST_OCTETS + 1)
    if len(raw) > _MOST_OCTETS:
        raise BadMessage(f"The message is larger than {_MOST_OCTETS} octets")
    message = make_message(
        raw,
        writer=Writer(user, server.hostname, now(), secrets.token_hex(12)),
        sender=options.sender,
        full_name=options.full_name or (full_name if options.sender is None else ""),
        recipients=options.recipients,
        from_header=options.from_header,
        ignore_dots=options.ignore_dots,
    )
    refused = []
    most = server.offered.recipients or 100
    for at in range(0, len(message.recipients), most):
        letter = Letter(
            message.sender,
            message.recipients[at : at + most],
            message.octets,
            options.notify,
            options.ret,
            options.envid,
        )
        refused += server.hand_in(letter)
    server.quit()
    if refused:
        sentences = "; ".join(f"{address} is refused: {reply.text}" for address, reply in refused)
        others = len(message.recipients) - len(refused)
        more = "" if not others else f"; the other recipient{'s have' if others > 1 else ' has'} been sent to"
        unknown = all(reply.status.startswith("5.1.") for _, reply in refused)
        raise _failed(f"{sentences}{more}", os.EX_NOUSER if unknown else os.EX_UNAVAILABLE)


def _status(error: "NotHandedIn") -> int:
    """What of sysexits.h a refusal of the whole message is."""
    reply = error.reply
    if reply is None or not reply.is_permanent:
        return os.EX_TEMPFAIL
    if reply.status.startswith("5.7."):
        return os.EX_NOPERM
    if reply.status in {"5.3.4", "5.6.0", "5.5.2"}:
        return os.EX_DATAERR
    return os.EX_UNAVAILABLE


def _who() -> tuple[str, str]:
    """The user's login and full name."""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return str(os.getuid()), ""
    return entry.pw_name, entry.pw_gecos.partition(",")[0]


@contextmanager
def _connected(data: Path | None, config: Path | None, socket_path: Path | None) -> Iterator[socket.socket]:
    """A connection to the server, or to one in this process while it rests."""
    from postino.app.handing_in import NoServer, connect, resting_server

    if socket_path is not None:
        with connect([socket_path]) as connected:
            yield connected
        return
    from postino.app.handing_in import KNOWN_SOCKET
    from postino.app.privileges import become_owner
    from postino.app.settings_file import find_settings
    from postino.core.errors import SettingsError

    configuration: Configuration | None = None
    fault: SettingsError | None = None
    try:
        configuration = find_settings(data, config, required=False)
    except SettingsError as error:
        fault = error
        if data is not None or config is not None:
            raise
    paths = []
    if configuration is not None:
        paths = [Path(address.path) for address in configuration.listen()["local"] if address.path]
    try:
        connected = connect([*paths, KNOWN_SOCKET] if data is None and config is None else paths)
    except NoServer as error:
        if configuration is None:
            raise NoServer(f"{error}, and the settings cannot be read: {fault}") from error
        # PERF: the store is half of what is imported, and mostly a server runs: 0.2 s instead of 0.3.
        from postino.store.store import DATABASE_NAME

        directory = configuration.data
        may_write = os.access(directory, os.W_OK) and (directory / DATABASE_NAME).exists()
        if not may_write:
            raise NoServer(f"{error}; start it with: postino serve --data {directory}") from error
        become_owner(directory)
        with resting_server(configuration) as connected:
            yield connected
        return
    with connected:
        yield connected


def _list_queue(data: Path | None, config: Path | None) -> None:
    from postino.cli.queue import queue

    arguments = ["list"]
    for name, value in (("--data", data), ("--config", config)):
        arguments += [name, str(value)] if value is not None else []
    queue.main(arguments, prog_name="postino queue", standalone_mode=False)
