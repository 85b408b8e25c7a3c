"""Every limit on what others may make the server do, with its default. All are settings.

Where a number comes from is said in its description, which is also the settings reference.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Octets = Annotated[int, Meta(gt=0, extra={"unit": "octets"})]
Count = Annotated[int, Meta(gt=0, extra={"unit": "count"})]
CountOrNone = Annotated[int, Meta(ge=0, extra={"unit": "count"})]
Seconds = Annotated[float, Meta(gt=0, extra={"unit": "seconds"})]


def about(description: str) -> Meta:
    """The meaning of a setting, for the reference page and the commented settings file."""
    return Meta(description=description)


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[limits]` table of the settings file."""

    message_octets: Annotated[Octets, about("Largest message taken by SMTP, LMTP and APPEND.")] = (
        50 * 1024 * 1024
    )
    recipients: Annotated[Count, about("Most recipients of one message; announced by LIMITS RCPTMAX.")] = 1000
    free_octets: Annotated[
        int,
        Meta(ge=0, extra={"unit": "octets"}),
        about(
            "Room on the data directory's disk below which no new mail is taken by SMTP and LMTP, so that there "
            "is some for what is under way; 0 takes mail until the disk is full."
        ),
    ] = 64 * 1024 * 1024
    received_hops: Annotated[Count, about("Received fields after which a message counts as looping.")] = 50
    header_octets: Annotated[
        Octets, about("Largest header block of a message or part that is looked into.")
    ] = 1024 * 1024
    mime_depth: Annotated[
        Count, about("Deepest nesting of MIME parts; deeper parts are kept as plain octets.")
    ] = 100
    mime_parts: Annotated[Count, about("Most MIME parts told apart in one message.")] = 10_000

    smtp_line_octets: Annotated[Octets, about("Longest SMTP command line.")] = 2048
    smtp_auth_line_octets: Annotated[Octets, about("Longest line inside an AUTH exchange (RFC 4954 §4).")] = (
        12_288
    )
    smtp_idle_seconds: Annotated[Seconds, about("Silence after which an SMTP session ends.")] = 300.0
    smtp_bad_commands: Annotated[Count, about("Refused commands after which an SMTP session ends.")] = 20
    smtp_memory_octets: Annotated[
        Octets, about("Part of an incoming message held in memory before it is spooled to a file.")
    ] = 1024 * 1024

    imap_line_octets: Annotated[Octets, about("Longest IMAP command, literals apart.")] = 64 * 1024
    imap_literal_octets: Annotated[
        Octets, about("Largest literal that is not a message, such as a mailbox name or search text.")
    ] = 64 * 1024
    imap_literals: Annotated[Count, about("Most literals in one command that is not APPEND.")] = 100
    imap_append_parts: Annotated[
        Count, about("Most messages, and parts that CATENATE puts together, in one APPEND.")
    ] = 10_000
    imap_idle_seconds: Annotated[
        Seconds,
        about("Silence after which an IMAP session ends (RFC 9051 §5.4 asks for at least 30 minutes)."),
    ] = 1800.0
    imap_bad_commands: Annotated[
        Count, about("Commands refused as BAD, in a row, after which an IMAP session ends.")
    ] = 20
    imap_progress_seconds: Annotated[
        Seconds,
        about(
            "Time after which a client is told that its command is still being carried out (RFC 9585): first "
            "between once and twice this, then every second time."
        ),
    ] = 5.0
    imap_compression_ratio: Annotated[
        Count,
        about(
            "Most octets one received octet may stand for under COMPRESS, once 4 MiB were received that way; "
            "DEFLATE itself reaches 1032."
        ),
    ] = 200
    imap_messages_a_command: Annotated[
        CountOrNone,
        about(
            "Most messages one FETCH, STORE, SEARCH, SORT, THREAD, COPY, MOVE or UID EXPUNGE takes (RFC 9738 "
            "MESSAGELIMIT); 0 for no limit, and then none is announced: long commands do not hold up others."
        ),
    ] = 0
    imap_sequence_parts: Annotated[Count, about("Most numbers and ranges in one message set.")] = 10_000
    imap_search_keys: Annotated[Count, about("Most keys in one SEARCH.")] = 500
    imap_search_depth: Annotated[Count, about("Deepest nesting of SEARCH keys.")] = 50
    imap_search_mailboxes: Annotated[Count, about("Most mailboxes searched by one ESEARCH.")] = 10_000
    imap_search_contexts: Annotated[
        Count, about("Most searches of one session whose results are kept up to date (RFC 5267, UPDATE).")
    ] = 10
    imap_sort_criteria: Annotated[Count, about("Most criteria in one SORT.")] = 20
    imap_notify_mailboxes: Annotated[
        Count, about("Most mailboxes, shared ones too, of somebody who has them watched with NOTIFY.")
    ] = 20_000
    mailboxes: Annotated[Count, about("Most mailboxes in one account.")] = 10_000
    mailbox_name_octets: Annotated[Octets, about("Longest name of a mailbox, in UTF-8.")] = 1000
    mailbox_depth: Annotated[Count, about("Most levels in the name of a mailbox.")] = 50
    acl_entries: Annotated[Count, about("Most entries in the access control list of one mailbox.")] = 200
    acl_anyone: Annotated[
        CountOrNone,
        about(
            "Most mailboxes an account may share with anyone by SETACL, which puts them into everybody's LIST; "
            "0 for none. Administrators and `postino acl` may share any number."
        ),
    ] = 0
    keywords: Annotated[Count, about("Most different keywords on one message.")] = 100
    annotations: Annotated[
        Count, about("Most annotations (RFC 5464) of a mailbox, shared ones and each person's own apart.")
    ] = 100
    annotation_octets: Annotated[Octets, about("Largest value of an annotation.")] = 16 * 1024
    annotation_total_octets: Annotated[
        Octets,
        about(
            "Most that the annotations of all mailboxes of an account take, shared ones and each person's own "
            "apart; each counts its name, its value and 100 octets. No quota counts them."
        ),
    ] = 4 * 1024 * 1024

    pop3_line_octets: Annotated[Octets, about("Longest POP3 command line.")] = 512
    pop3_idle_seconds: Annotated[
        Seconds,
        about(
            "Silence after which a POP3 session ends without deleting (RFC 1939 §3 asks for at least 10 minutes)."
        ),
    ] = 600.0

    managesieve_line_octets: Annotated[
        Octets, about("Longest ManageSieve command, literals (scripts) apart.")
    ] = 16 * 1024
    managesieve_idle_seconds: Annotated[
        Seconds,
        about("Silence after which a ManageSieve session ends (RFC 5804 §1.2 asks for at least 30 minutes)."),
    ] = 1800.0

    login_seconds: Annotated[
        Seconds, about("Time from connecting to logging in, for IMAP, POP3, ManageSieve and submission.")
    ] = 60.0
    login_attempts: Annotated[Count, about("Failed logins after which a session ends.")] = 5
    write_seconds: Annotated[
        Seconds, about("Longest wait for a client that does not read what it asked for.")
    ] = 300.0
    connections: Annotated[Count, about("Most connections of all protocols in one worker.")] = 20_000
    connections_per_address: Annotated[
        Count, about("Most connections from one IP address in one worker; loopback is not counted.")
    ] = 200
    connections_per_account: Annotated[
        Count, about("Most connections logged in to one account in one worker.")
    ] = 200
    output_octets: Annotated[
        Octets, about("Answers held in memory for one client before its next command waits.")
    ] = 1024 * 1024
