"""Debian's `sieve-test` (Pigeonhole): the same script and message, and its actions as values to compare ours with.

Both sides become a Verdict. What makes no difference to mail is made equal on both: the case of INBOX, keep and
fileinto "INBOX", a folder named twice, the order of actions, line ends in a reason.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from postino.sieve.actions import (
    Discard,
    Edited,
    FileInto,
    Keep,
    Redirect,
    Reject,
    ReportAbuse,
    SendNotification,
    Vacation,
)
from postino.sieve.evaluation import Evaluation
from postino.sieve.message import SieveMessage
from tests.live.mail_programs import require_program

SENDER, RECIPIENT = "sender@client.example", "user+detail@example.org"
LEAVES_OUT = ("ereject", "fcc", "mailboxid", "extlists", "redirect-dsn", "redirect-deliverby", "envelope-dsn")
"""Of what we have, what Debian's does not have at all."""
_MORE = (
    "editheader vacation-seconds spamtest spamtestplus virustest mboxmetadata servermetadata special-use"
    " vnd.dovecot.report vnd.dovecot.environment"
)
_USER = "mail"  # every Debian has it; root cannot run scripts
_REASON_CHARACTERS = 128

_CONFIGURATION = """\
base_dir = {root}/run
ssl = no
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
first_valid_gid = 1
mail_home = {root}/home
postmaster_address = postmaster@example.org
hostname = mx.example.org
recipient_delimiter = +
plugin {{
  sieve = file:{root}/home/scripts;active={root}/home/active.sieve
  sieve_global = {root}/global
  sieve_user_email = user@example.org
  sieve_vacation_min_period = 0
  sieve_spamtest_status_type = score
  sieve_spamtest_status_header = X-Spam-Score: ([0-9.]+)
  sieve_spamtest_max_value = 10
  sieve_virustest_status_type = strlen
  sieve_virustest_status_header = X-Virus-Stars: (.*)
  sieve_virustest_max_value = 5
}}
"""


class Stored(NamedTuple):
    """Filed in a mailbox."""

    folder: str
    flags: frozenset[str]


class SentOn(NamedTuple):
    """Redirected."""

    address: str


class Refused(NamedTuple):
    """Rejected with a reason."""

    reason: str


class Answered(NamedTuple):
    """A vacation answer."""

    seconds: int
    subject: str
    from_address: str
    reason: str


class Told(NamedTuple):
    """A notification to these addresses."""

    addresses: frozenset[str]
    message: str
    importance: str


class Reported(NamedTuple):
    """A feedback report."""

    feedback_type: str
    address: str


class ThrownAway(NamedTuple):
    """Discarded."""


Done = Stored | SentOn | Refused | Answered | Told | Reported | ThrownAway


class Verdict(NamedTuple):
    """What one side does with a message."""

    compiles: bool
    done: frozenset[Done] = frozenset()
    failed: bool = False
    """Ended by a run-time error."""
    edited: bytes | None = None
    """The message as it is filed, where the script may edit it."""


NOT_COMPILED = Verdict(compiles=False)


def of_evaluation(evaluation: Evaluation, message: bytes, *, may_edit: bool = False) -> Verdict:
    """Ours."""
    done: list[Done] = []
    edited: bytes | None = None
    for action in evaluation.actions:
        match action:
            case Keep(flags=flags, edited=changed):
                done.append(_stored("INBOX", flags))
                edited = _whole(message, changed)
            case FileInto(target=target):
                done.append(_stored(target.mailbox, target.flags))
            case Redirect(address=address):
                done.append(SentOn(address.lower()))
            case Reject(reason=reason):
                done.append(Refused(_one_line(reason)))
            case Vacation():
                reason = _lines(action.reason)
                done.append(Answered(action.seconds, action.subject, action.from_address, reason))
            case SendNotification():
                done.append(_told(action))
            case ReportAbuse():
                done.append(Reported(action.feedback_type, action.address))
            case Discard():
                done.append(ThrownAway())
            case _:
                raise AssertionError(f"no peer of {action}")
    kept = _merged(done)
    return Verdict(True, kept, evaluation.fault is not None, edited if may_edit else None)


def _told(action: SendNotification) -> Told:
    addresses, _, more = action.method.removeprefix("mailto:").partition("?")
    found = [*addresses.split(","), *re.findall(r"(?:to|cc)=([^&]+)", more)]
    return Told(frozenset(filter(None, found)), action.message, action.importance)


def _whole(message: bytes, changed: Edited | None) -> bytes:
    if changed is None:
        return message
    body = bytes(SieveMessage.of(message).body)
    return changed.header + (body if changed.body is None else changed.body)


def _stored(folder: str, flags: Iterable[str]) -> Stored:
    return Stored("INBOX" if folder.upper() == "INBOX" else folder, frozenset(map(str.lower, flags)))


def _merged(done: Sequence[Done]) -> frozenset[Done]:
    """A folder named twice counts once, with the flags it was given last; only what does anything stays."""
    folders = {one.folder: one for one in done if isinstance(one, Stored)}
    others = [one for one in done if not isinstance(one, Stored | ThrownAway)]
    kept: frozenset[Done] = frozenset([*folders.values(), *others])
    return kept or frozenset([ThrownAway()])


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _one_line(text: str) -> str:
    # As Pigeonhole prints it: no control characters, not all of a long one.
    return re.sub(r"[\x00-\x1f?]+", "?", text)[:_REASON_CHARACTERS].strip("?")


class SieveTest:
    """One configuration in a directory, for many scripts."""

    def __init__(self, root: Path, scripts: Mapping[str, str], shared: Mapping[str, str]) -> None:
        self._program = require_program("sieve-test")
        self._root = root
        as_root = os.geteuid() == 0
        values = {
            "root": root,
            "user": _USER if as_root else os.getuid(),
            "group": _USER if as_root else os.getgid(),
        }
        self._owner = _USER if as_root else None
        for folder in ("home/scripts", "global", "run", "home/mail"):
            (root / folder).mkdir(parents=True)
        for name, text in scripts.items():
            (root / "home/scripts" / f"{name}.sieve").write_text(text, encoding="utf-8")
        for name, text in shared.items():
            (root / "global" / f"{name}.sieve").write_text(text, encoding="utf-8")
        (root / "dovecot.conf").write_text(_CONFIGURATION.format(**values), encoding="utf-8")
        self._mailbox("home/mail/.Archive")
        for path in (root, *root.rglob("*")):
            self._hand_over(path)

    def run(
        self,
        script: str,
        message: bytes,
        *,
        sender: str = SENDER,
        recipient: str = RECIPIENT,
        may_edit: bool = False,
    ) -> Verdict | None:
        """Theirs; None where it crashed."""
        script_file, message_file = self._root / "home/main.sieve", self._root / "home/message"
        script_file.write_bytes(script.encode())
        message_file.write_bytes(message)
        for path in (script_file, message_file):
            self._hand_over(path)
        command = [self._program, "-C", "-c", str(self._root / "dovecot.conf")]
        command += ["-x", " ".join("+" + name for name in _MORE.split())]
        command += ["-f", sender or "<>", "-a", recipient, "-r", recipient]
        where = "home/mail"
        code, printed, complaints = self._call([*command, *self._location(where)])
        if "failed to compile" in complaints:
            assert "open(" not in complaints, complaints
            return NOT_COMPILED
        if ": Panic: " in complaints:
            return None
        failed = "final result: failed" in complaints
        assert failed or code == 0, complaints
        done = frozenset([_stored("INBOX", ())]) if failed else _merged(_parse(printed))
        edited = self._filed(command) if may_edit else None
        return Verdict(True, done, failed, edited)

    def _filed(self, command: list[str]) -> bytes | None:
        """The message as it arrives in a mailbox that was empty."""
        shutil.rmtree(self._root / "home/filed", ignore_errors=True)
        self._mailbox("home/filed")
        self._call([*command, "-e", *self._location("home/filed")])
        found = [path for folder in ("new", "cur") for path in (self._root / "home/filed" / folder).iterdir()]
        if not found:
            return None
        octets = found[0].read_bytes()
        return re.sub(rb"\r?\n", b"\r\n", octets)

    def _location(self, where: str) -> list[str]:
        files = [str(self._root / "home/main.sieve"), str(self._root / "home/message")]
        return ["-l", f"maildir:{self._root / where}", *files]

    def _call(self, command: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=30, stdin=subprocess.DEVNULL, cwd=self._root
        )
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def _mailbox(self, name: str) -> None:
        for part in ("cur", "new", "tmp"):
            (self._root / name / part).mkdir(parents=True)
            self._hand_over(self._root / name / part)
        self._hand_over(self._root / name)

    def _hand_over(self, path: Path) -> None:
        if self._owner is not None:
            shutil.chown(path, self._owner, self._owner)


def _parse(printed: str) -> list[Done]:
    _, _, listed = printed.partition("Performed actions:")
    listed = listed.replace("\nImplicit keep:\n", "\n")
    done: list[Done] = []
    # Each action begins with " * " and has its details in the lines that follow.
    for entry in re.split(r"^ \* ", listed, flags=re.MULTILINE)[1:]:
        first, _, details = entry.partition("\n")
        found = _action(first, details)
        if found is not None:
            done.append(found)
    return done


def _action(first: str, details: str) -> Done | None:
    known = (
        "store message in folder: ",
        "redirect message to: ",
        "reject message with reason: ",
        "send vacation message:",
        "send notification with method",
        "report incoming message as ",
        "discard",
    )
    kind = next((start for start in known if first.startswith(start)), "")
    assert kind or "duplicate" in first, first
    if not kind:
        return None
    rest = first.removeprefix(kind)
    match known.index(kind):
        case 0:
            flags = re.search(r"\+ add IMAP flags: (.*)", details)
            return _stored(rest, flags[1].split() if flags else ())
        case 1:
            return SentOn(rest.strip("<>").lower())
        case 2:
            return Refused(_one_line(rest))
        case 3:
            return _vacation(details)
        case 4:
            fields = dict(re.findall(r"^    => (\w+) +: (.*)$", details, re.MULTILINE))
            to = re.findall(r"^       \+ (?:To|Cc): (.*)$", details, re.MULTILINE)
            return Told(frozenset(to), fields.get("subject", ""), fields.get("importance", "2"))
        case 5:
            said = re.fullmatch(r"`(.*)' to: <(.*)>", rest)
            assert said
            return Reported(said[1], said[2])
        case _:
            return ThrownAway()


def _vacation(details: str) -> Answered:
    fields = dict(re.findall(r"^    => (seconds|subject|from) +: (.*)$", details, re.MULTILINE))
    reason = re.search(r"START MESSAGE\n(.*)\nEND MESSAGE", details, re.DOTALL)
    assert reason
    subject, sender = fields.get("subject", ""), fields.get("from", "")
    return Answered(int(fields["seconds"]), subject, sender, _lines(reason[1]))
