"""Tell sessions that a mailbox changed: in this worker at once, in the others by datagrams.

Exposure: the sockets are in a directory only the server's user may enter; a datagram that makes no
    sense is dropped.
Invariants: publishing never blocks and never raises; a hint may be lost, doubled or late, never wrong
    in a way that matters, because who hears one compares MODSEQ with the store.
Not here: what a session does with a hint (servers/imap/).
"""

import asyncio
import os
import socket
import struct
from pathlib import Path
from typing import Final, TypeVar

from postino.core.ids import AccountId, MailboxId, ModSeq
from postino.core.ports import Listener, MailboxChange
from postino.net.sockets import reachable

_RECORD: Final = struct.Struct("!qqq")
RECORDS_IN_DATAGRAM: Final = 300
MOST_WAITING: Final = 20_000
RETRY_SECONDS: Final = 0.02

Key = tuple[int, int]
K = TypeVar("K", int, Key)


class LocalBus:
    """Listeners of this worker only; enough for one worker, and the lower half of DatagramBus."""

    def __init__(self) -> None:
        self._listeners: dict[Key, list[Listener]] = {}
        self._account_listeners: dict[int, list[Listener]] = {}

    def publish(self, changes: list[MailboxChange]) -> None:
        """Call every listener of each changed mailbox, and of its account."""
        for change in changes:
            found = self._listeners.get((change.account_id, change.mailbox_id))
            if found:
                for listener in tuple(found):
                    listener(change)
            if self._account_listeners:
                for listener in tuple(self._account_listeners.get(change.account_id, ())):
                    listener(change)

    def subscribe(self, account_id: AccountId, mailbox_id: MailboxId, listener: Listener) -> None:
        """Have `listener` called for each change of this mailbox."""
        self._listeners.setdefault((account_id, mailbox_id), []).append(listener)

    def unsubscribe(self, account_id: AccountId, mailbox_id: MailboxId, listener: Listener) -> None:
        """Stop it; unknown listeners are ignored."""
        _remove(self._listeners, (account_id, mailbox_id), listener)

    def subscribe_account(self, account_id: AccountId, listener: Listener) -> None:
        """Have `listener` called for each change of any mailbox of this account, and of which there are."""
        self._account_listeners.setdefault(account_id, []).append(listener)

    def unsubscribe_account(self, account_id: AccountId, listener: Listener) -> None:
        """Stop it; unknown listeners are ignored."""
        _remove(self._account_listeners, account_id, listener)


def _remove(listeners: dict[K, list[Listener]], key: K, listener: Listener) -> None:
    found = listeners.get(key)
    if found is None or listener not in found:
        return
    found.remove(listener)
    if not found:
        del listeners[key]


class _Outbox:
    """What one other worker has not been told yet; the newest MODSEQ of a mailbox stands for all."""

    __slots__ = ("address", "waiting")

    def __init__(self, address: str) -> None:
        self.address = address
        self.waiting: dict[Key, int] = {}


class DatagramBus(LocalBus):
    """A worker's bus: `bus.<number>` in the run directory is where it hears the others."""

    def __init__(self, run_directory: Path, number: int, workers: int) -> None:
        """Bind this worker's socket, replacing one a crashed predecessor left."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._scheduled = False
        # Addresses are written relative to the directory itself, however long its path is.
        self._reach = reachable(run_directory)
        directory = self._reach.__enter__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._path = run_directory / f"bus.{number}"
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(directory / self._path.name))
        self._outboxes = [_Outbox(str(directory / f"bus.{n}")) for n in range(workers) if n != number]
        self._loop.add_reader(self._socket.fileno(), self._receive)

    def publish(self, changes: list[MailboxChange]) -> None:
        """Tell this worker's listeners now, the other workers at the loop's next turn."""
        super().publish(changes)
        for outbox in self._outboxes:
            waiting = outbox.waiting
            for change in changes:
                waiting[change.account_id, change.mailbox_id] = change.mod_seq
            if len(waiting) > MOST_WAITING:
                waiting.clear()
        if self._outboxes and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Hear and tell no more."""
        self._loop.remove_reader(self._socket.fileno())
        self._outboxes.clear()
        self._socket.close()
        self._path.unlink(missing_ok=True)
        self._reach.__exit__(None, None, None)

    def _flush(self) -> None:
        self._scheduled = False
        left = False
        for outbox in self._outboxes:
            left = not self._send(outbox) or left
        if left:
            self._scheduled = True
            self._loop.call_later(RETRY_SECONDS, self._flush)

    def _send(self, outbox: _Outbox) -> bool:
        """Send what waits; False when the other worker's queue is full, so that we try again."""
        waiting = outbox.waiting
        while waiting:
            records = list(waiting.items())[:RECORDS_IN_DATAGRAM]
            try:
                self._socket.sendto(_pack(records), outbox.address)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:
                # That worker is being restarted; its new sessions read the store anyway.
                waiting.clear()
                return True
            for key, _ in records:
                del waiting[key]
        return True

    def _receive(self) -> None:
        for _ in range(64):
            try:
                datagram = self._socket.recv(65_536)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return
            super().publish(_unpack(datagram))


def publish_from_outside(run_directory: Path, changes: list[MailboxChange]) -> None:
    """Tell every running worker, from a process that is none (the command line). Never raises."""
    records = [((int(c.account_id), int(c.mailbox_id)), int(c.mod_seq)) for c in changes]
    if not records or not run_directory.is_dir():
        return
    with (
        reachable(run_directory) as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
    ):
        names = [name for name in os.listdir(run_directory) if name.startswith("bus.")]
        for name in names:
            for at in range(0, len(records), RECORDS_IN_DATAGRAM):
                try:
                    sender.sendto(_pack(records[at : at + RECORDS_IN_DATAGRAM]), str(directory / name))
                except OSError:
                    break


def _pack(records: list[tuple[Key, int]]) -> bytes:
    return b"".join([_RECORD.pack(account, mailbox, mod_seq) for (account, mailbox), mod_seq in records])


def _unpack(datagram: bytes) -> list[MailboxChange]:
    if len(datagram) % _RECORD.size:
        return []
    return [
        MailboxChange(AccountId(account), MailboxId(mailbox), ModSeq(mod_seq))
        for account, mailbox, mod_seq in _RECORD.iter_unpack(datagram)
    ]
