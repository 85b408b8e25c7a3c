"""A ManageSieve session from greeting to goodbye.

RFC: 5804.
Exposure: reads unauthenticated octets; holds one command within the framer's limits, and of answers at most
    `limits.output_octets` and the last.
Invariants: one answer for each command, in their order; nothing that came before TLS or stands behind
    LOGOUT is carried out.
Not here: grammar and answers (managesieve/), logging in (login.py), what scripts are asked for (scripts.py).
"""

import asyncio
from typing import Any, Final

from postino.core.errors import NoSuchAccount, PostinoError, ProtocolViolation, TemporarilyUnavailable
from postino.directory.principal import Principal
from postino.managesieve import commands
from postino.managesieve.commands import Command, parse_command
from postino.managesieve.framer import CommandFrame, Frame, Framer, FramerLimits, TooLarge
from postino.managesieve.replies import Facts, ResponseCode, bye, capabilities, no, noop_done, ok
from postino.managesieve.states import State, require_allowed
from postino.net.connection import Connection, ConnectionLost, LoginTakenBack, ServerClosing
from postino.servers import session_log
from postino.servers.account_sessions import TooManySessions
from postino.servers.context import ServerContext
from postino.servers.managesieve import login, scripts
from postino.sieve import extension_names

PROTOCOL: Final = "managesieve"
MAX_BAD_COMMANDS: Final = 20
_COMMANDS_A_TURN: Final = 32


async def serve_managesieve(context: ServerContext, connection: Connection) -> None:
    """Run one session to its end. Never raises but for cancellation."""
    await ManageSieveSession(context, connection).run()


class ManageSieveSession:
    """One dialogue. Answers are gathered and written when no more commands are at hand."""

    def __init__(self, context: ServerContext, connection: Connection) -> None:
        self.context = context
        self.connection = connection
        self.limits = context.limits
        self.budget = context.budget
        self.script_octets = min(self.budget.script_octets, context.script_limits.script_octets)
        self.log: Any = context.log.bind(
            protocol=PROTOCOL, session=session_log.new_session_id(), peer=str(connection.peer)
        )
        self.framer = Framer(FramerLimits.before_login(self.limits))
        self.state = State.NON_AUTHENTICATED
        self.principal: Principal | None = None
        self.failed_logins = 0
        self._bad_commands = 0
        self._out: list[bytes] = []
        self._out_octets = 0
        self._is_open = True
        self._end_reason = session_log.QUIT
        self._login_ends = asyncio.get_running_loop().time() + self.limits.login_seconds

    # From beginning to end

    async def run(self) -> None:
        """Greet, serve, say goodbye, close."""
        context = self.context
        context.metrics.connection_opened(PROTOCOL)
        self.log.info("connection.opened", tls=self.connection.tls_version())
        reason, detail = session_log.CANCELLED, {}
        try:
            self.say(self.capabilities() + ok(f"{context.hostname} Postino ManageSieve is ready"))
            await self._serve()
            reason = self._end_reason
        except LoginTakenBack as error:
            reason = "login taken back"
            self.say(bye(str(error)))
        except ServerClosing:
            reason = session_log.SHUTDOWN
            self.say(bye("The server is shutting down; connect again in a moment", ResponseCode.TRY_LATER))
        except TimeoutError:
            reason = session_log.TIMEOUT
            self.say(bye("Logged out after a long silence"))
        except ConnectionLost as error:
            reason, detail = session_log.LOST, {"detail": str(error)}
        except ProtocolViolation as error:
            reason, detail = "protocol violation", {"detail": str(error)}
            self.say(bye(str(error)))
        except NoSuchAccount:
            reason = "account removed"
            self.say(bye("This account was removed"))
        except Exception:
            reason = session_log.FAULT
            context.metrics.session_fault(PROTOCOL)
            self.log.exception("session.fault")
            self.say(bye("Something went wrong here; connect again", ResponseCode.TRY_LATER))
        finally:
            self._leave()
            self._write_out()
            self.connection.close()
            context.metrics.connection_closed(PROTOCOL)
            self.log.info("connection.closed", reason=reason, **detail)

    async def _serve(self) -> None:
        turn = 0
        while self._is_open:
            frame = await self.next_frame()
            try:
                self.say(await self._answer(frame))
                self._bad_commands = 0
            except PostinoError as error:
                self._refuse(error)
            turn += 1
            if self._out_octets >= self.limits.output_octets:
                await self.flush()
            if turn % _COMMANDS_A_TURN == 0:
                await asyncio.sleep(0)

    async def _answer(self, frame: Frame) -> bytes:
        if isinstance(frame, TooLarge):
            code = ResponseCode.MAX_SIZE if frame.head[:9].upper() == b"PUTSCRIPT" else None
            return no(scripts.too_large(self), code)
        command = parse_command(frame)
        require_allowed(self.state, command)
        self.context.metrics.command(PROTOCOL, type(command).__name__.upper())
        return await self._carry_out(command)

    async def _carry_out(self, command: Command) -> bytes:
        match command:
            case commands.Capability():
                return self.capabilities() + ok()
            case commands.Noop():
                return noop_done(command.tag)
            case commands.Logout():
                self.end_after_answer(session_log.QUIT)
                return ok("Goodbye")
            case commands.Starttls():
                return await login.run_starttls(self)
            case commands.Authenticate():
                return await login.run_authenticate(self, command)
            case commands.Unauthenticate():
                return self._log_out()
            case _:
                assert self.principal is not None, "states.py lets nobody here before the login"
                return await scripts.run_command(self, self.principal.account_id, command)

    def _refuse(self, error: PostinoError) -> None:
        if isinstance(error, ProtocolViolation):
            if error.fatal:
                raise error
            self._bad_commands += 1
            if self._bad_commands >= MAX_BAD_COMMANDS:
                raise ProtocolViolation(f"{error}. That was one bad command too many")
            self.say(no(str(error)))
        elif isinstance(error, NoSuchAccount):
            raise error
        else:
            if isinstance(error, TemporarilyUnavailable):
                self.log.warning("command.failed", error=str(error))
            self.say(no(str(error), scripts.code_of(error)))

    # What login.py and scripts.py need

    def capabilities(self) -> bytes:
        """What the client can have now, as lines."""
        return capabilities(
            Facts(
                mechanisms=self.context.authentication.mechanisms(self.connection),
                extensions=extension_names(),
                offers_tls=self.may_start_tls(),
                redirects=self.budget.redirects,
                owner="" if self.principal is None else self.principal.login,
            )
        )

    def may_start_tls(self) -> bool:
        """Whether STARTTLS is offered."""
        return (
            self.state is State.NON_AUTHENTICATED
            and not self.connection.is_tls
            and self.context.tls_context() is not None
        )

    def log_in(self, principal: Principal) -> None:
        """Go on as this account. Raises TooManySessions."""
        try:
            self.context.sessions.enter(principal, self.connection, self.limits.connections_per_account)
        except TooManySessions:
            self.log.info("login.refused", account=principal.login, reason="too many sessions")
            raise
        self.principal = principal
        self.log = self.log.bind(account=principal.login)
        self.state = State.AUTHENTICATED
        self.framer.limits = FramerLimits.after_login(self.limits, self.script_octets)

    def _log_out(self) -> bytes:
        """Be as before the login (RFC 5804 §2.14.1)."""
        self._leave()
        self.log = self.log.bind(account="")
        self.state = State.NON_AUTHENTICATED
        self.framer.limits = FramerLimits.before_login(self.limits)
        self._login_ends = asyncio.get_running_loop().time() + self.limits.login_seconds
        return ok("You are nobody again")

    def _leave(self) -> None:
        if self.principal is not None:
            self.context.sessions.leave(self.principal.account_id, self.connection)
            self.principal = None

    def end_after_answer(self, reason: str) -> None:
        """Say what is being said, and no more."""
        self._is_open = False
        self._end_reason = reason

    async def next_frame(self) -> Frame:
        """What the client says next; before waiting for it, the client is told all there is."""
        while True:
            frame = self.framer.next_frame()
            if frame is not None:
                return frame
            await self.flush()
            data = await self.connection.read(self._patience())
            if not data:
                raise ConnectionLost("the client closed the connection")
            self.framer.feed(data)

    async def next_answer(self) -> CommandFrame:
        """What the client says within a SASL exchange."""
        frame = await self.next_frame()
        if isinstance(frame, TooLarge):
            raise ProtocolViolation("No answer to a challenge is so long")
        return frame

    def _patience(self) -> float:
        """Seconds to wait for input. Raises TimeoutError when the time to log in is over."""
        if self.state is State.AUTHENTICATED:
            return self.limits.managesieve_idle_seconds
        left = self._login_ends - asyncio.get_running_loop().time()
        if left <= 0:
            raise TimeoutError
        return left

    def say(self, octets: bytes) -> None:
        """Write this at the next flush."""
        self._out.append(octets)
        self._out_octets += len(octets)

    async def flush(self) -> None:
        """Write what was said, and wait for a client that does not read it."""
        self._write_out()
        if self.connection.must_drain:
            await self.connection.drain(self.limits.write_seconds)

    def _write_out(self) -> None:
        if self._out:
            self.connection.write(b"".join(self._out))
            self._out.clear()
            self._out_octets = 0
