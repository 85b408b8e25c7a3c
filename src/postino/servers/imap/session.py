"""One IMAP session: read commands, have each carried out in its turn, say what became of it.

RFC: 9051 §3 (states), §5.3 (autologout), §5.5 (commands in progress), §7.1 (tagged answers), 9585
    (INPROGRESS), 8437 §4.1 (what UNAUTHENTICATE resets).
Exposure: unauthenticated octets, through the framer and the grammar.
Invariants: commands are carried out one after the other, in the order they came; every command gets one
    tagged answer, after all its untagged ones; answers of more than _FLUSH_OCTETS are sent, and the
    client waited for, before the next command.
Not here: what a command does (one module each, found through dispatch.py).
"""

import asyncio
from typing import TYPE_CHECKING, Final

from postino.core.errors import (
    AccessLost,
    NoSuchAccount,
    NoSuchMailbox,
    PostinoError,
    ProtocolViolation,
    TemporarilyUnavailable,
)
from postino.core.ids import AccountId
from postino.imap.bad_command import BadCommand
from postino.imap.capability import after_login, before_login
from postino.imap.commands import Command, Fetch, Idle, parse_command
from postino.imap.framer import (
    AppendData,
    AppendRest,
    AppendStarted,
    CommandFrame,
    ContinuationNeeded,
    Framer,
    FramerLimits,
    LineFrame,
)
from postino.imap.parse_options import ParseOptions
from postino.imap.responses.status import (
    NO_PERMISSION,
    UNAVAILABLE,
    continuation,
    greeting,
    highest_mod_seq,
    in_progress,
    tagged,
    untagged_status,
)
from postino.imap.states import AnyCommand, State, may_report_expunges, require_state, require_uids
from postino.imap.view import UpdateForm
from postino.net.connection import Connection, ConnectionLost, LoginTakenBack, ServerClosing
from postino.servers import session_log
from postino.servers.context import ServerContext
from postino.servers.imap.completion import Completion, refusal
from postino.servers.imap.dispatch import EXECUTORS
from postino.servers.imap.messages.append import Appending
from postino.servers.imap.permitted import renew_rights
from postino.servers.imap.searching.search_context import tell_news
from postino.servers.imap.updates.news import read_with_news
from postino.store.accounts import password_hashes
from postino.store.changes import TooLongAgo

if TYPE_CHECKING:
    from postino.directory.principal import Principal
    from postino.servers.imap.updates.notifier import Notifier
    from postino.servers.imap.updates.selected import SelectedMailbox

PROTOCOL: Final = "imap"
_FLUSH_OCTETS: Final = 64 * 1024
# A client may pipeline thousands of cheap commands; the worker's other sessions get their turn in between.
_COMMANDS_A_TURN: Final = 32


async def serve_imap(context: ServerContext, connection: Connection) -> None:
    """Run one session to its end. Never raises but for cancellation."""
    await ImapSession(context, connection).run()


class ImapSession:
    """The state of one session, and what its commands need of it."""

    __slots__ = (
        "_bad_commands",
        "_beats",
        "_farewell",
        "_login_ends",
        "_out",
        "_out_octets",
        "_running",
        "_turn",
        "account_id",
        "appending",
        "condstore",
        "connection",
        "context",
        "failed_logins",
        "framer",
        "limits",
        "log",
        "login",
        "notifier",
        "options",
        "qresync",
        "selected",
        "state",
        "uid_only",
    )

    def __init__(self, context: ServerContext, connection: Connection) -> None:
        self.context = context
        self.connection = connection
        self.limits = context.limits
        self.log = context.log.bind(
            protocol=PROTOCOL, session=session_log.new_session_id(), peer=str(connection.peer)
        )
        self.framer = Framer(FramerLimits.before_login(self.limits))
        self.options = ParseOptions.of(self.limits)
        self.state = State.NOT_AUTHENTICATED
        self.account_id = AccountId(0)
        self.login = ""
        self.selected: SelectedMailbox | None = None
        self.condstore = False
        """The client has shown that it understands mod-sequences (RFC 7162 §3.1)."""
        self.qresync = False
        """The client has enabled QRESYNC (RFC 7162 §3.2)."""
        self.uid_only = False
        """The client has given up sequence numbers (RFC 9586)."""
        self.notifier: Notifier | None = None
        """What is told of the session's own accord, from the first NOTIFY on (RFC 5465)."""
        self.failed_logins = 0
        self.appending = Appending(self)
        self._out: list[bytes] = []
        self._out_octets = 0
        self._bad_commands = 0
        self._turn = 0
        self._farewell = ""
        self._running: Command | None = None
        self._beats: tuple[Command | None, int] = (None, 0)
        """The command that ran at the last beat, and at how many beats it did."""
        self._login_ends = asyncio.get_running_loop().time() + self.limits.login_seconds

    # From beginning to end

    async def run(self) -> None:
        """Greet, serve, say goodbye, close."""
        context = self.context
        context.metrics.connection_opened(PROTOCOL)
        self.log.info("connection.opened", tls=self.connection.tls_version())
        reason, detail = session_log.CANCELLED, {}
        try:
            self.say(greeting(context.hostname, self.capabilities()))
            await self._serve()
            reason = session_log.QUIT
        except LoginTakenBack as error:
            reason = "login taken back"
            self.say(untagged_status("BYE", str(error)))
        except ServerClosing:
            reason = session_log.SHUTDOWN
            self.say(
                untagged_status("BYE", "The server is shutting down; connect again in a moment", UNAVAILABLE)
            )
        except TimeoutError:
            reason = session_log.TIMEOUT
            self.say(untagged_status("BYE", "Logged out after a long silence"))
        except ConnectionLost as error:
            reason, detail = session_log.LOST, {"detail": str(error)}
        except ProtocolViolation as error:
            reason, detail = "protocol violation", {"detail": str(error)}
            self.say(untagged_status("BYE", str(error)))
        except AccessLost as error:
            reason = "access lost"
            self.say(untagged_status("BYE", str(error), NO_PERMISSION))
        except NoSuchMailbox:
            reason = "mailbox deleted"
            self.say(untagged_status("BYE", "The selected mailbox was deleted by another session"))
        except TooLongAgo as error:
            reason, detail = "expunges forgotten", {"detail": str(error)}
            self.say(untagged_status("BYE", str(error), UNAVAILABLE))
        except NoSuchAccount:
            reason = "account removed"
            self.say(untagged_status("BYE", "This account was removed"))
        except Exception:
            reason = session_log.FAULT
            context.metrics.session_fault(PROTOCOL)
            self.log.exception("session.fault")
            self.say(untagged_status("BYE", "Something went wrong here; connect again", UNAVAILABLE))
        finally:
            await self._end(reason, **detail)

    async def _end(self, reason: str, **detail: str) -> None:
        try:
            # What a client sent whole is stored even when the client is gone meanwhile.
            await self.appending.settle()
        except ConnectionLost:
            pass
        finally:
            self.appending.discard()
            self.deselect()
            self.stop_notifying()
            self.context.sessions.leave(self.account_id, self.connection)
            self._write_out()
            self.connection.close()
            self.context.metrics.connection_closed(PROTOCOL)
            self.log.info("connection.closed", reason=reason, **detail)

    async def _serve(self) -> None:
        while self.state is not State.LOGOUT:
            try:
                frame = self.framer.next()
                if frame is None:
                    await self.read()
                    continue
                match frame:
                    case CommandFrame():
                        await self._run_command(parse_command(frame, self.options))
                    case ContinuationNeeded():
                        await self.appending.settle()
                        self.say(continuation())
                    case AppendData(octets):
                        self.appending.add(octets)
                    case AppendStarted():
                        await self.appending.start(frame)
                    case AppendRest(line):
                        await self.appending.finish(line)
                        self._bad_commands = 0
                    case LineFrame():
                        raise AssertionError("a line that nobody asked for")
            except BadCommand as error:
                await self._refuse(error)

    async def _run_command(self, command: Command) -> None:
        if self.appending.is_busy:
            await self.appending.settle()
        self.context.metrics.command(PROTOCOL, command.name)
        require_state(command, self.state)
        if self.uid_only:
            require_uids(command)
        self._running = command
        try:
            if self.selected is not None and self.selected.account_id != self.account_id:
                renew_rights(self, self.selected)
            completion = await EXECUTORS[type(command)](self, command)
        except BadCommand as error:
            error.tag = command.tag
            raise
        except NoSuchAccount as error:
            completion = refusal(error)
            if self._account_is_gone():
                # Whatever else is asked for would fail likewise.
                self.say(tagged(command.tag, completion.status, completion.text, completion.code))
                raise
        except PostinoError as error:
            if isinstance(error, TemporarilyUnavailable):
                self.log.warning("command.failed", command=command.name, error=str(error))
            completion = refusal(error)
        finally:
            self._running = None
        if completion is not None:
            await self.complete(command, completion)
        self._bad_commands = 0
        self._turn += 1
        if self._out_octets >= _FLUSH_OCTETS:
            await self.flush()
        if self._turn % _COMMANDS_A_TURN == 0:
            await asyncio.sleep(0)

    def _account_is_gone(self) -> bool:
        return not self.context.store.read_now(lambda tx: password_hashes(tx, [self.account_id]))

    async def complete(self, command: AnyCommand, completion: Completion) -> None:
        """Say what news the client may have now, and how the command ended."""
        gone: NoSuchMailbox | TooLongAgo | None = None
        notifier = self.notifier
        selected = self.selected
        if selected is not None:
            try:
                if not selected.is_current:
                    await selected.sync()
            except (NoSuchMailbox, TooLongAgo) as error:
                gone = error
            if gone is None and (notifier is None or notifier.tells_selected(command)):
                if selected.contexts or selected.view.has_news:
                    by_uid = command.name.startswith("UID ")
                    await self.tell_news(by_uid=by_uid, may_expunge=may_report_expunges(command))
                if self.qresync and (withheld := selected.view.withheld_mod_seq):
                    # What has been told may be newer than an expunge that has not (RFC 7162 §3.2).
                    code = highest_mod_seq(withheld)
                    self.say(untagged_status("OK", "Not everything could be told yet", code))
        if notifier is not None and gone is None:
            await notifier.after(command, completion)
        self.say(tagged(command.tag, completion.status, completion.text, completion.code))
        if self._farewell:
            raise ProtocolViolation(self._farewell, fatal=True)
        if gone is not None:
            # DEVIATION: RFC 2180 §3.3 prefers NO to every command; clients know how to connect again, and
            # few what to make of a mailbox that refuses all.
            raise gone

    async def tell_news(self, *, by_uid: bool = False, may_expunge: bool) -> None:
        """Tell what is pending in the view, and in the searches that are followed."""
        assert self.selected is not None
        if self.selected.contexts:
            await tell_news(self, by_uid=by_uid, may_expunge=may_expunge)
        else:
            self.say_news(by_uid=by_uid, may_expunge=may_expunge)

    def say_news(self, *, by_uid: bool = False, may_expunge: bool) -> None:
        """Tell what is pending in the view."""
        assert self.selected is not None
        if self.selected.view.has_news:
            self.say(self.selected.view.release(self.update_form(by_uid=by_uid), may_expunge=may_expunge))

    def update_form(self, *, by_uid: bool = False) -> UpdateForm:
        """How this client is told of changes; `by_uid` during a command by UID."""
        notifier = self.notifier
        return UpdateForm(
            # RFC 7162 §3.2.4: once mod-sequences are told, the UID is told with them; RFC 5465 §5.1 as well.
            uid=by_uid or self.condstore or notifier is not None,
            flags=notifier is None or notifier.tells_flags,
            mod_seq=self.condstore,
            vanished=self.qresync or self.uid_only,
            uid_only=self.uid_only,
        )

    async def _refuse(self, error: BadCommand) -> None:
        await self.appending.settle()
        self.say(tagged(error.tag, error.status, str(error), error.code))
        if error.fatal:
            raise error
        # A NO shows that the client was understood: it may ask for what there is not as often as it likes.
        self._bad_commands = self._bad_commands + 1 if error.status == "BAD" else 0
        if self._bad_commands >= self.limits.imap_bad_commands:
            raise ProtocolViolation("Too many commands in a row made no sense", fatal=True)

    # What commands use

    def say(self, octets: bytes) -> None:
        """Add to what the client will be sent; flush() sends it, at the latest before waiting for input."""
        if octets:
            self._out.append(octets)
            self._out_octets += len(octets)

    def say_pieces(self, pieces: list[bytes]) -> None:
        """As say(), of octets too many to be copied into one."""
        self._write_out()
        self.connection.write_pieces(pieces)

    async def flush(self) -> None:
        """Send what was said; wait while the client does not read. Raises ConnectionLost."""
        self._write_out()
        if self.connection.must_drain:
            await self.connection.drain(self.limits.write_seconds)

    def _write_out(self) -> None:
        if self._out:
            self.connection.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
            self._out_octets = 0

    def send_now(self) -> None:
        """Send what was said without waiting for the client; for answers that come from elsewhere."""
        self._write_out()

    def end_after_answer(self, farewell: str) -> None:
        """Have the session end once the command is answered."""
        self._farewell = farewell

    async def read(self) -> None:
        """Wait for octets and give them to the framer. Raises ConnectionLost at the end of input."""
        if self._out_octets >= _FLUSH_OCTETS or self.connection.must_drain:
            # Answers unread are held within bounds, whatever the frames they come from.
            await self.flush()
        data = self.connection.read_nowait()
        if not data:
            self.appending.submit()
            await self.flush()
            if self.notifier is None or not self.framer.is_between_commands:
                data = await self.connection.read(self.patience())
            else:
                data = await read_with_news(self, self.patience())
            if not data:
                raise ConnectionLost("the client closed the connection")
        self.framer.feed(data)

    async def read_line(self) -> bytes:
        """One line that is no command: SASL data."""
        self.framer.expect_line()
        while (frame := self.framer.next()) is None:
            await self.read()
        assert isinstance(frame, LineFrame)
        return frame.octets

    def patience(self) -> float:
        """How long to wait for input: until the login is due, or as long as a session may be silent."""
        if self.state is State.NOT_AUTHENTICATED:
            return max(0.0, self._login_ends - asyncio.get_running_loop().time())
        return self.limits.imap_idle_seconds

    def capabilities(self) -> tuple[str, ...]:
        """What the server can do for this client now."""
        if self.state is not State.NOT_AUTHENTICATED:
            return after_login(
                compress=not self.connection.is_compressed,
                append_octets=self.limits.message_octets,
                messages=self.limits.imap_messages_a_command,
                sieve_host=self.context.hostname if self.context.mailbox_events is not None else "",
            )
        connection = self.connection
        return before_login(
            starttls=not connection.is_tls and self.context.tls_context() is not None,
            mechanisms=self.context.authentication.mechanisms(connection),
            login=connection.is_secure,
        )

    def log_in(self, principal: "Principal") -> None:
        """Go on as this account. Raises TooManySessions."""
        self.context.sessions.enter(
            principal, self.connection, self.limits.connections_per_account, self.beat
        )
        self.account_id = principal.account_id
        self.login = principal.login
        self.log = self.log.bind(account=principal.login)
        self.state = State.AUTHENTICATED
        self.framer.limits = FramerLimits.after_login(self.limits)

    def log_out(self) -> None:
        """Forget who is there and everything that was enabled (RFC 8437 §4.1); ID and TLS stay."""
        self.deselect()
        self.stop_notifying()
        self.context.sessions.leave(self.account_id, self.connection)
        self.account_id, self.login = AccountId(0), ""
        self.condstore = self.qresync = self.uid_only = False
        self.options = ParseOptions.of(self.limits)
        self.framer.limits = FramerLimits.before_login(self.limits)
        self.log = self.log.bind(account="")
        self.state = State.NOT_AUTHENTICATED
        self._login_ends = asyncio.get_running_loop().time() + self.limits.login_seconds

    def beat(self) -> None:
        """Called every few seconds: say that a long command goes on (RFC 9585), let an idle session rest."""
        running = self._running
        if running is None or isinstance(running, Idle):
            self._beats = (None, 0)
            self.connection.rest()
            return
        before, count = self._beats
        count = count + 1 if running is before else 0
        self._beats = (running, count)
        # FETCH tells that it goes on by what it says, in which nothing else may stand.
        if count % 2 and not isinstance(running, Fetch) and not self.connection.must_drain:
            if self._out and not self._out[-1].endswith(b"\r\n"):
                return
            self.say(untagged_status("OK", f"{running.name} goes on", in_progress(running.tag)))
            self.send_now()

    def select(self, selected: "SelectedMailbox") -> None:
        """Go on with this mailbox selected."""
        self.deselect()
        self.selected = selected
        self.state = State.SELECTED
        if self.notifier is not None:
            self.notifier.selected(selected)

    def deselect(self) -> None:
        """Leave the selected mailbox, if there is one."""
        if self.selected is not None:
            self.selected.close()
            self.selected = None
            self.state = State.AUTHENTICATED

    def stop_notifying(self) -> None:
        """Be as before the first NOTIFY."""
        if self.notifier is not None:
            self.notifier.close()
            self.notifier = None
