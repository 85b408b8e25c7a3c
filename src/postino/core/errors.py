"""The errors that cross layers. Each carries one sentence a person can act on.

Not here: wire replies; a server turns an error into its protocol's answer in one place.
"""


class PostinoError(Exception):
    """Base of every error Postino raises on purpose; `str(error)` is one clear sentence."""


class ProtocolViolation(PostinoError):
    """The other side broke its protocol's grammar or a limit. Costs one command, unless `fatal`.

    After a fatal violation the framing can no longer be trusted: answer and close.
    """

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.fatal = fatal


class SettingsError(PostinoError):
    """The settings file cannot be used; the sentence names the key and what to write instead."""


class AuthenticationFailed(PostinoError):
    """The credentials do not belong to an account. Says nothing about which half was wrong."""


class CredentialsExpired(AuthenticationFailed):
    """The credentials were good once, and are not any more; new ones are needed."""


class NotAuthorized(AuthenticationFailed):
    """Whoever it is may not act as the identity asked for (RFC 4422 §3.4.1)."""


class AuthenticationCancelled(PostinoError):
    """The client took its SASL exchange back with `*` (RFC 4954 §4, RFC 9051 §6.2.2)."""


class TemporarilyUnavailable(PostinoError):
    """The same request may succeed later: overload, a full disk, a locked database."""


class DiskFull(TemporarilyUnavailable):
    """The file system has no room; nothing was kept, and what is there can still be read."""


class DnsFailure(TemporarilyUnavailable):
    """The DNS gives no answer now: a time-out, SERVFAIL, or an answer that makes no sense."""


class StoreError(PostinoError):
    """A store function refused, before it wrote anything."""


class NoSuchAccount(StoreError):
    """No account has that login or id."""


class NoSuchMailbox(StoreError):
    """The account has no mailbox of that name or id (any more)."""


class AccessLost(NoSuchMailbox):
    """Somebody else's mailbox, which may no longer be read (RFC 4314 §5.1.1)."""


class AlreadyExists(StoreError):
    """Something of that name is there already."""


class NotPermitted(StoreError):
    """The thing exists, but this may not be done to it (INBOX cannot be deleted, ...)."""


class UseTaken(NotPermitted):
    """Another mailbox has this special use already (RFC 6154)."""


class HasChildren(NotPermitted):
    """A mailbox with others below it cannot be deleted."""


class NoPermission(StoreError):
    """Somebody else's mailbox, and its access control list does not allow this (RFC 4314)."""


class OverQuota(StoreError):
    """The account's quota does not leave room for the message."""


class NoSuchScript(StoreError):
    """There is no Sieve script of that name."""


class ScriptActive(NotPermitted):
    """The active Sieve script cannot be deleted (RFC 5804 §2.10)."""


class NoRoomForScript(OverQuota):
    """The account's Sieve scripts would take more room than they may, or this one would."""


class TooManyScripts(NoRoomForScript):
    """The account has as many Sieve scripts as it may (RFC 5804 §1.3, QUOTA/MAXSCRIPTS)."""


class ScriptTooLarge(NoRoomForScript):
    """One Sieve script is larger than it may be (RFC 5804 §1.3, QUOTA/MAXSIZE)."""


class OverSendingLimit(StoreError):
    """The account has sent as much as it may; the sentence says when it may go on."""

    def __init__(self, message: str, *, passes: bool = True) -> None:
        super().__init__(message)
        self.passes = passes
        """Whether the same message can be sent later."""


class TooManyMessages(StoreError):
    """A limit on counts (mailboxes, depth of names, UIDs) would be exceeded."""


class DatabaseTooNew(StoreError):
    """A newer Postino wrote this database; this program must not touch it."""


class DatabaseDamaged(StoreError):
    """The database contradicts itself; `postino verify` tells where."""
