"""Recompute everything the store keeps by counting, follow every reference, and say what differs.

Invariants: changes nothing; may run on a live server (one snapshot).
Not here: repairing.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import zstandard

from postino.core.errors import DatabaseDamaged, PostinoError
from postino.core.ids import BlobId
from postino.core.rights import ALL_RIGHTS
from postino.store.blobs import BlobStore
from postino.store.bodies import Codec, unpack
from postino.store.dkim_keys import check_dkim_keys
from postino.store.finding import Finding, Severity
from postino.store.forwards import check_forwards
from postino.store.queue.verify_queue import check_queue, check_queue_blobs
from postino.store.scripts import check_scripts
from postino.store.tx import RunTx, Tx

__all__ = ["Finding", "Severity", "verify", "verify_in_pieces"]

_BODIES_AT_ONCE: Final = 200
_FRAME_HEADER: Final = 18
"""Octets of a compressed body in which its length stands."""


def verify(tx: Tx, blobs: BlobStore | None = None) -> list[Finding]:
    """Everything that is wrong, empty when nothing is. Without `blobs` the files are not looked for."""
    return [finding for check in _checks(blobs) for finding in check(tx)]


def verify_in_pieces(run: RunTx, blobs: BlobStore) -> list[Finding]:
    """As `verify`, for a database that may be damaged: a check that cannot be carried out is a finding.

    Each check sees a snapshot of its own.
    """
    findings: list[Finding] = []
    for check in _checks(blobs):
        try:
            findings += run(lambda tx, check=check: list(check(tx)))  # type: ignore[misc]
        except PostinoError as error:
            what = check.__name__.strip("_").replace("_", " ")
            reason = str(error).partition(";")[0]
            findings.append(_damage(0, f"the check of {what} could not be carried out: {reason}"))
    return list(dict.fromkeys(findings))


def _checks(blobs: BlobStore | None) -> list[Callable[[Tx], Iterator[Finding]]]:
    checks: list[Callable[[Tx], Iterator[Finding]]] = [
        _database,
        _accounts,
        _mailboxes,
        _access_lists,
        _messages,
        _contents,
        _bodies,
        _compressed,
        _expunged,
        _flag_log,
        _annotations,
        _settings,
        check_dkim_keys,
        check_forwards,
        check_scripts,
        check_queue,
    ]
    if blobs is not None:

        def blob_files(tx: Tx) -> Iterator[Finding]:
            return _blob_files(tx, blobs)

        def queue_blob_files(tx: Tx) -> Iterator[Finding]:
            return check_queue_blobs(tx, blobs)

        checks += [blob_files, queue_blob_files]
    return checks


def _damage(account_id: int, sentence: str) -> Finding:
    return Finding(Severity.DAMAGE, account_id, sentence)


def _database(tx: Tx) -> Iterator[Finding]:
    if tx.dialect.self_check:
        for (line,) in tx.all(tx.dialect.self_check):
            if line != "ok":
                yield _damage(0, f"the database file is damaged: {' '.join(line.split())}")


def _accounts(tx: Tx) -> Iterator[Finding]:
    for account_id, used, counted, octets, messages in tx.all(
        "SELECT a.id, a.used_octets, a.used_messages, coalesce(t.octets, 0), coalesce(t.messages, 0)"
        " FROM account a LEFT JOIN (SELECT account_id, sum(size) AS octets, count(*) AS messages"
        " FROM message GROUP BY account_id) t ON t.account_id=a.id"
        " WHERE a.used_octets<>coalesce(t.octets, 0) OR a.used_messages<>coalesce(t.messages, 0)"
    ):
        yield _damage(
            account_id,
            f"the quota counts {counted} messages of {used} octets, there are {messages} of {octets}",
        )
    for table in (
        "identity",
        "sending",
        "correspondent",
        "vacation_reply",
        "sieve_seen",
        "trace_event",
        "applied_change",
    ):
        for (account_id,) in tx.all(
            f"SELECT DISTINCT account_id FROM {table} WHERE account_id NOT IN (SELECT id FROM account)"
        ):
            yield _damage(account_id, f"the table {table} has rows of an account that does not exist")
    for table, column in (
        ("message", "mod_seq"),
        ("mailbox", "highest_mod_seq"),
        ("mailbox", "id"),
        ("expunged", "mod_seq"),
        ("content", "id"),
    ):
        for account_id, at, highest in tx.all(
            f"SELECT a.id, a.mod_seq, max(x.{column}) FROM account a JOIN {table} x ON x.account_id=a.id"
            f" GROUP BY a.id, a.mod_seq HAVING max(x.{column})>a.mod_seq"
        ):
            yield _damage(
                account_id,
                f"the change counter is {at} but a {table} has {column} {highest}: it would come again",
            )
    for table in ("mailbox", "message", "content", "octets", "expunged", "lone_subscription", "address"):
        for (account_id,) in tx.all(
            f"SELECT DISTINCT x.account_id FROM {table} x"
            " WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.id=x.account_id)"
        ):
            yield _damage(account_id, f"{table} has rows of an account that does not exist")
    for account_id, login in tx.all(
        "SELECT id, login FROM account a WHERE NOT EXISTS"
        " (SELECT 1 FROM mailbox m WHERE m.account_id=a.id AND m.name='INBOX')"
    ):
        yield _damage(account_id, f"{login} has no INBOX")
    for account_id, login, count in tx.all(
        "SELECT a.id, a.login, count(p.account_id) FROM account a"
        " LEFT JOIN address p ON p.account_id=a.id AND p.kind=0"
        " GROUP BY a.id, a.login HAVING count(p.account_id)<>1"
    ):
        yield _damage(account_id, f"{login} has {count} addresses of its own instead of one")
    for domain_id, local_part in tx.all(
        "SELECT domain_id, local_part FROM address p"
        " WHERE NOT EXISTS (SELECT 1 FROM domain d WHERE d.id=p.domain_id)"
    ):
        yield _damage(0, f"the address {local_part!r} belongs to domain {domain_id}, which does not exist")


def _mailboxes(tx: Tx) -> Iterator[Finding]:
    names = ("messages", "unseen", "deleted", "octets")
    for row in tx.all(
        "SELECT b.account_id, b.name, b.messages, b.unseen, b.deleted, b.octets, coalesce(t.messages, 0),"
        " coalesce(t.unseen, 0), coalesce(t.deleted, 0), coalesce(t.octets, 0) FROM mailbox b LEFT JOIN"
        " (SELECT account_id, mailbox_id, count(*) AS messages, sum(1 - (flags & 1)) AS unseen,"
        "  sum((flags & 8) / 8) AS deleted, sum(size) AS octets FROM message"
        "  GROUP BY account_id, mailbox_id) t"
        " ON t.account_id=b.account_id AND t.mailbox_id=b.id"
    ):
        for name, kept, counted in zip(names, row[2:6], row[6:10], strict=True):
            if kept != counted:
                yield _damage(row[0], f"mailbox {row[1]!r} says {name}={kept}, counting gives {counted}")
    for account_id, name in tx.all(
        "SELECT account_id, name FROM mailbox WHERE changed_mod_seq>highest_mod_seq"
    ):
        yield _damage(account_id, f"mailbox {name!r} changed after its highest mod_seq")
    for table in ("message", "expunged"):
        for account_id, name, uid_next, highest, uid, mod_seq in tx.all(
            "SELECT b.account_id, b.name, b.uid_next, b.highest_mod_seq, max(m.uid), max(m.mod_seq)"
            f" FROM mailbox b JOIN {table} m ON m.account_id=b.account_id AND m.mailbox_id=b.id"
            " GROUP BY b.account_id, b.id, b.name, b.uid_next, b.highest_mod_seq"
            " HAVING max(m.uid)>=b.uid_next OR max(m.mod_seq)>b.highest_mod_seq"
        ):
            yield _damage(
                account_id,
                f"mailbox {name!r} has uid_next {uid_next} and highest_mod_seq {highest},"
                f" but {table} has uid {uid} and mod_seq {mod_seq}",
            )
    for (validity,) in tx.all("SELECT uid_validity FROM mailbox GROUP BY uid_validity HAVING count(*)>1"):
        yield _damage(0, f"several mailboxes have the uid_validity {validity}")


def _access_lists(tx: Tx) -> Iterator[Finding]:
    for account_id, mailbox_id, identifier, letters, is_there, is_known, is_owner in tx.all(
        "SELECT a.account_id, a.mailbox_id, a.identifier, a.rights, m.id IS NOT NULL,"
        " v.id IS NOT NULL OR a.identifier IN ('anyone', '-anyone'), coalesce(v.id=a.account_id, 0)"
        " FROM acl a LEFT JOIN mailbox m ON m.account_id=a.account_id AND m.id=a.mailbox_id"
        " LEFT JOIN account v ON v.login=substr(a.identifier, 1 + (a.identifier LIKE '-%'))"
    ):
        where = f"the access control list of mailbox {mailbox_id} names {identifier!r}"
        if not is_there:
            yield _damage(account_id, f"{where}, but there is no such mailbox")
        if not is_known:
            yield _damage(
                account_id, f"{where}, an account that does not exist: a new one would have its rights"
            )
        if is_owner:
            yield _damage(account_id, f"{where}, its owner")
        if not letters or not set(letters) <= set(ALL_RIGHTS.letters):
            yield _damage(account_id, f"{where} with the rights {letters!r}, which cannot be")


def _messages(tx: Tx) -> Iterator[Finding]:
    yield from _each(
        tx,
        "SELECT m.account_id, m.mailbox_id, m.uid FROM message m WHERE NOT EXISTS"
        " (SELECT 1 FROM mailbox b WHERE b.account_id=m.account_id AND b.id=m.mailbox_id)",
        "mailbox {} does not exist but has message {}",
    )
    yield from _each(
        tx,
        "SELECT m.account_id, m.mailbox_id, m.uid FROM message m LEFT JOIN content c"
        " ON c.account_id=m.account_id AND c.id=m.content_id WHERE c.id IS NULL OR c.size<>m.size",
        "message {1} of mailbox {0} has no content of its size",
    )
    yield from _each(
        tx,
        "SELECT m.account_id, m.mailbox_id, m.uid FROM expunged e CROSS JOIN message m"
        " ON m.account_id=e.account_id AND m.mailbox_id=e.mailbox_id AND m.uid=e.uid",
        "message {1} of mailbox {0} is there and was expunged",
    )
    yield from _each(
        tx,
        "SELECT account_id, mailbox_id, uid FROM message"
        " WHERE uid<1 OR flags<0 OR flags>31 OR mod_seq<content_id OR size<0",
        "message {1} of mailbox {0} has a value that cannot be",
    )


def _contents(tx: Tx) -> Iterator[Finding]:
    yield from _each(
        tx,
        "SELECT c.account_id, c.id FROM content c LEFT JOIN octets o"
        " ON o.account_id=c.account_id AND o.content_id=c.id"
        " WHERE o.content_id IS NULL OR length(o.header)<>c.header_octets",
        "content {} has lost its octets, or its header is of another length",
    )
    yield from _each(
        tx,
        "SELECT o.account_id, o.content_id FROM octets o WHERE NOT EXISTS"
        " (SELECT 1 FROM content c WHERE c.account_id=o.account_id AND c.id=o.content_id)",
        "octets {} belong to no content",
    )
    yield from _each(
        tx,
        "SELECT account_id, id FROM content WHERE thread_id<1 OR thread_id>id",
        "content {} is in a thread that began after it",
    )
    yield from _each(
        tx,
        "SELECT t.account_id, t.id_hash FROM thread_of_id t LEFT JOIN account a ON a.id=t.account_id"
        " WHERE a.id IS NULL OR t.thread_id<1 OR t.thread_id>a.mod_seq",
        "the message id with the hash {} is in a thread that cannot be",
    )
    yield from _each(
        tx,
        "SELECT r.account_id, r.content_id FROM (SELECT account_id, content_id FROM message UNION ALL"
        " SELECT account_id, content_id FROM expunged WHERE content_id<>0) r LEFT JOIN copied_content c"
        " ON c.account_id=r.account_id AND c.content_id=r.content_id WHERE c.content_id IS NULL"
        " GROUP BY r.account_id, r.content_id HAVING count(*)>1",
        "content {} has several messages and is not known to be copied: it could go with one of them",
    )
    for account_id, content_id in tx.all(
        "SELECT account_id, content_id FROM copied_content EXCEPT SELECT account_id, id FROM content"
    ):
        yield Finding(Severity.LITTER, account_id, f"content {content_id} was copied and is gone")
    for account_id, content_id in tx.all(
        "SELECT account_id, id FROM content EXCEPT SELECT account_id, content_id FROM message"
        " EXCEPT SELECT account_id, content_id FROM expunged"
    ):
        yield Finding(Severity.LITTER, account_id, f"content {content_id} belongs to no message")


def _bodies(tx: Tx) -> Iterator[Finding]:
    for account_id, content_id, codec, octets, start, size in tx.all(
        "SELECT o.account_id, o.content_id, coalesce(s.codec, o.codec),"
        " length(coalesce(s.body, o.body)), substr(coalesce(s.body, o.body), 1, ?), c.size - c.header_octets"
        " FROM octets o JOIN content c ON c.account_id=o.account_id AND c.id=o.content_id"
        " LEFT JOIN shared_body s ON s.id=o.blob_id AND o.codec=? WHERE o.codec<>?",
        (_FRAME_HEADER, Codec.SHARED, Codec.BLOB),
    ):
        if codec == Codec.SHARED or octets is None:
            yield _damage(account_id, f"content {content_id} has lost its body")
        elif (octets if codec == Codec.RAW else _unpacked_octets(start)) != size:
            yield _damage(account_id, f"the body of content {content_id} is not of {size} octets")
    for (shared_id,) in tx.all(
        "SELECT s.id FROM shared_body s WHERE NOT EXISTS (SELECT 1 FROM octets o WHERE o.blob_id=s.id)"
        " AND NOT EXISTS (SELECT 1 FROM queue_octets q WHERE q.blob_id=s.id)"
    ):
        yield Finding(Severity.LITTER, 0, f"the shared body {shared_id} belongs to no message")


def _compressed(tx: Tx) -> Iterator[Finding]:
    """Whether every compressed body can be had back, whole; its checksum tells."""
    last: tuple[int, int] = (-1, -1)
    while rows := tx.all(
        "SELECT o.account_id, o.content_id, o.body, c.size - c.header_octets FROM octets o"
        " JOIN content c ON c.account_id=o.account_id AND c.id=o.content_id"
        " WHERE o.codec=? AND (o.account_id, o.content_id)>(?, ?)"
        " ORDER BY o.account_id, o.content_id LIMIT ?",
        (Codec.ZSTD, *last, _BODIES_AT_ONCE),
    ):
        for account_id, content_id, body, size in rows:
            if not _can_unpack(body, size):
                yield _damage(account_id, f"the body of content {content_id} cannot be decompressed")
        last = rows[-1][:2]
    for shared_id, in_use_by, size, body in tx.all(
        "SELECT s.id, min(o.account_id), c.size - c.header_octets, s.body FROM shared_body s"
        " JOIN octets o ON o.blob_id=s.id AND o.codec=?"
        " JOIN content c ON c.account_id=o.account_id AND c.id=o.content_id WHERE s.codec=? GROUP BY s.id",
        (Codec.SHARED, Codec.ZSTD),
    ):
        if not _can_unpack(body, size):
            yield _damage(in_use_by, f"the shared body {shared_id} cannot be decompressed")


def _can_unpack(body: bytes | None, size: int) -> bool:
    try:
        unpack(Codec.ZSTD, body or b"", size)
    except DatabaseDamaged:
        return False
    return True


def _unpacked_octets(start: bytes) -> int:
    try:
        return zstandard.frame_content_size(start)
    except zstandard.ZstdError:
        return -1


def _expunged(tx: Tx) -> Iterator[Finding]:
    yield from _each(
        tx,
        "SELECT e.account_id, e.mailbox_id, e.uid FROM expunged e LEFT JOIN expunge x"
        " ON x.account_id=e.account_id AND x.mailbox_id=e.mailbox_id AND x.mod_seq=e.mod_seq"
        " WHERE e.content_id<>0 AND (x.mod_seq IS NULL OR e.uid<=x.swept_uid)",
        "the expunged message {1} of mailbox {0} is kept for a sweep that will not come",
    )
    yield from _each(
        tx,
        "SELECT e.account_id, e.mailbox_id, e.uid FROM expunged e WHERE e.content_id<>0 AND NOT EXISTS"
        " (SELECT 1 FROM content c WHERE c.account_id=e.account_id AND c.id=e.content_id)",
        "expunged message {1} of mailbox {0} has lost its content too early",
    )


def _flag_log(tx: Tx) -> Iterator[Finding]:
    yield from _each(
        tx,
        "SELECT f.account_id, f.mailbox_id, f.mod_seq FROM flag_change f LEFT JOIN mailbox b"
        " ON b.account_id=f.account_id AND b.id=f.mailbox_id"
        " WHERE b.id IS NULL OR f.mod_seq<=b.flag_log_start OR f.mod_seq>b.highest_mod_seq"
        " OR f.first_uid>f.last_uid",
        "the flag change {1} noted of mailbox {0} cannot have been",
    )
    # Mod-sequences of new messages go upwards with the UIDs: one above a later message's is of a STORE.
    yield from _each(
        tx,
        "SELECT m.account_id, m.mailbox_id, m.uid FROM (SELECT account_id, mailbox_id, uid, mod_seq,"
        "  min(mod_seq) OVER (PARTITION BY account_id, mailbox_id ORDER BY uid"
        "   ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS later FROM message) m"
        " JOIN mailbox b ON b.account_id=m.account_id AND b.id=m.mailbox_id"
        " WHERE m.mod_seq>m.later AND m.mod_seq>b.flag_log_start AND NOT EXISTS"
        " (SELECT 1 FROM flag_change f WHERE f.account_id=m.account_id AND f.mailbox_id=m.mailbox_id"
        "  AND f.mod_seq=m.mod_seq AND m.uid BETWEEN f.first_uid AND f.last_uid)",
        "message {1} of mailbox {0} was changed and that is not noted",
    )


def _annotations(tx: Tx) -> Iterator[Finding]:
    yield from _each(
        tx,
        "SELECT n.account_id, n.mailbox_id, n.entry FROM annotation n WHERE n.mailbox_id<>0 AND NOT EXISTS"
        " (SELECT 1 FROM mailbox b WHERE b.account_id=n.account_id AND b.id=n.mailbox_id)",
        "mailbox {} does not exist but has the annotation {}",
    )
    yield from _each(
        tx,
        "SELECT n.account_id, n.entry, n.viewer_id FROM annotation n WHERE n.viewer_id<>0 AND NOT EXISTS"
        " (SELECT 1 FROM account a WHERE a.id=n.viewer_id)",
        "the annotation {} is account {}'s, which does not exist",
    )
    yield from _each(
        tx,
        "SELECT n.account_id, n.entry, n.mod_seq FROM annotation n LEFT JOIN account a ON a.id=n.account_id"
        " WHERE n.mod_seq>CASE WHEN n.account_id<>0 THEN coalesce(a.mod_seq, 0) ELSE coalesce("
        "(SELECT CAST(value AS INTEGER) FROM setting WHERE name='annotation_mod_seq'), 0) END",
        "the annotation {} has a mod_seq, {}, that is not given yet",
    )


def _settings(tx: Tx) -> Iterator[Finding]:
    row = tx.one(
        "SELECT coalesce(max(uid_validity), 0), (SELECT value FROM setting WHERE name='next_uid_validity')"
        " FROM mailbox"
    )
    if row is not None and row[0] and (row[1] is None or row[0] >= int(row[1])):
        yield _damage(0, f"the next uid_validity is {row[1]}, but {row[0]} was given already")


def _blob_files(tx: Tx, blobs: BlobStore) -> Iterator[Finding]:
    for account_id, content_id, blob_id, end in tx.all(
        "SELECT o.account_id, o.content_id, o.blob_id, o.blob_offset + c.size - c.header_octets"
        " FROM octets o JOIN content c ON c.account_id=o.account_id AND c.id=o.content_id WHERE o.codec=?",
        (Codec.BLOB,),
    ):
        octets = blobs.size(BlobId(blob_id))
        if octets is None:
            yield _damage(account_id, f"content {content_id} has lost its file {blob_id}")
        elif octets < end:
            yield _damage(account_id, f"the file {blob_id} of content {content_id} is too short")


def _each(tx: Tx, sql: str, sentence: str) -> Iterator[Finding]:
    """A finding for each row; its first column is the account."""
    rows: list[tuple[Any, ...]] = tx.all(sql)
    for row in rows:
        yield _damage(row[0], sentence.format(*row[1:]))
