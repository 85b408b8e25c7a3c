"""The keys with which a token issuer signs: fetched outside the event loop, kept, fetched anew.

RFC: 7517 §5 (JWK sets), 8414 §3 and OpenID Connect Discovery 1.0 §4 (where an issuer says where they are).
Exposure: which key is wanted comes from unauthenticated clients, so that asking again is limited.
Invariants: one fetch at a time; keys that are there go on being used while the issuer cannot be reached.
Not here: what a token must say (directory/tokens.py), the fetch itself (net/https_client.py).
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joserfc.jwk import KeySet
from structlog.typing import FilteringBoundLogger

from postino.core.errors import AuthenticationFailed, PostinoError, TemporarilyUnavailable
from postino.core.ports import Clock
from postino.directory.token_rules import BadToken, TokenRules, openid_configuration
from postino.directory.tokens import UnknownKey, check_token, read_keys
from postino.net.https_client import https_get

SOON_SECONDS: Final = 30.0
"""Between two fetches, however many tokens name keys that nobody knows."""

Fetch = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys are: an https URL, a file, or neither, for where the issuer says."""

    url: str = ""
    file: Path | None = None
    authorities: str = ""
    """PEM file of those who vouch for the issuer's web server; empty for the system's."""
    fresh_seconds: float = 3600.0


class TokenChecker:
    """One for each worker. `rules` and `source` come from the settings."""

    def __init__(
        self,
        rules: TokenRules,
        source: KeySource,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        steady: Callable[[], float] = time.monotonic,
        fetch: Fetch | None = None,
    ) -> None:
        self.rules = rules
        self._source = source
        self._clock = clock
        self._log = log
        self._steady = steady
        self._fetch = fetch or self._https
        self._keys: KeySet | None = None
        self._fetched = -SOON_SECONDS
        self._fetching: asyncio.Task[None] | None = None

    async def login_of(self, token: str) -> str:
        """The login a token stands for. Raises BadToken, or TemporarilyUnavailable without any keys."""
        try:
            return check_token(token, await self._current(), self.rules, self._clock.now())
        except UnknownKey:
            # The issuer may have changed its key; one look, not one for each token somebody makes up.
            await self._refresh(older_than=SOON_SECONDS)
        try:
            return check_token(token, await self._current(), self.rules, self._clock.now())
        except UnknownKey as error:
            raise BadToken("invalid_token", AuthenticationFailed(str(error))) from None

    async def _current(self) -> KeySet:
        if self._keys is None:
            await self._refresh(older_than=SOON_SECONDS)
        elif self._steady() - self._fetched > self._source.fresh_seconds:
            # Those there are serve until the new ones are here.
            self._begin()
        if self._keys is None:
            raise TemporarilyUnavailable("Logins with access tokens are not possible now; try again later")
        return self._keys

    async def _refresh(self, *, older_than: float) -> None:
        if self._fetching is None and self._steady() - self._fetched < older_than:
            return
        await asyncio.shield(self._begin())

    def _begin(self) -> "asyncio.Task[None]":
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_keys())
            self._fetching.add_done_callback(self._fetch_ended)
        return self._fetching

    def _fetch_ended(self, _: "asyncio.Task[None]") -> None:
        self._fetching = None

    async def _fetch_keys(self) -> None:
        try:
            self._keys = await asyncio.get_running_loop().run_in_executor(None, self._load)
            self._log.info("token.keys", keys=len(self._keys.keys))
        except (PostinoError, ValueError, OSError) as error:
            self._log.warning("token.keys.failed", reason=str(error))
        finally:
            self._fetched = self._steady()

    # In a thread

    def _load(self) -> KeySet:
        source = self._source
        if source.file is not None:
            octets, where = source.file.read_bytes(), str(source.file)
        else:
            where = source.url or self._discovered()
            octets = self._fetch(where)
        try:
            return read_keys(json.loads(octets))
        except ValueError as error:
            raise ValueError(f"{where} cannot be used: {error}") from error

    def _discovered(self) -> str:
        url = openid_configuration(self.rules.issuer)
        try:
            document: Any = json.loads(self._fetch(url))
            # SECURITY: an issuer speaks for itself only (OpenID Connect Discovery 1.0 §4.3).
            if document["issuer"] != self.rules.issuer:
                raise ValueError("it is another issuer's")
            where = document["jwks_uri"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{url} does not say where the issuer's keys are: {error}") from error
        if not isinstance(where, str):
            raise ValueError(f"{url} does not say where the issuer's keys are")
        return where

    def _https(self, url: str) -> bytes:
        return https_get(url, authorities=self._source.authorities)
