"""The `[outbound]` table of the settings: how mail leaves this server.

Defaults follow what other servers do: Postfix (300 s, doubling; 5 days; 20 connections a destination), RFC 5321
§4.5.3.2 (time-outs) and §4.5.4.1 (retries).
Not here: reading the file (app/settings_file.py).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from postino.core.limits import Count, CountOrNone, Octets, Seconds, about

TlsRule = Literal["none", "opportunistic", "required", "verified", "implicit"]


class RouteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way to send mail elsewhere than to its domain's mail exchangers. The first that fits is taken."""

    host: Annotated[
        str,
        Meta(
            description="The server to send to, HOST, HOST:PORT or unix:PATH; the port is 25, with a login 587, with "
            "tls implicit 465. Empty goes by MX after all.",
            extra={"example": "smtp.example.net:587"},
        ),
    ] = ""
    domains: Annotated[
        tuple[str, ...],
        Meta(
            description="Recipients' domains it is for; .example.net also takes those below; empty takes every one.",
            extra={"example": ["example.net", ".example.net"]},
        ),
    ] = ()
    senders: Annotated[
        tuple[str, ...],
        Meta(
            description="Senders it is for, addresses or domains, <> for reports of ours; empty takes every one.",
            extra={"example": ["example.org"]},
        ),
    ] = ()
    protocol: Annotated[Literal["smtp", "lmtp"], about("What is spoken there.")] = "smtp"
    tls: Annotated[
        TlsRule,
        Meta(
            description="opportunistic: TLS where offered; required: always, whatever the certificate; verified: "
            "with a certificate for the host; implicit: verified, from the first octet (465); none: never.",
            extra={"example": "verified"},
        ),
    ] = "opportunistic"
    login: Annotated[
        str, Meta(description="Log in there as this user; empty does not.", extra={"example": "ann"})
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File that holds the password, its line end cut off.",
            extra={"example": "/etc/postino/relay-password"},
        ),
    ] = ""
    authorities: Annotated[
        str,
        Meta(
            description="Authorities that vouch for the host, PEM; empty takes this machine's.",
            extra={"example": "/etc/postino/relay-ca.pem"},
        ),
    ] = ""
    source_addresses: Annotated[
        tuple[str, ...],
        Meta(
            description="Our addresses to connect from, of each family the first that fits; empty takes [outbound]'s.",
            extra={"example": ["192.0.2.25"]},
        ),
    ] = ()


class OutboundSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mail to other servers."""

    enabled: Annotated[
        bool,
        about(
            "Whether mail for domains that are not ours is taken from users and sent on. Takes effect at a start."
        ),
    ] = True
    hello_name: Annotated[
        str,
        Meta(
            description="The name said in EHLO, which should have this machine's address in the DNS; empty is "
            "server.hostname.",
            extra={"example": "mail.example.org"},
        ),
    ] = ""
    source_addresses: Annotated[
        tuple[str, ...],
        Meta(
            description="Our addresses to connect from, of each family the first; empty leaves it to the system.",
            extra={"example": ["192.0.2.25", "2001:db8::25"]},
        ),
    ] = ()
    ipv6: Annotated[bool, about("Whether servers are reached by IPv6 too.")] = True
    resolvers: Annotated[
        tuple[str, ...],
        Meta(
            description="DNS resolvers, ADDRESS or ADDRESS#PORT; empty takes those of /etc/resolv.conf. Only one "
            "on loopback is believed when it says that DNSSEC holds, which DANE needs. Takes effect at a start.",
            extra={"example": ["127.0.0.1#53"]},
        ),
    ] = ()
    private_addresses: Annotated[
        bool,
        about(
            "Whether other domains' mail exchangers may have addresses of private networks or of this machine. "
            "Routes always may."
        ),
    ] = False
    port: Annotated[
        int, Meta(ge=1, le=65535, extra={"unit": "count"}), about("Where mail exchangers listen.")
    ] = 25
    connections: Annotated[Count, about("Most connections to other servers at once, in one worker.")] = 100
    connections_per_destination: Annotated[
        Count, about("Most connections at once to one destination; begins with 5 and follows how it fares.")
    ] = 20
    messages_per_connection: Annotated[
        Count, about("Messages sent over one connection before a new one.")
    ] = 100
    recipients_per_message: Annotated[
        Count, about("Most recipients in one transaction (RFC 5321 §4.5.3.1.8 has every server take 100).")
    ] = 100
    idle_connection_seconds: Annotated[
        Seconds, about("How long a connection waits for the next message to its destination.")
    ] = 5.0
    connect_seconds: Annotated[Seconds, about("Longest wait for a connection.")] = 30.0
    reply_seconds: Annotated[
        Seconds, about("Longest wait for a reply (RFC 5321 §4.5.3.2 has 5 minutes).")
    ] = 300.0
    data_seconds: Annotated[
        Seconds, about("Longest wait for the reply to a whole message (RFC 5321 §4.5.3.2.6 has 10 minutes).")
    ] = 600.0
    retry_seconds: Annotated[
        Seconds,
        about("Time from a failed attempt to the next; doubles each time, a fifth more or less by chance."),
    ] = 300.0
    longest_retry_seconds: Annotated[Seconds, about("Where that doubling ends.")] = 4 * 3600.0
    lifetime_seconds: Annotated[
        Seconds, about("Time after which a message that cannot be delivered is given back to its sender.")
    ] = 5 * 86_400.0
    report_lifetime_seconds: Annotated[Seconds, about("The same for a report of ours.")] = 2 * 86_400.0
    delay_notice_seconds: Annotated[
        Seconds, about("Time after which a sender is told, once, that a message is late but still tried.")
    ] = 4 * 3600.0
    hold_seconds: Annotated[
        Seconds, about("How far ahead a message may be submitted to be sent later (FUTURERELEASE).")
    ] = 60 * 86_400.0
    returned_octets: Annotated[
        Octets, about("Largest message given back whole in a failure report; of larger ones the header.")
    ] = 1024 * 1024
    suppress_after: Annotated[
        CountOrNone,
        about(
            "Permanent failures in a row after which an address is not sent to any more until "
            "`postino queue suppress remove`; 0 never."
        ),
    ] = 5
    cut_through: Annotated[
        bool,
        about(
            "Whether mail that is only forwarded is offered to the next server while its sender waits, so that "
            "its refusal becomes ours and nobody gets a report of mail that was forged in their name."
        ),
    ] = True
    cut_through_seconds: Annotated[
        Seconds, about("How long the next server is waited for then, before the queue takes over.")
    ] = 8.0
    mta_sts: Annotated[bool, about("Whether other domains' MTA-STS policies are kept to (RFC 8461).")] = True
    dane: Annotated[
        bool, about("Whether TLSA records are kept to (RFC 7672); needs a validating resolver.")
    ] = True
    tls_reports: Annotated[
        bool, about("Whether domains that ask for it are told daily how TLS with them fared (RFC 8460).")
    ] = True
    dkim: Annotated[
        bool,
        about(
            "Whether mail of our domains is signed (RFC 6376): keys are made for each, and used once their "
            "records are found in the DNS; `postino dkim list` shows them."
        ),
    ] = True
    dkim_rotate_days: Annotated[
        CountOrNone,
        Meta(
            description="Age at which a signing key is replaced: the new one is made, its record asked for in the "
            "log and by mail to the postmaster, and used when it is found in the DNS; 0 leaves it to "
            "`postino dkim rotate`.",
            extra={"unit": "count", "example": 180},
        ),
    ] = 0
    dkim_expire_days: Annotated[
        CountOrNone,
        about("Age at which a signature stops to hold, so that old mail is not sent again as new; 0 never."),
    ] = 7
    daily_messages: Annotated[
        CountOrNone,
        about("Messages an account may submit a day; `postino account limit` changes it for one."),
    ] = 1000
    daily_recipients: Annotated[
        CountOrNone, about("People an account never wrote to before that it may write to a day; likewise.")
    ] = 200
    burst_messages: Annotated[CountOrNone, about("Messages an account may submit within a minute.")] = 60
    waiting_octets: Annotated[
        int,
        Meta(
            ge=0,
            description="Most that messages of one account, and messages sent on for it, may take in the queue; "
            "those up to 64 KiB are not counted. 0 is without limit.",
            extra={"unit": "octets"},
        ),
    ] = 1024 * 1024 * 1024
    routes: Annotated[
        tuple[RouteSettings, ...],
        about("Other ways than MX, each an [[outbound.routes]] table: a smarthost, an LMTP server."),
    ] = ()
