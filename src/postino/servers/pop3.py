"""A POP3 session: a fixed view of INBOX over one connection.

RFC: 1939 (without APOP), 2449 (CAPA), 2595 §4 (STLS), 3206 (response codes), 5034 (AUTH).
Exposure: reads unauthenticated octets; holds one command line, and of answers at most
    `limits.output_octets` and one batch of messages.
Invariants: nothing is deleted before QUIT, and then all of it in one transaction; message numbers
    never change within a session, whatever happens to INBOX meanwhile.
Not here: grammar and answers (pop3/), who may log in (authentication.py).
"""

import asyncio
import base64
from typing import Any, Final

from postino.core.errors import (
    AuthenticationCancelled,
    AuthenticationFailed,
    NoSuchMailbox,
    PostinoError,
    ProtocolViolation,
    TemporarilyUnavailable,
)
from postino.core.numset import NumberSet
from postino.directory.principal import Principal
from postino.net.connection import Connection, ConnectionLost, ServerClosing
from postino.pop3 import commands
from postino.pop3.commands import Command, parse_command
from postino.pop3.framer import LineFramer
from postino.pop3.replies import (
    END,
    ResponseCode,
    Stuffer,
    err,
    first_lines,
    multi_line,
    numbered,
    ok,
    stuffed,
)
from postino.pop3.states import State, require_allowed
from postino.sasl.exchange import decode_base64, decode_initial
from postino.servers import session_log
from postino.servers.account_sessions import TooManySessions
from postino.servers.context import ServerContext
from postino.servers.pop3_reading import MessageReader
from postino.store.maildrop import Maildrop, maildrop_messages, open_maildrop
from postino.store.messages import expunge

MAX_BAD_COMMANDS: Final = 20
COMMANDS_A_TURN: Final = 500
"""Pipelined commands answered before other sessions get their turn."""
GUESS_SECONDS: Final = 5.0
"""Silence after which what was read on a guess is forgotten, so that an idle session holds nothing."""
STREAM_OCTETS: Final = 512 * 1024
"""Messages larger than this are sent in pieces."""
PIECE_OCTETS: Final = 256 * 1024
KEPT_LISTING_OCTETS: Final = 64 * 1024
LONG_MAILDROP: Final = 5000
"""Messages from which on a maildrop is opened in a thread, not on the event loop."""


async def serve_pop3(context: ServerContext, connection: Connection) -> None:
    """Run a session to its end."""
    log = context.log.bind(protocol="pop3", session=session_log.new_session_id(), peer=str(connection.peer))
    context.metrics.connection_opened("pop3")
    log.info("connection.opened", tls=connection.tls_version())
    session = Session(context, connection, log)
    reason, detail = session_log.CANCELLED, {}
    try:
        await session.run()
        reason = session.end_reason
    except ServerClosing:
        reason = session_log.SHUTDOWN
    except TimeoutError:
        # RFC 1939 §3: the autologout timer closes without an answer and deletes nothing.
        reason = session_log.TIMEOUT
    except ConnectionLost as error:
        reason, detail = session_log.LOST, {"detail": str(error)}
    except Exception:
        reason = session_log.FAULT
        context.metrics.session_fault("pop3")
        session.log.exception("session.fault")
        connection.write(err("Something went wrong here; connect again", ResponseCode.SYS_TEMP))
    finally:
        session.leave()
        connection.close()
        context.metrics.connection_closed("pop3")
        session.log.info(
            "connection.closed", reason=reason, retrieved=session.retrieved, deleted=session.removed, **detail
        )


class Session:
    """One dialogue. Answers are gathered in `_out` and written when no more commands are at hand."""

    def __init__(self, context: ServerContext, connection: Connection, log: Any) -> None:
        self._context = context
        self._connection = connection
        self.log = log
        self._limits = context.limits
        self._framer = LineFramer(context.limits.pop3_line_octets)
        self._out: list[bytes] = []
        self._out_octets = 0
        self._state = State.AUTHORIZATION
        self._user = ""
        self._failed_logins = 0
        self._bad_commands = 0
        self._login_deadline = asyncio.get_running_loop().time() + context.limits.login_seconds
        self._principal: Principal | None = None
        self._drop = Maildrop(*_NO_MAILDROP)
        self._deleted: set[int] = set()
        self._listings: dict[bytes, bytes] = {}
        self._octets = 0
        self._reader: MessageReader | None = None
        self._open = True
        self.end_reason = session_log.QUIT
        self.retrieved = 0
        self.removed = 0

    async def run(self) -> None:
        """Answer commands until the end. Raises TimeoutError and ConnectionLost."""
        self._say(ok(f"{self._context.hostname} Postino POP3 is ready"))
        framer = self._framer
        while True:
            turns = 0
            while self._open and framer.has_line:
                command = self._next_command()
                if command is not None:
                    await self._finish_command(command)
                if self._out_octets >= self._limits.output_octets:
                    await self._flush()
                turns += 1
                if turns % COMMANDS_A_TURN == 0:
                    await asyncio.sleep(0)
            await self._flush()
            if not self._open:
                return
            data = await self._more()
            if not data:
                raise ConnectionLost("the client closed the connection")
            framer.feed(data)

    def _next_command(self) -> Command | None:
        """Answer the next line, or give the command back when its answer takes waiting."""
        try:
            line = self._framer.next_line()
            if line is None:
                return None
            command = parse_command(line)
            require_allowed(self._state, command)
            self._context.metrics.command("pop3", type(command).__name__.upper())
            if not self._answer_at_once(command):
                return command
            self._bad_commands = 0
        except PostinoError as error:
            self._refuse(error)
        return None

    async def _finish_command(self, command: Command) -> None:
        try:
            await self._answer_slowly(command)
            self._bad_commands = 0
        except PostinoError as error:
            self._refuse(error)

    def _refuse(self, error: PostinoError) -> None:
        if isinstance(error, ProtocolViolation):
            self._say(err(str(error)))
            self._bad_commands += 1
            if self._bad_commands >= MAX_BAD_COMMANDS:
                self._end("too many bad commands")
        elif isinstance(error, NoSuchMailbox):
            self._say(err(str(error), ResponseCode.SYS_PERM))
        else:
            if not isinstance(error, TemporarilyUnavailable):
                self.log.error("pop3.failed", error=str(error))
            self._say(err(str(error), ResponseCode.SYS_TEMP))

    def _answer_at_once(self, command: Command) -> bool:
        """Answer what needs no waiting; False for the rest. PERF: no coroutine for these."""
        match command:
            case commands.Retr():
                return self._retrieve(command.number)
            case commands.Top():
                return self._top(command.number, command.lines)
            case commands.Dele():
                self._require(command.number)
                self._deleted.add(command.number)
                self._octets -= self._drop.sizes[command.number - 1]
                self._say(b"+OK it will be deleted at QUIT\r\n")
            case commands.List():
                self._list(command.number)
            case commands.Uidl():
                self._uidl(command.number)
            case commands.Stat():
                self._say(b"+OK %d %d\r\n" % (self._count(), self._octets))
            case commands.Noop():
                self._say(b"+OK\r\n")
            case commands.Rset():
                self._deleted.clear()
                self._octets = sum(self._drop.sizes)
                self._say(b"+OK %d messages (%d octets)\r\n" % (self._count(), self._octets))
            case commands.Capa():
                self._say(multi_line(b"+OK what this server can do\r\n", self._capabilities()))
            case commands.User():
                self._take_user(command.login)
            case _:
                return False
        return True

    async def _answer_slowly(self, command: Command) -> None:
        match command:
            case commands.Pass():
                await self._pass(command.password)
            case commands.Auth():
                await self._auth(command)
            case commands.Stls():
                await self._start_tls()
            case commands.Quit():
                await self._quit()
            case commands.Retr():
                await self._stream(command.number, None)
            case commands.Top():
                await self._stream(command.number, command.lines)
            case _:
                raise AssertionError(f"{command} has no answer")

    # Before the login

    def _capabilities(self) -> list[str]:
        connection, context = self._connection, self._context
        found = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"]
        if connection.is_secure:
            found.append("USER")
        mechanisms = context.authentication.mechanisms(connection)
        if mechanisms:
            found.append("SASL " + " ".join(mechanisms))
        if self._may_start_tls():
            found.append("STLS")
        found.append("IMPLEMENTATION Postino")
        return found

    def _may_start_tls(self) -> bool:
        return (
            self._state is State.AUTHORIZATION
            and not self._connection.is_tls
            and self._context.tls_context() is not None
        )

    def _take_user(self, login: str) -> None:
        if not self._connection.is_secure:
            raise ProtocolViolation("A password may not travel in the clear; use STLS first")
        # Whether there is such an account is told at PASS, and then not which half was wrong.
        self._user = login
        self._say(b"+OK now the password\r\n")

    async def _pass(self, password: str) -> None:
        user, self._user = self._user, ""
        if not user:
            raise ProtocolViolation("USER comes before PASS")
        try:
            principal = await self._context.authentication.password(
                self._connection, user, password, protocol="pop3", log=self.log
            )
        except AuthenticationFailed as error:
            self._login_failed(error)
        else:
            await self._log_in(principal)

    async def _auth(self, command: commands.Auth) -> None:
        authentication = self._context.authentication
        if not command.mechanism:
            # The listing of RFC 1734's days, which some mail programs still ask for.
            self._say(multi_line(b"+OK mechanisms\r\n", authentication.mechanisms(self._connection)))
            return
        initial = None if command.initial is None else decode_initial(command.initial)
        try:
            principal = await authentication.exchange(
                self._connection, command.mechanism, initial, self._ask, protocol="pop3", log=self.log
            )
        except AuthenticationFailed as error:
            self._login_failed(error)
        except AuthenticationCancelled:
            self._say(b"-ERR cancelled\r\n")
        else:
            await self._log_in(principal)

    async def _ask(self, challenge: bytes) -> bytes:
        self._say(b"+ %s\r\n" % base64.b64encode(challenge))
        await self._flush()
        framer = self._framer
        framer.line_octets = self._limits.smtp_auth_line_octets
        try:
            while not framer.has_line:
                data = await self._connection.read(self._patience())
                if not data:
                    raise ConnectionLost("the client closed during AUTH")
                framer.feed(data)
            line = framer.next_line()
        finally:
            framer.line_octets = self._limits.pop3_line_octets
        if line is None or line == b"*":
            raise AuthenticationCancelled("The client took its AUTH back")
        return decode_base64(line)

    def _login_failed(self, error: AuthenticationFailed) -> None:
        self._say(err(str(error), ResponseCode.AUTH))
        self._failed_logins += 1
        if self._failed_logins >= self._limits.login_attempts:
            self._end("too many failed logins")

    async def _log_in(self, principal: Principal) -> None:
        try:
            self._context.sessions.enter(principal, self._connection, self._limits.connections_per_account)
        except TooManySessions as error:
            self.log.info("login.refused", account=principal.login, reason="too many sessions")
            self._say(err(str(error), ResponseCode.SYS_TEMP))
            return
        self._principal = principal
        store = self._context.store
        account_id = principal.account_id
        if store.read_now(lambda tx: maildrop_messages(tx, account_id)) >= LONG_MAILDROP:
            self._drop = await store.read(lambda tx: open_maildrop(tx, account_id))
        else:
            self._drop = store.read_now(lambda tx: open_maildrop(tx, account_id))
        self.log = self.log.bind(account=principal.login)
        self._reader = MessageReader(store, account_id, self._drop, self._framer, self._deleted)
        self._octets = sum(self._drop.sizes)
        self._state = State.TRANSACTION
        self._say(b"+OK %d messages (%d octets)\r\n" % (self._count(), self._octets))

    def leave(self) -> None:
        """The session is over."""
        if self._principal is not None:
            self._context.sessions.leave(self._principal.account_id, self._connection)

    async def _start_tls(self) -> None:
        context = self._context.tls_context()
        if context is None or not self._may_start_tls():
            raise ProtocolViolation("There is no TLS to begin here")
        self._say(b"+OK begin TLS\r\n")
        await self._flush()
        # SECURITY: what came behind STLS in the clear is dropped (RFC 2595 §2.1 and §4), here what
        # was cut into lines already, in start_tls() what was not.
        self._framer.clear()
        self._user = ""
        await self._connection.start_tls(context)
        self.log.info("tls.started", tls=self._connection.tls_version())

    # After the login

    def _messages(self) -> MessageReader:
        assert self._reader is not None, "states.py lets nobody here before the login"
        return self._reader

    def _count(self) -> int:
        return len(self._drop.uids) - len(self._deleted)

    def _require(self, number: int) -> int:
        """The UID of a message number. Raises ProtocolViolation when there is none."""
        if number > len(self._drop.uids):
            raise ProtocolViolation(f"There is no message {number}; the last is {len(self._drop.uids)}")
        if number in self._deleted:
            raise ProtocolViolation(f"Message {number} is deleted; RSET brings it back")
        return self._drop.uids[number - 1]

    def _list(self, number: int) -> None:
        if number:
            self._require(number)
            self._say(b"+OK %d %d\r\n" % (number, self._drop.sizes[number - 1]))
            return
        self._say(b"+OK %d messages (%d octets)\r\n" % (self._count(), self._octets))
        self._say(self._listing(self._drop.sizes, b"%d %d\r\n"))

    def _uidl(self, number: int) -> None:
        template = b"%%d %d.%%d\r\n" % self._drop.uid_validity
        if number:
            uid = self._require(number)
            self._say(b"+OK " + template % (number, uid))
            return
        self._say(b"+OK\r\n")
        self._say(self._listing(self._drop.uids, template))

    def _listing(self, values: tuple[int, ...], template: bytes) -> bytes:
        """The lines of LIST or UIDL and their end; kept, for as long as nothing is marked deleted."""
        if self._deleted:
            return numbered(values, template, self._deleted) + END
        made = self._listings.get(template)
        if made is None:
            made = numbered(values, template, self._deleted) + END
            if len(made) <= KEPT_LISTING_OCTETS:
                self._listings[template] = made
        return made

    def _retrieve(self, number: int) -> bool:
        self._require(number)
        if self._drop.sizes[number - 1] > STREAM_OCTETS:
            return False
        octets = self._messages().whole(number)
        self.retrieved += 1
        self._say(b"+OK %d octets\r\n" % len(octets))
        self._say(stuffed(octets))
        return True

    def _top(self, number: int, lines: int) -> bool:
        self._require(number)
        if lines and self._drop.sizes[number - 1] > STREAM_OCTETS:
            return False
        octets = self._messages().top(number, lines)
        self._say(b"+OK\r\n")
        self._say(stuffed(octets))
        return True

    async def _stream(self, number: int, lines: int | None) -> None:
        """Send a large message, or its first lines, in pieces; none is read before the last was taken."""
        self._require(number)
        header, source = self._messages().opened(number)
        stuffer = Stuffer()
        self._say(b"+OK %d octets\r\n" % (len(header) + source.size) if lines is None else b"+OK\r\n")
        self._say(stuffer.feed(header))
        at = 0
        try:
            while at < source.size:
                piece = await asyncio.to_thread(source.read, at, PIECE_OCTETS)
                if not piece:
                    raise TemporarilyUnavailable("The message ends too early")
                at += len(piece)
                if lines is not None:
                    found = piece.count(b"\n")
                    if found >= lines:
                        self._say(stuffer.feed(first_lines(piece, lines)))
                        break
                    lines -= found
                self._say(stuffer.feed(piece))
                await self._flush()
        except (PostinoError, OSError) as error:
            # The answer has begun; only its missing end can tell the client that it is not whole.
            self.log.error("pop3.message_unreadable", uid=self._drop.uids[number - 1], error=str(error))
            self._connection.abort()
            raise ConnectionLost("a message could not be read to its end") from error
        self.retrieved += lines is None
        self._say(stuffer.finish())

    async def _quit(self) -> None:
        if self._principal is not None and self._deleted:
            drop, account_id = self._drop, self._principal.account_id
            uids = NumberSet.of(drop.uids[number - 1] for number in self._deleted)
            now = self._context.clock.now()
            try:
                await self._context.store.write(
                    lambda tx: expunge(tx, account_id, drop.mailbox_id, uids, only_deleted=False, now=now)
                )
            except PostinoError as error:
                self.log.error("pop3.delete_failed", error=str(error))
                self._say(err("The deleted messages were not removed; try again", ResponseCode.SYS_TEMP))
                self._end("delete failed")
                return
            self.removed = len(self._deleted)
        self._say(b"+OK goodbye, %d messages deleted\r\n" % self.removed)
        self._end(session_log.QUIT)

    # Speaking

    async def _more(self) -> bytes:
        """Wait for input; forget what was read on a guess when that takes long."""
        patience = self._patience()
        reader = self._reader
        if reader is not None and reader.holds_guesses and patience > GUESS_SECONDS:
            try:
                return await self._connection.read(GUESS_SECONDS)
            except ServerClosing:
                raise
            except TimeoutError:
                reader.forget()
                patience -= GUESS_SECONDS
        return await self._connection.read(patience)

    def _patience(self) -> float:
        """Seconds to wait for input. Raises TimeoutError when the time to log in is over."""
        if self._state is State.TRANSACTION:
            return self._limits.pop3_idle_seconds
        left = self._login_deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise TimeoutError
        return left

    def _say(self, octets: bytes) -> None:
        self._out.append(octets)
        self._out_octets += len(octets)

    async def _flush(self) -> None:
        if not self._out:
            return
        out = self._out
        self._connection.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()
        self._out_octets = 0
        if self._connection.must_drain:
            await self._connection.drain(self._limits.write_seconds)

    def _end(self, reason: str) -> None:
        self._open = False
        self.end_reason = reason


_NO_MAILDROP: Final[tuple[Any, ...]] = (0, 0, (), ())
