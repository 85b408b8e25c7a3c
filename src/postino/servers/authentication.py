"""Find out who a client is: run its SASL exchange or check its password, slowly enough for guessers.

RFC: 4422 (SASL), 4616, 5802, 7677, 7628 (mechanisms), 9106 (Argon2id).
Exposure: everything here is driven by unauthenticated clients.
Invariants: an unknown login and a wrong password look and cost the same; a password in clear is never
    taken where somebody could listen; passwords and tokens are neither kept nor logged.
Not here: mechanisms (sasl/), hashes (directory/credentials.py), counting failures (login_guard.py).
"""

import asyncio
import base64
import hashlib
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, assert_never

from structlog.typing import FilteringBoundLogger

from postino.core.errors import (
    AuthenticationCancelled,
    AuthenticationFailed,
    NotAuthorized,
    ProtocolViolation,
    TemporarilyUnavailable,
)
from postino.core.limits import Limits
from postino.core.ports import Clock
from postino.directory.credentials import Credentials, verify_password
from postino.directory.principal import Principal
from postino.directory.token_rules import BadToken
from postino.net.connection import Connection
from postino.sasl.exchange import (
    MAX_PASSWORD_OCTETS,
    Answer,
    Challenge,
    CheckCertificate,
    CheckPassword,
    CheckToken,
    FindScramKeys,
    ReportProof,
    ScramHash,
    ScramKeys,
    TokenRefusal,
    login_key,
)
from postino.sasl.mechanisms import Circumstances, begin, find_mechanism, offered
from postino.sasl.scram import ChannelBinding, invented_keys, parse_keys
from postino.servers.account_sessions import stamp_of
from postino.servers.login_guard import GuardRules, LoginGuard
from postino.store.accounts import AccountRow, account_by_login
from postino.store.secret import find_secret, make_secret
from postino.store.store import Store

if TYPE_CHECKING:
    from postino.servers.metrics import Metrics
    from postino.servers.token_keys import TokenChecker

REMEMBER_SECONDS: Final = 300.0
MAX_REMEMBERED: Final = 10_000
MAX_WAITING: Final = 500
"""Passwords waiting for a thread before further clients are told to come again."""
WRONG: Final = "The login or the password is wrong"

Ask = Callable[[bytes], Awaitable[bytes]]


class Authentication:
    """One for each worker; its memory of successes and failures is the worker's own."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        clock: Clock,
        log: FilteringBoundLogger,
        *,
        metrics: "Metrics | None" = None,
        credentials: Credentials | None = None,
        rules: GuardRules | None = None,
        threads: int | None = None,
        tokens: "TokenChecker | None" = None,
        scram_sha1: bool = False,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self.tokens = tokens
        """Who knows whether an access token is good; None where there is no issuer."""
        self.scram_sha1 = scram_sha1
        self.guard = LoginGuard(rules)
        self._store = store
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._credentials = credentials or Credentials()
        self._steady = steady
        # Argon2id takes memory bandwidth and a whole core: more threads than cores only queue better.
        self._threads = ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1), "password")
        self._pending: dict[bytes, asyncio.Future[bool]] = {}
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._process_key = os.urandom(32)
        self._login_secret: bytes | None = None
        self._decoy_hash = _decoy_hash(self._credentials)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def mechanisms(self, connection: Connection) -> list[str]:
        """The SASL mechanisms to announce on this connection now, best first."""
        found = Circumstances(
            is_secure=connection.is_secure,
            binding=ChannelBinding(connection.server_certificate_hash),
            has_certificate=bool(connection.client_names),
            takes_tokens=self.tokens is not None,
            scram_sha1=self.scram_sha1,
        )
        return [mechanism.value for mechanism in offered(found)]

    async def exchange(
        self,
        connection: Connection,
        mechanism: str,
        initial: bytes | None,
        ask: Ask,
        *,
        protocol: str,
        log: FilteringBoundLogger | None = None,
    ) -> Principal:
        """Run a SASL exchange to its end.

        `initial` is the decoded initial response, None when the client sent none. `ask` sends a
        challenge and gives the decoded answer; it raises AuthenticationCancelled on `*`.
        Raises AuthenticationFailed (after a pause that grows), ProtocolViolation, TemporarilyUnavailable.
        """
        found = find_mechanism(mechanism)
        if found.value not in self.mechanisms(connection):
            raise ProtocolViolation(f"{found.value} needs TLS; start TLS first")
        attempt = _Attempt(self, connection, protocol, found.value, log or self._log)
        exchange = begin(
            found,
            initial,
            nonce=secrets.token_urlsafe(18).encode(),
            binding=ChannelBinding(connection.server_certificate_hash),
        )
        try:
            step = next(exchange)
            while True:
                answer: Answer
                match step:
                    case Challenge():
                        answer = await attempt.ask(ask, step.octets)
                    case CheckPassword():
                        await attempt.check_password(step.login, step.password)
                        answer = True
                    case FindScramKeys():
                        answer = await attempt.find_keys(step.login, step.hash)
                    case CheckToken():
                        answer = await attempt.check_token(step.login, step.token)
                    case CheckCertificate():
                        await attempt.check_certificate(connection.client_names, step.login)
                        answer = True
                    case ReportProof():
                        await attempt.take_proof(step.holds)
                        answer = True
                    case _:
                        assert_never(step)
                step = exchange.send(answer)
        except StopIteration:
            # The exchange ended with success; who succeeded is what the directory said, not the client.
            return attempt.finish()
        except (ProtocolViolation, AuthenticationCancelled):
            attempt.log.info("login.aborted")
            raise
        except AuthenticationFailed as error:
            attempt.note_refusal(error)
            raise
        finally:
            exchange.close()

    async def password(
        self,
        connection: Connection,
        login: str,
        password: str,
        *,
        protocol: str,
        log: FilteringBoundLogger | None = None,
    ) -> Principal:
        """Check a login and password that came in a command (LOGIN, PASS); raises like exchange()."""
        if not connection.is_secure:
            raise ProtocolViolation("A password may not travel in the clear; start TLS first")
        attempt = _Attempt(self, connection, protocol, "password", log or self._log)
        await attempt.check_password(login, password)
        return attempt.finish()

    # What an attempt uses

    def find_account(self, key: str) -> AccountRow | None:
        """The account of a folded login."""
        return self._store.read_now(lambda tx: account_by_login(tx, key))

    async def verify(self, account: AccountRow | None, key: str, password: str) -> tuple[bool, bytes]:
        """Whether the password is the account's, and the password's fingerprint."""
        stored = account.password_hash if account is not None else self._decoy_hash
        fingerprint = self._fingerprint(stored, key, password)
        until = self._remembered.get(fingerprint)
        if until is not None and until > self._steady():
            return True, fingerprint
        if len(password.encode()) > MAX_PASSWORD_OCTETS:
            return False, fingerprint
        pending = self._pending.get(fingerprint)
        if pending is None:
            if len(self._pending) >= MAX_WAITING:
                raise TemporarilyUnavailable("Too many are logging in at once; try again in a minute")
            loop = asyncio.get_running_loop()
            pending = loop.run_in_executor(self._threads, verify_password, password, stored)
            self._pending[fingerprint] = pending
            pending.add_done_callback(lambda _: self._pending.pop(fingerprint, None))
        # Shielded: several clients may wait for this one, and each may go away alone.
        holds = await asyncio.shield(pending) and account is not None
        if holds:
            self._remember(fingerprint)
        return holds, fingerprint

    async def invented_keys(self, key: str, algorithm: ScramHash) -> ScramKeys:
        """Keys for a login nobody has, the same in every worker and after every restart."""
        if self._login_secret is None:
            self._login_secret = self._store.read_now(find_secret)
        if self._login_secret is None:
            fresh = os.urandom(32)
            self._login_secret = await self._store.write(lambda tx: make_secret(tx, fresh))
        return invented_keys(key, self._login_secret, self._credentials.scram_iterations, algorithm)

    def now(self) -> float:
        """Steady seconds, for the guard."""
        return self._steady()

    def count(self, protocol: str, *, ok: bool) -> None:
        """Count a login."""
        if self._metrics is not None:
            self._metrics.login(protocol, ok)

    def _fingerprint(self, stored: str, key: str, password: str) -> bytes:
        """A password's name in memory: keyed by this process and bound to the hash it was checked against."""
        digest = hashlib.blake2b(key=self._process_key, digest_size=16)
        for part in (stored, key, password):
            octets = part.encode("utf-8", "surrogatepass")
            digest.update(len(octets).to_bytes(4, "big") + octets)
        return digest.digest()

    def _remember(self, fingerprint: bytes) -> None:
        self._remembered[fingerprint] = self._steady() + REMEMBER_SECONDS
        self._remembered.move_to_end(fingerprint)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


class _Attempt:
    """One client's one try."""

    def __init__(
        self,
        authentication: Authentication,
        connection: Connection,
        protocol: str,
        mechanism: str,
        log: FilteringBoundLogger,
    ) -> None:
        self._authentication = authentication
        self._peer = connection.peer
        self._protocol = protocol
        self.log = log.bind(
            protocol=protocol, peer=str(connection.peer), mechanism=mechanism, tls=connection.tls_version()
        )
        self._key = ""
        self._account: AccountRow | None = None
        self._proved = False
        self._told = False
        self._refusal: AuthenticationFailed | None = None

    async def check_password(self, login: str, password: str) -> None:
        """Raises AuthenticationFailed unless the password is right."""
        self._look_up(login)
        authentication = self._authentication
        holds, fingerprint = await authentication.verify(self._account, self._key, password)
        if not holds:
            await self._fail(fingerprint)
        self._proved = True

    async def find_keys(self, login: str, algorithm: ScramHash) -> ScramKeys:
        """The keys to challenge this login with."""
        self._look_up(login)
        account, keys = self._account, None
        if account is not None:
            keys = parse_keys(account.scram if algorithm is ScramHash.SHA_256 else account.scram_sha1)
        if keys is None:
            self._account = None
            keys = await self._authentication.invented_keys(self._key, algorithm)
        return keys

    async def ask(self, ask: Ask, challenge: bytes) -> bytes:
        """What the client answers. One that knows already why it is refused may also say `*`."""
        try:
            return await ask(challenge)
        except AuthenticationCancelled:
            if self._refusal is None:
                raise
            # RFC 7628 §4.3: the answer is the refusal, as if the client had waited for it.
            raise self._refusal from None

    async def check_token(self, login: str, token: str) -> bool | TokenRefusal:
        """Whether the token lets its bearer in as `login`, or as whom it names."""
        tokens = self._authentication.tokens
        if tokens is None:
            raise TemporarilyUnavailable("Access tokens are not taken any more; use a password")
        # Whose it claims to be, so that the guard knows whom somebody guesses for.
        self._look_up(login)
        try:
            named = await tokens.login_of(token)
        except BadToken as error:
            status, refusal = error.status, error.failure
        else:
            if login and login_key(login) != login_key(named):
                status = "invalid_token"
                refusal = NotAuthorized("The access token belongs to somebody else than the login")
            else:
                self._look_up(named)
                if self._account is not None:
                    self._proved = True
                    return True
                status, refusal = "invalid_token", AuthenticationFailed("There is no such account here")
        await self._slow_down(hashlib.blake2b(token.encode(), digest_size=16).digest())
        self._refusal = refusal
        rules = tokens.rules
        return TokenRefusal(status, refusal, " ".join(rules.scopes[:1]), rules.configuration)

    async def check_certificate(self, names: tuple[str, ...], login: str) -> None:
        """Raises AuthenticationFailed unless the certificate lets the client in as `login`."""
        if login and login_key(login) not in map(login_key, names):
            self._look_up(login)
            await self._slow_down(os.urandom(16))
            raise NotAuthorized("Your certificate does not name this login")
        for name in (login,) if login else names:
            self._look_up(name)
            if self._account is not None:
                self._proved = True
                return
        await self._slow_down(os.urandom(16))
        raise AuthenticationFailed("Your certificate names no account of this server")

    async def take_proof(self, holds: bool) -> None:
        """Raises AuthenticationFailed unless the proof holds and there is such an account."""
        if not holds or self._account is None:
            # Which password was tried cannot be known, so each failure is a new one.
            await self._fail(os.urandom(16))
        self._proved = True

    def finish(self) -> Principal:
        """Say who it was."""
        if not self._proved or self._account is None:
            raise AuthenticationFailed(WRONG)
        authentication = self._authentication
        authentication.guard.succeeded(self._peer, self._key, authentication.now())
        authentication.count(self._protocol, ok=True)
        self.log.info("login.ok", account=self._account.login)
        return Principal(self._account.id, self._account.login, stamp_of(self._account.password_hash))

    def note_refusal(self, error: AuthenticationFailed) -> None:
        """Tell of a failure the mechanism found by itself, before a password or proof was looked at."""
        if not self._told:
            self._told = True
            self._authentication.count(self._protocol, ok=False)
            self.log.info("login.failed", account=self._shown, known=False, delay=0.0, detail=str(error))

    @property
    def _shown(self) -> str:
        """The login for the log. SECURITY: what is no address may well be a password in the wrong place."""
        return self._key if self._account is not None or "@" in self._key else "[no address]"

    def _look_up(self, login: str) -> None:
        self._key = login_key(login)
        authentication = self._authentication
        wait = authentication.guard.refused_for(self._peer, self._key, authentication.now())
        if wait > 0:
            authentication.count(self._protocol, ok=False)
            self.log.info("login.refused", account=self._shown, seconds=round(wait))
            minutes = max(1, round(wait / 60))
            raise TemporarilyUnavailable(f"Too many wrong passwords; try again in {minutes} minutes")
        self._account = authentication.find_account(self._key)

    async def _fail(self, fingerprint: bytes) -> None:
        await self._slow_down(fingerprint)
        raise AuthenticationFailed(WRONG)

    async def _slow_down(self, fingerprint: bytes) -> None:
        authentication = self._authentication
        delay = authentication.guard.failed(self._peer, self._key, fingerprint, authentication.now())
        authentication.count(self._protocol, ok=False)
        self._told = True
        self.log.info("login.failed", account=self._shown, known=self._account is not None, delay=delay)
        if delay:
            await asyncio.sleep(delay)


def _decoy_hash(credentials: Credentials) -> str:
    """A hash no password has, which costs as much to check as a real one."""
    cost = credentials.argon2
    salt, tag = (base64.b64encode(os.urandom(n)).decode().rstrip("=") for n in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}${salt}${tag}"
