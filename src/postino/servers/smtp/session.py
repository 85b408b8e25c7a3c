"""One SMTP or LMTP session from greeting to goodbye: what each command does.

RFC: 5321 §3-§4, 3207 (STARTTLS), 4954 (AUTH), 3030 (BDAT), 2033 (LMTP), 6409 (submission),
    6531 §3 (SMTPUTF8).
Exposure: anybody on the network.
Invariants: nothing said before STARTTLS counts after it; each understood command is answered once,
    in order.
Not here: grammar (smtp/commands.py), order (smtp/states.py), who may send to whom (policy.py),
    the message itself (receiver.py), SASL (login.py).
"""

import ssl
from typing import Final, assert_never

from postino.core.address import Address, domain_key
from postino.core.errors import TemporarilyUnavailable
from postino.directory.local_user import find_local_user
from postino.directory.principal import Principal
from postino.net.connection import Connection, ConnectionLost, ServerClosing
from postino.servers import session_log
from postino.servers.account_sessions import TooManySessions
from postino.servers.context import ServerContext
from postino.servers.smtp import policy
from postino.servers.smtp.ahead import ask_ahead
from postino.servers.smtp.events import Reason, SessionEvents
from postino.servers.smtp.login import run_login
from postino.servers.smtp.offers import offers_of
from postino.servers.smtp.receiver import MessageReceiver
from postino.servers.smtp.roles import SmtpRole
from postino.servers.smtp.submitter import Submitter, account_submitter, local_submitter
from postino.servers.smtp.transaction import MailTransaction
from postino.servers.smtp.wire import Wire
from postino.smtp import replies
from postino.smtp.commands import (
    AuthCommand,
    BdatCommand,
    Command,
    Greeting,
    HelloCommand,
    MailCommand,
    RcptCommand,
    SimpleCommand,
    VrfyCommand,
    parse_command,
)
from postino.smtp.envelope import NO_MAIL_OPTIONS, NO_RCPT_OPTIONS, BodyType
from postino.smtp.extensions import Offers, hello_reply, refuse_mail_parameters, refuse_rcpt_parameters
from postino.smtp.paths import path_text
from postino.smtp.received import Arrival, protocol_name
from postino.smtp.reply import BadCommand, Reply
from postino.smtp.states import State, refusal
from postino.store.accounts import Resolved

_NAMES: Final[dict[type[Command], str]] = {
    HelloCommand: "HELLO",
    MailCommand: "MAIL",
    RcptCommand: "RCPT",
    BdatCommand: "BDAT",
    AuthCommand: "AUTH",
    VrfyCommand: "VRFY",
}
_TURN_COMMANDS: Final = 500
"""Pipelined commands answered before other sessions get their turn."""
# A pipelining client sends these before it can know that what they build on was refused.
_FOLLOWERS: Final = (RcptCommand, BdatCommand, SimpleCommand)


async def serve_smtp(
    context: ServerContext, connection: Connection, *, role: SmtpRole, implicit_tls: bool = False
) -> None:
    """Talk to one client until it or we have had enough. Never raises."""
    await SmtpSession(context, connection, role, offers_tls=not implicit_tls).run()


class SmtpSession:
    """The state of one session; run() is called once."""

    def __init__(
        self, context: ServerContext, connection: Connection, role: SmtpRole, *, offers_tls: bool
    ) -> None:
        self._context = context
        self._limits = limits = context.limits
        self._connection = connection
        self._role = role
        self._offers_tls = offers_tls
        self._session_id = session_log.new_session_id()
        self._events = SessionEvents(context, role.value, session=self._session_id, peer=str(connection.peer))
        self._local = None
        self._submitter: Submitter | None = None
        if role is SmtpRole.LOCAL:
            senders = context.local_senders
            user_id = connection.peer_user_id()
            self._local = find_local_user(user_id, hostname=context.hostname, senders=senders)
            self._submitter = local_submitter(self._local)
            self._events.local_user(self._local.name)
        must_log_in = role is SmtpRole.SUBMISSION
        self._wire = Wire(connection, limits, login_seconds=limits.login_seconds if must_log_in else None)
        self._receiver = MessageReceiver(context, role, self._wire, self._events)
        self._state = State.CONNECTED
        self._hello: HelloCommand | None = None
        self._principal: Principal | None = None
        self._transaction: MailTransaction | None = None
        self._messages = 0
        self._bad_commands = 0
        self._failed_logins = 0
        self._end_reason = ""
        """Why the session is over; empty while it goes on."""

    async def run(self) -> None:
        """The whole session."""
        wire = self._wire
        self._events.opened(self._connection.tls_version())
        reason, detail = session_log.CANCELLED, {}
        try:
            await self._converse()
            reason = self._end_reason
        except ServerClosing:
            wire.reply(replies.SHUTTING_DOWN)
            reason = session_log.SHUTDOWN
        except TimeoutError:
            wire.reply(replies.LOGIN_TOO_SLOW if wire.login_is_late else replies.IDLE_TOO_LONG)
            reason = session_log.TIMEOUT
        except ConnectionLost as error:
            reason, detail = session_log.LOST, {"detail": str(error)}
        except Exception as error:
            self._events.failed(error)
            wire.reply(replies.INTERNAL_ERROR)
            reason = session_log.FAULT
        finally:
            self._drop_transaction()
            wire.flush()
            self._log_out()
            self._connection.close()
            self._events.closed(reason, self._messages, **detail)

    async def _converse(self) -> None:
        wire = self._wire
        protocol = "LMTP" if self._role is SmtpRole.LMTP else "ESMTP"
        wire.reply(Reply(220, "", f"{self._context.hostname} {protocol} Postino"))
        commands = 0
        while not self._end_reason:
            commands += 1
            if commands % _TURN_COMMANDS == 0:
                await wire.give_way()
            try:
                await self._obey(parse_command(await wire.read_line()))
            except BadCommand as error:
                wire.reply(error.reply)
                self._count_bad_command(fatal=error.fatal)
            except TemporarilyUnavailable:
                wire.reply(replies.STORE_UNAVAILABLE)

    def _end(self, reply: Reply, reason: str) -> None:
        self._wire.reply(reply)
        self._end_reason = reason

    def _count_bad_command(self, *, fatal: bool = False) -> None:
        self._bad_commands += 1
        if fatal:
            self._end_reason = "framing lost"
        elif self._bad_commands >= self._limits.smtp_bad_commands:
            self._end(replies.TOO_MANY_BAD_COMMANDS, "too many bad commands")

    async def _obey(self, command: Command) -> None:
        self._events.command(command.value if isinstance(command, SimpleCommand) else _NAMES[type(command)])
        refused = refusal(self._state, command)
        if refused is replies.NO_RECIPIENTS and self._role is SmtpRole.LMTP:
            # RFC 2033 §4.2 leaves LMTP no choice where RFC 5321 §3.3 gives SMTP one.
            refused = replies.NO_RECIPIENTS_LMTP
        if isinstance(command, BdatCommand):
            await self._bdat(command, refused)
            return
        if refused is not None:
            self._wire.reply(refused)
            if not isinstance(command, _FOLLOWERS):
                self._count_bad_command()
            return
        match command:
            case MailCommand():
                self._wire.reply(self._mail(command))
            case RcptCommand():
                self._wire.reply(await self._rcpt(command))
            case SimpleCommand.DATA:
                await self._data()
            case SimpleCommand.RSET:
                self._drop_transaction()
                self._wire.reply(replies.RESET)
            case HelloCommand():
                self._wire.reply(self._say_hello(command))
            case SimpleCommand.QUIT:
                self._end(replies.BYE, session_log.QUIT)
            case SimpleCommand.NOOP:
                self._wire.reply(replies.NOOP)
            case AuthCommand():
                await self._auth(command)
            case SimpleCommand.STARTTLS:
                await self._start_tls()
            case VrfyCommand():
                self._wire.reply(replies.CANNOT_VERIFY)
            case SimpleCommand.HELP:
                self._wire.reply(replies.HELP)
            case SimpleCommand.EXPN:
                self._wire.reply(replies.NO_EXPN)
            case _:
                assert_never(command)

    # Who is there

    def _say_hello(self, command: HelloCommand) -> Reply:
        is_lmtp = self._role is SmtpRole.LMTP
        if is_lmtp != (command.greeting is Greeting.LHLO):
            raise BadCommand(replies.WRONG_GREETING_LMTP if is_lmtp else replies.WRONG_GREETING_SMTP)
        self._drop_transaction()
        self._hello = command
        self._state = State.GREETED
        if command.greeting is Greeting.HELO:
            return Reply(250, "", self._context.hostname)
        return hello_reply(self._context.hostname, self._offers(), self._context.clock.now())

    def _offers(self) -> Offers:
        return offers_of(
            self._context,
            self._role,
            is_tls=self._connection.is_tls,
            offers_tls=self._may_start_tls(),
            mechanisms=self._mechanisms(),
        )

    def _may_start_tls(self) -> bool:
        return self._offers_tls and not self._connection.is_tls and self._tls_context() is not None

    def _tls_context(self) -> ssl.SSLContext | None:
        context = self._context
        if self._role is SmtpRole.SUBMISSION or context.relay_tls_context is None:
            return context.tls_context()
        return context.relay_tls_context()

    def _mechanisms(self) -> list[str]:
        """What AUTH is offered: nothing to those who need none, or to other servers before TLS."""
        if self._principal is not None or self._role in {SmtpRole.LMTP, SmtpRole.LOCAL}:
            return []
        if self._role is SmtpRole.MX and not self._connection.is_tls:
            return []
        return self._context.authentication.mechanisms(self._connection)

    async def _start_tls(self) -> None:
        if self._connection.is_tls:
            raise BadCommand(replies.ALREADY_TLS)
        context = self._tls_context() if self._offers_tls else None
        if context is None:
            raise BadCommand(replies.NO_TLS)
        self._wire.reply(replies.START_TLS)
        self._wire.flush()
        # SECURITY: what the client pipelined behind STARTTLS came in the clear and is forgotten,
        # here and by the connection, and so is all the client has said (RFC 3207 §4.2).
        self._wire.restart()
        self._state = State.CONNECTED
        self._hello = None
        self._log_out()
        await self._connection.start_tls(context)
        self._events.tls_started(self._connection.tls_version())

    async def _auth(self, command: AuthCommand) -> None:
        if self._principal is not None:
            raise BadCommand(replies.ALREADY_LOGGED_IN)
        is_extended = self._hello is not None and self._hello.greeting is Greeting.EHLO
        if not is_extended or not self._mechanisms():
            needs_tls = self._role is SmtpRole.MX and self._may_start_tls()
            raise BadCommand(replies.MECHANISM_NEEDS_TLS if needs_tls else replies.NO_AUTH_HERE)
        framer = self._wire.framer
        framer.line_octets = self._limits.smtp_auth_line_octets
        try:
            found = await run_login(
                self._context.authentication,
                self._connection,
                command,
                protocol=self._role.value,
                log=self._events.log,
                send=self._wire.send,
                read_line=self._wire.read_line,
            )
        finally:
            framer.line_octets = self._limits.smtp_line_octets
        if isinstance(found, Principal):
            try:
                self._context.sessions.enter(found, self._connection, self._limits.connections_per_account)
            except TooManySessions as error:
                self._wire.reply(Reply(454, "4.7.0", str(error)))
                return
            self._principal = found
            self._submitter = account_submitter(self._context, found.account_id)
            self._wire.logged_in()
            self._events.logged_in(found.login)
            self._wire.reply(replies.LOGGED_IN)
            return
        self._wire.reply(found)
        self._failed_logins += 1
        if self._failed_logins >= self._limits.login_attempts:
            self._end(replies.TOO_MANY_FAILED_LOGINS, "too many failed logins")

    def _log_out(self) -> None:
        principal, self._principal = self._principal, None
        if principal is not None:
            self._submitter = None
            self._context.sessions.leave(principal.account_id, self._connection)

    # A message

    def _mail(self, command: MailCommand) -> Reply:
        if self._role is SmtpRole.SUBMISSION and self._principal is None:
            return self._refuse_mail(Reason.LOGIN_NEEDED, replies.LOGIN_NEEDED, command)
        now = self._context.clock.now()
        # PERF: nearly all mail asks for nothing beyond its size.
        if command.options is not NO_MAIL_OPTIONS:
            refused = refuse_mail_parameters(command, self._offers(), now)
            if refused is not None:
                return self._refuse_mail(Reason.PARAMETER, refused, command)
        refused = policy.refuse_sender(self._context, self._submitter, command)
        if refused is not None:
            reason = Reason.TOO_LARGE if refused is replies.TOO_LARGE else Reason.SENDER
            return self._refuse_mail(reason, refused, command)
        if not self._context.delivery.disk_room.has_for(command.size):
            return self._refuse_mail(Reason.UNAVAILABLE, replies.DISK_FULL, command)
        self._messages += 1
        self._transaction = MailTransaction.begin(command, f"{self._session_id}-{self._messages}", now)
        self._state = State.SENDER
        return replies.SENDER_OK

    def _refuse_mail(self, reason: Reason, reply: Reply, command: MailCommand) -> Reply:
        return self._events.refused(reason, reply, reverse_path=path_text(command.reverse_path))

    async def _rcpt(self, command: RcptCommand) -> Reply:
        transaction = self._transaction
        assert transaction is not None
        forward_path = command.forward_path
        if not (transaction.mail.options.smtputf8 or command.is_ascii):
            raise BadCommand(replies.SMTPUTF8_NEEDED)
        if command.options is not NO_RCPT_OPTIONS:
            refused = refuse_rcpt_parameters(command, self._offers())
            if refused is not None:
                raise BadCommand(refused)
        most = self._limits.recipients
        if len(transaction.taken) >= most or transaction.refused_recipients >= most:
            return self._refuse_recipient(Reason.TOO_MANY_RECIPIENTS, replies.TOO_MANY_RECIPIENTS, command)
        found = policy.resolve_recipient(
            self._context,
            forward_path,
            octets=transaction.mail.size,
            may_relay=self._submitter is not None,
            is_report=transaction.mail.reverse_path is None,
        )
        if (found is None or isinstance(found, policy.RecipientRefused)) and self._is_local(forward_path):
            # Programs write to users of this machine, above all root, whom nobody made an account for.
            found = policy.resolve_recipient(
                self._context, Address("postmaster", ""), octets=transaction.mail.size, may_relay=True
            )
        if isinstance(found, policy.RecipientRefused):
            transaction.refused_recipients += 1
            return self._refuse_recipient(found.reason, found.reply, command)
        if found is not None and found.forwards and self._role is SmtpRole.MX and self._submitter is None:
            refused = await self._ask_ahead(transaction, command, found)
            if refused is not None:
                return refused
        transaction.add_recipient(command, found)
        self._state = State.RECIPIENTS
        return replies.RECIPIENT_OK

    async def _ask_ahead(
        self, transaction: MailTransaction, command: RcptCommand, found: Resolved
    ) -> Reply | None:
        """The next server's refusal of a recipient that is forwarded."""
        # The client need not wait for what is answered already.
        self._wire.flush()
        refused = await ask_ahead(self._context, transaction, command, found)
        if refused is None:
            return None
        transaction.refused_recipients += 1
        return self._refuse_recipient(Reason.NEXT_SERVER, refused, command)

    def _is_local(self, address: Address) -> bool:
        return self._local is not None and domain_key(address.domain) == self._local.hostname

    def _refuse_recipient(self, reason: Reason, reply: Reply, command: RcptCommand) -> Reply:
        assert self._transaction is not None
        return self._events.refused(
            reason,
            reply,
            reverse_path=path_text(self._transaction.mail.reverse_path),
            forward_path=path_text(command.forward_path),
        )

    async def _data(self) -> None:
        transaction = self._transaction
        assert transaction is not None
        if transaction.mail.options.body is BodyType.BINARY_MIME:
            raise BadCommand(replies.BINARY_NEEDS_BDAT)
        self._wire.reply(replies.START_DATA)
        await self._receiver.read_data(transaction)
        await self._finish(transaction)

    async def _bdat(self, command: BdatCommand, refused: Reply | None) -> None:
        transaction = self._transaction if refused is None else None
        # A refused chunk is read too: its octets must not be taken for commands (RFC 3030 §2).
        await self._receiver.read_chunk(transaction, command.octets)
        if transaction is None:
            assert refused is not None
            self._wire.reply(refused)
        elif command.is_last:
            await self._finish(transaction)
        else:
            refused = self._receiver.refuse_so_far(transaction)
            self._state = State.CHUNKS if refused is None else State.FAILED
            self._wire.reply(refused or replies.CHUNK_OK)

    async def _finish(self, transaction: MailTransaction) -> None:
        self._transaction = None
        self._state = State.GREETED
        for reply in await self._receiver.finish(transaction, self._arrival(transaction), self._submitter):
            self._wire.reply(reply)

    def _arrival(self, transaction: MailTransaction) -> Arrival:
        hello = self._hello
        assert hello is not None
        tls = self._connection.tls_version()
        protocol = protocol_name(
            lmtp=self._role is SmtpRole.LMTP,
            extended=hello.greeting is not Greeting.HELO,
            tls=bool(tls),
            login=self._principal is not None,
            smtputf8=transaction.mail.options.smtputf8,
        )
        host = hello.host if self._local is None else self._local.name
        return Arrival(host, self._connection.peer.address, protocol, tls)

    def _drop_transaction(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.discard()
        if self._state is not State.CONNECTED:
            self._state = State.GREETED
