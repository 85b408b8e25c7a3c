"""IMAP on one large mailbox of a realistic corpus, through one session."""

import os
import time
from collections.abc import Mapping, Sequence

from bench.drivers.imap import Imap
from bench.drivers.wire import DriverError
from bench.peers.server import HOST, LISTER, PASSWORD, READER, Server
from bench.suites.suite import Run, Scale, Step

# What mail programs ask for when they open a mailbox.
MAIL_PROGRAMS = {
    "thunderbird": (
        b"BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References "
        b"Newsgroups In-Reply-To Content-Type Reply-To)]"
    ),
    "mutt": (
        b"BODY.PEEK[HEADER.FIELDS (DATE FROM SENDER SUBJECT TO CC MESSAGE-ID REFERENCES CONTENT-TYPE "
        b"CONTENT-DESCRIPTION IN-REPLY-TO REPLY-TO LINES LIST-POST LIST-SUBSCRIBE LIST-UNSUBSCRIBE X-LABEL "
        b"X-ORIGINAL-TO)]"
    ),
    "apple": (
        b"BODY.PEEK[HEADER.FIELDS (date subject from to cc message-id in-reply-to references content-type "
        b"x-priority x-uniform-type-identifier x-universally-unique-identifier list-id list-unsubscribe)]"
    ),
    "mbsync": b"BODY.PEEK[HEADER.FIELDS (X-TUID)]",
}
_FETCHES = {
    "imap.fetch.flags": b"FETCH 1:* (FLAGS)",
    "imap.fetch.list": b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
    "imap.fetch.envelope": b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
    "imap.fetch.structure": b"FETCH 1:* (UID BODYSTRUCTURE)",
    "imap.fetch.headers": b"FETCH 1:* (UID RFC822.SIZE FLAGS " + MAIL_PROGRAMS["thunderbird"] + b")",
    "imap.fetch.headers.mutt": b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE "
    + MAIL_PROGRAMS["mutt"]
    + b")",
    "imap.fetch.headers.apple": b"FETCH 1:* (INTERNALDATE UID RFC822.SIZE FLAGS "
    + MAIL_PROGRAMS["apple"]
    + b")",
    "imap.fetch.headers.mbsync": b"FETCH 1:* (UID FLAGS RFC822.SIZE " + MAIL_PROGRAMS["mbsync"] + b")",
    "imap.fetch.full": b"FETCH 1:* (UID BODY.PEEK[])",
}
_FIRST = ("imap.fetch.envelope", "imap.fetch.structure", "imap.fetch.headers", "imap.fetch.full")
_SINGLES = 200
_MAILBOXES = 100


class ImapSuite:
    """Reading, writing, searching and single commands."""

    name = "imap"

    def __init__(self, scale: Scale, messages: list[bytes]) -> None:
        self._scale = scale
        self._messages = messages
        self._count = len(messages)
        self._octets = sum(map(len, messages))
        self._sessions: dict[str, Imap] = {}
        self._listers: dict[str, Imap] = {}

    def prepare(self, server: Server) -> None:
        """The corpus into INBOX, and one session on it."""
        session = self._session(server)
        session.append_pipelined(b"INBOX", self._messages)
        found = session.select()
        if found != self._count:
            raise DriverError(f"INBOX holds {found} messages, {self._count} were appended")
        self._sessions[server.name] = session
        lister = Imap.logged_in(HOST, server.ports.imap, LISTER, PASSWORD)
        for number in range(_MAILBOXES):
            lister.command(b"CREATE box%03d" % number)
            lister.append_pipelined(b"box%03d" % number, self._messages[:3])
        self._listers[server.name] = lister

    def steps(self) -> Sequence[Step]:
        """Reading first: writing leaves the mailbox as it was, but not the server's files."""
        scale = self._scale
        return [
            Step("imap.first", 1, self._first),
            *(Step(key, scale.rounds, self._fetch(key)) for key in _FETCHES),
            Step("imap.single", scale.rounds, self._single_commands),
            Step("imap.login", scale.rounds, self._login),
            Step("imap.mailboxes", scale.rounds, self._mailboxes),
            Step("imap.append.serial", scale.rounds, self._append_serial),
            Step("imap.append.pipelined", scale.rounds, self._append_pipelined),
            Step("imap.store", scale.rounds, self._store),
            Step("imap.copy+move+expunge", scale.rounds, self._copy_move_expunge),
        ]

    def close(self) -> None:
        """Hang up."""
        for session in (*self._sessions.values(), *self._listers.values()):
            session.wire.close()

    def _session(self, server: Server) -> Imap:
        return Imap.logged_in(HOST, server.ports.imap, READER, PASSWORD)

    def _first(self, server: Server, _: int) -> Mapping[str, float]:
        """The first reading after delivery; it also checks that the answers are whole."""
        session = self._sessions[server.name]
        samples = {}
        for key, command in _FETCHES.items():
            started = time.perf_counter()
            answer = session.kept(command)
            seconds = time.perf_counter() - started
            answers = answer.count(b" FETCH (")
            if answers < self._count or (key == "imap.fetch.full" and len(answer) < self._octets):
                raise DriverError(
                    f"{key}: {answers} answers of {len(answer)} octets to {self._count} messages"
                )
            if key in _FIRST:
                samples[f"{key}.first"] = self._count / seconds
        return samples

    def _fetch(self, key: str) -> Run:
        command = _FETCHES[key]

        def run(server: Server, _: int) -> Mapping[str, float]:
            return {key: self._count / self._sessions[server.name].timed(command)}

        return run

    def _single_commands(self, server: Server, round_number: int) -> Mapping[str, float]:
        session = self._sessions[server.name]
        first = 1 + round_number * _SINGLES % max(1, self._count - _SINGLES)
        whole = [b"FETCH %d (UID BODY.PEEK[])" % number for number in range(first, first + _SINGLES)]
        return {
            "imap.fetch.single": self._mean_ms(session, whole),
            "imap.noop": self._mean_ms(session, [b"NOOP"] * _SINGLES),
            "imap.select": self._mean_ms(session, [b"SELECT INBOX"] * 20),
        }

    def _mailboxes(self, server: Server, _: int) -> Mapping[str, float]:
        session = self._listers[server.name]
        each = [b"STATUS box%03d (MESSAGES UIDNEXT UNSEEN)" % number for number in range(_MAILBOXES)]
        listing = b'LIST "" "*" RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))'
        return {
            "imap.status": self._mean_ms(session, each) * _MAILBOXES,
            "imap.list": self._mean_ms(session, [b'LIST "" "*"'] * 10),
            "imap.list.status": self._mean_ms(session, [listing] * 5),
        }

    @staticmethod
    def _mean_ms(session: Imap, commands: Sequence[bytes]) -> float:
        started = time.perf_counter()
        for command in commands:
            session.command(command)
        return (time.perf_counter() - started) * 1e3 / len(commands)

    def _login(self, server: Server, _: int) -> Mapping[str, float]:
        started = time.perf_counter()
        for _ in range(20):
            with self._session(server) as session:
                session.select()
                session.command(b"LOGOUT")
        return {"imap.login": (time.perf_counter() - started) * 1e3 / 20}

    def _append_serial(self, server: Server, _: int) -> Mapping[str, float]:
        messages = self._messages[: self._scale.appends_serial]
        with self._scratch(server, b"serial") as session:
            started = time.perf_counter()
            for message in messages:
                session.append(b"serial", message)
            seconds = time.perf_counter() - started
            session.command(b"DELETE serial")
        return {"imap.append.serial": len(messages) / seconds}

    def _append_pipelined(self, server: Server, _: int) -> Mapping[str, float]:
        messages = self._messages[: self._scale.appends_pipelined]
        with self._scratch(server, b"pipelined") as session:
            started = time.perf_counter()
            session.append_pipelined(b"pipelined", messages)
            seconds = time.perf_counter() - started
            session.command(b"DELETE pipelined")
        return {"imap.append.pipelined": len(messages) / seconds}

    def _store(self, server: Server, round_number: int) -> Mapping[str, float]:
        session = self._sessions[server.name]
        silent = session.timed(b"STORE 1:* +FLAGS.SILENT (\\Flagged)")
        loud = session.timed(b"STORE 1:* -FLAGS (\\Flagged)")
        sign = b"-" if round_number % 2 else b"+"
        singles = [b"STORE %d %sFLAGS (\\Seen)" % (number, sign) for number in range(1, _SINGLES + 1)]
        return {
            "imap.store.silent": self._count / silent,
            "imap.store.loud": self._count / loud,
            "imap.store.single": self._mean_ms(session, singles),
        }

    def _copy_move_expunge(self, server: Server, _: int) -> Mapping[str, float]:
        half = self._count // 2
        with self._scratch(server, b"copied") as session:
            session.command(b"CREATE moved")
            session.select()
            copying = session.timed(b"COPY 1:%d copied" % half)
            session.select(b"copied")
            moving = session.timed(b"MOVE 1:%d moved" % half)
            if session.select(b"moved") != half:
                raise DriverError(f"not all of {half} messages arrived by COPY and MOVE")
            session.command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
            os.sync()
            expunging = session.timed(b"EXPUNGE")
            session.command(b"SELECT INBOX")
            session.command(b"DELETE copied")
            session.command(b"DELETE moved")
        return {"imap.copy": half / copying, "imap.move": half / moving, "imap.expunge": half / expunging}

    def _scratch(self, server: Server, mailbox: bytes) -> Imap:
        session = self._session(server)
        session.command(b"CREATE " + mailbox)
        os.sync()
        return session
