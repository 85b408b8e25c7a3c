"""Commands about the session itself: CAPABILITY, NOOP, CHECK, ID, LANGUAGE, ENABLE, NAMESPACE, LOGOUT.

RFC: 9051 §6.1 (any state), §6.3.1 (ENABLE), §6.3.10 (NAMESPACE), 2971 (ID), 5255 §3.2 (LANGUAGE),
    3501 §6.4.1 (CHECK), 9586 (UIDONLY).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from postino import __version__
from postino.imap.capability import ENABLEABLE, spelling
from postino.imap.commands import Capability, Check, Enable, Id, Language, Logout, Namespace, Noop
from postino.imap.commands.language import LANGUAGES, choose_language
from postino.imap.responses.mailbox import namespace_response
from postino.imap.responses.server import (
    capability_response,
    enabled_response,
    id_response,
    language_response,
)
from postino.imap.responses.status import highest_mod_seq, no_update, tagged, untagged_status
from postino.imap.states import State
from postino.servers.imap.completion import Completion, no, ok

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_capability(session: "ImapSession", command: Capability) -> Completion:
    """Name the capabilities."""
    session.say(capability_response(session.capabilities()))
    return ok("These are the capabilities")


async def run_noop(session: "ImapSession", command: Noop) -> Completion:
    """Do nothing; news is told after every command."""
    return ok("Nothing done")


async def run_check(session: "ImapSession", command: Check) -> Completion:
    """A checkpoint: everything acknowledged is on disk already."""
    return ok("Everything is safe")


async def run_id(session: "ImapSession", command: Id) -> Completion:
    """Say who we are; what the client says of itself goes to the log."""
    named = dict(command.fields or ())
    session.log.info("client.id", name=_shown(named.get("name")), version=_shown(named.get("version")))
    session.say(id_response((("name", "Postino"), ("version", __version__))))
    return ok("Pleased to meet you")


def _shown(value: str | None) -> str:
    return (value or "")[:64]


async def run_namespace(session: "ImapSession", command: Namespace) -> Completion:
    """Where the account's own mailboxes are, and where others'."""
    session.say(namespace_response())
    return ok("These are the namespaces")


async def run_language(session: "ImapSession", command: Language) -> Completion:
    """Say which languages the texts can be in, or go on in another: all of it is English."""
    if command.ranges is None:
        session.say(language_response(LANGUAGES))
        return ok("These are the languages")
    chosen = choose_language(command.ranges)
    if chosen is None:
        return no("None of these languages is spoken here; LANGUAGE alone tells which are")
    session.say(language_response([chosen]))
    return ok("This is English")


async def run_enable(session: "ImapSession", command: Enable) -> Completion:
    """Switch on what was asked and can be; the rest is ignored (RFC 5161 §3.1)."""
    enabled = []
    for name in dict.fromkeys(command.capabilities):
        if name not in ENABLEABLE:
            continue
        enabled.append(spelling(name))
        if name == "IMAP4REV2":
            session.options = replace(session.options, utf8=True, rev2=True)
        elif name == "UTF8=ACCEPT":
            session.options = replace(session.options, utf8=True, utf8_accept=True)
        elif name == "CONDSTORE":
            enable_condstore(session)
        elif name == "QRESYNC":
            # RFC 7162 §3.2.3: CONDSTORE is enabled with it.
            enable_condstore(session)
            session.qresync = True
        elif name == "UIDONLY":
            session.uid_only = True
            _drop_numbered(session)
    session.say(enabled_response(enabled))
    return ok("Enabled")


def _drop_numbered(session: "ImapSession") -> None:
    """Nothing may be told by message numbers any more (RFC 9586 §3)."""
    if session.selected is not None:
        for tag in session.selected.contexts.drop_numbered():
            text = "Message numbers are no longer told; search again by UID SEARCH"
            session.say(untagged_status("NO", text, no_update(tag)))


def enable_condstore(session: "ImapSession") -> None:
    """The client has named mod-sequences: from now on FETCH responses tell them (RFC 7162 §3.1)."""
    if session.condstore:
        return
    session.condstore = True
    if session.selected is not None:
        # The client selected without learning it (RFC 7162 §3.1.2: the first command that enables tells).
        code = highest_mod_seq(session.selected.view.mod_seq)
        session.say(untagged_status("OK", "The highest mod-sequence", code))


async def run_logout(session: "ImapSession", command: Logout) -> None:
    """Say goodbye; the session then closes."""
    session.say(untagged_status("BYE", "Until next time"))
    session.say(tagged(command.tag, "OK", "Logged out"))
    session.deselect()
    session.state = State.LOGOUT
