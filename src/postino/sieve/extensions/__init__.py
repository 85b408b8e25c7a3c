"""One file an extension; ALL is what this server knows, in the order in which it is announced."""

from collections.abc import Sequence
from typing import Final

from postino.sieve.basics.actions import ACTIONS, FILEINTO
from postino.sieve.basics.control import CONTROL
from postino.sieve.basics.envelope import ENVELOPE
from postino.sieve.basics.headers import HEADERS
from postino.sieve.extensions.body import BODY
from postino.sieve.extensions.comparators import NUMERIC, UNICODE
from postino.sieve.extensions.copy import COPY
from postino.sieve.extensions.date import DATE
from postino.sieve.extensions.dovecot import DOVECOT_DEBUG, DOVECOT_ENVIRONMENT, DOVECOT_REPORT
from postino.sieve.extensions.duplicate import DUPLICATE
from postino.sieve.extensions.editheader import EDITHEADER
from postino.sieve.extensions.enclose import ENCLOSE
from postino.sieve.extensions.encoded_character import ENCODED_CHARACTER
from postino.sieve.extensions.enotify import ENOTIFY
from postino.sieve.extensions.envelope_parts import ENVELOPE_DELIVERBY, ENVELOPE_DSN
from postino.sieve.extensions.environment import ENVIRONMENT
from postino.sieve.extensions.extlists import EXTLISTS
from postino.sieve.extensions.extracttext import EXTRACTTEXT
from postino.sieve.extensions.fcc import FCC
from postino.sieve.extensions.foreverypart import FOREVERYPART
from postino.sieve.extensions.ihave import IHAVE
from postino.sieve.extensions.imap4flags import IMAP4FLAGS
from postino.sieve.extensions.imapsieve import IMAPSIEVE
from postino.sieve.extensions.include import INCLUDE
from postino.sieve.extensions.index import INDEX
from postino.sieve.extensions.mailboxes import MAILBOX, MAILBOXID, SPECIAL_USE
from postino.sieve.extensions.metadata import MBOXMETADATA, SERVERMETADATA
from postino.sieve.extensions.mime import MIME
from postino.sieve.extensions.outgoing import OUTGOING
from postino.sieve.extensions.redirect_tags import REDIRECT_DELIVERBY, REDIRECT_DSN
from postino.sieve.extensions.regex import REGEX
from postino.sieve.extensions.reject import EREJECT, REJECT
from postino.sieve.extensions.relational import RELATIONAL
from postino.sieve.extensions.replace import REPLACE
from postino.sieve.extensions.scores import SPAMTEST, SPAMTESTPLUS, VIRUSTEST
from postino.sieve.extensions.subaddress import SUBADDRESS
from postino.sieve.extensions.vacation import VACATION, VACATION_SECONDS
from postino.sieve.extensions.variables import VARIABLES
from postino.sieve.matching import MATCH_TYPES
from postino.sieve.vocabulary import Extension

ALL: Final[Sequence[Extension]] = (
    Extension(name="", match_types=MATCH_TYPES),
    CONTROL,
    HEADERS,
    ACTIONS,
    FILEINTO,
    ENVELOPE,
    ENCODED_CHARACTER,
    NUMERIC,
    UNICODE,
    COPY,
    VARIABLES,
    RELATIONAL,
    SUBADDRESS,
    REGEX,
    INDEX,
    DATE,
    ENVIRONMENT,
    IMAP4FLAGS,
    BODY,
    REDIRECT_DSN,
    REDIRECT_DELIVERBY,
    ENVELOPE_DSN,
    ENVELOPE_DELIVERBY,
    REJECT,
    EREJECT,
    IMAPSIEVE,
    MAILBOX,
    MAILBOXID,
    SPECIAL_USE,
    MBOXMETADATA,
    SERVERMETADATA,
    SPAMTEST,
    SPAMTESTPLUS,
    VIRUSTEST,
    IHAVE,
    INCLUDE,
    DUPLICATE,
    EDITHEADER,
    FCC,
    VACATION,
    VACATION_SECONDS,
    ENOTIFY,
    EXTLISTS,
    OUTGOING,
    DOVECOT_DEBUG,
    DOVECOT_ENVIRONMENT,
    DOVECOT_REPORT,
    MIME,
    FOREVERYPART,
    EXTRACTTEXT,
    REPLACE,
    ENCLOSE,
)
