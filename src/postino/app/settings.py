"""Every setting of the server, as one typed schema.

The reference page, the commented file `postino init` writes and the messages of `postino check-config`
all come from here, so a setting is documented by being declared.
Invariants: a key nobody declared is refused, never ignored; values are what the schema says, in its unit.
Not here: reading a file (app/settings_file.py), printing the reference (app/settings_reference.py).
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from postino.core.limits import Count, Limits, Octets, Seconds, about
from postino.delivery.settings import DeliverySettings, SieveSettings
from postino.directory.token_rules import ALGORITHMS, Algorithm
from postino.outbound.settings import OutboundSettings, RouteSettings

FILE_NAME: Final = "postino.toml"


def example(description: str, shown: object) -> Meta:
    """The meaning of a setting whose default says little, with a value to show in the commented file."""
    return Meta(description=description, extra={"example": shown})


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server as a whole."""

    hostname: Annotated[
        str,
        example(
            "The name this server gives itself in greetings and Received fields; empty takes the machine's. "
            "Takes effect at a start.",
            "mail.example.org",
        ),
    ] = ""
    data: Annotated[
        str,
        example(
            "Directory of the database and the messages; a relative path starts at this file, "
            "empty is this file's own directory. Takes effect at a start.",
            "/var/lib/postino",
        ),
    ] = ""
    user: Annotated[
        str,
        example(
            "User to become once the ports are open, when started as root. Postino refuses to serve as root "
            'unless this says "root". Takes effect at a start.',
            "postino",
        ),
    ] = ""
    workers: Annotated[
        int,
        Meta(ge=0, le=256, extra={"unit": "count"}),
        about("Processes that serve; 0 starts one for each processor. Takes effect at a start."),
    ] = 1
    shutdown_seconds: Annotated[
        Seconds, about("Time sessions get to finish their command when the server stops.")
    ] = 10.0
    subaddress_separator: Annotated[
        str,
        Meta(max_length=1),
        about("Character that ends the name in ann+shop@example.org; empty turns subaddresses off."),
    ] = "+"
    local_senders: Annotated[
        tuple[str, ...],
        example(
            "Whom users of this machine may send as by `postino send`, USER:ADDRESS or USER:DOMAIN, * for "
            "every user. Root and the server's user may send as anybody, others as USER@hostname.",
            ["www-data:example.org", "backup:reports@example.org"],
        ),
    ] = ()
    log_format: Annotated[
        Literal["auto", "json", "text"],
        about(
            "How log lines look on standard error; auto writes text on a terminal and JSON elsewhere. "
            "Takes effect at a start."
        ),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about("The least important events that are logged.")
    ] = "info"


class ListenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where each service listens: HOST:PORT, * for every address, unix:PATH; an empty list turns it off."""

    smtp: Annotated[
        tuple[str, ...], about("Mail from other servers (SMTP, STARTTLS offered). Takes effect at a start.")
    ] = ("*:25",)
    submissions: Annotated[
        tuple[str, ...], about("Mail from users, TLS from the start (RFC 8314). Takes effect at a start.")
    ] = ("*:465",)
    submission: Annotated[
        tuple[str, ...], about("Mail from users, STARTTLS (RFC 6409). Takes effect at a start.")
    ] = ("*:587",)
    lmtp: Annotated[
        tuple[str, ...],
        example(
            "Mail from another mail server on this machine (RFC 2033). Takes effect at a start.",
            ["unix:run/lmtp.sock"],
        ),
    ] = ()
    imap: Annotated[tuple[str, ...], about("Mail programs, STARTTLS. Takes effect at a start.")] = ("*:143",)
    imaps: Annotated[
        tuple[str, ...], about("Mail programs, TLS from the start. Takes effect at a start.")
    ] = ("*:993",)
    pop3: Annotated[tuple[str, ...], about("Older mail programs, STLS. Takes effect at a start.")] = (
        "*:110",
    )
    pop3s: Annotated[
        tuple[str, ...], about("Older mail programs, TLS from the start. Takes effect at a start.")
    ] = ("*:995",)
    managesieve: Annotated[
        tuple[str, ...],
        about("Sieve scripts of users (ManageSieve, RFC 5804), STARTTLS. Takes effect at a start."),
    ] = ("*:4190",)
    https: Annotated[
        tuple[str, ...],
        example(
            "A small web service: the MTA-STS policy of our domains at mta-sts.DOMAIN, and how mail programs "
            "set themselves up at autoconfig.DOMAIN and autodiscover.DOMAIN. Takes effect at a start.",
            ["*:443"],
        ),
    ] = ()
    local: Annotated[
        tuple[str, ...],
        example(
            "Mail from programs of this machine, by `postino send`, without a login: the system says who "
            "they are. The socket's directory decides who may come: the default's lets root and the server's "
            "user in, /run/postino everybody. Takes effect at a start.",
            ["unix:run/submit.sock", "unix:/run/postino/submit.sock"],
        ),
    ] = ("unix:run/submit.sock",)
    metrics: Annotated[
        tuple[str, ...],
        about("GET /metrics for Prometheus, without a password: loopback only. Takes effect at a start."),
    ] = ("127.0.0.1:9925",)


class NamedCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One more certificate, shown to clients that ask for one of its names (SNI)."""

    certificate: Annotated[
        str, example("The certificate and its chain, PEM.", "/etc/letsencrypt/live/example.net/fullchain.pem")
    ]
    key: Annotated[str, example("Its key, PEM.", "/etc/letsencrypt/live/example.net/privkey.pem")]
    names: Annotated[
        tuple[str, ...],
        example(
            "Server names it is shown for; empty takes the names inside the certificate.",
            ["mail.example.net"],
        ),
    ] = ()


class TlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Certificates. Files are looked at again while the server runs; relative paths start at this file."""

    certificate: Annotated[
        str,
        example(
            "The default certificate and its chain, PEM; empty uses, and makes at need, a self-signed one.",
            "/etc/letsencrypt/live/mail.example.org/fullchain.pem",
        ),
    ] = ""
    key: Annotated[
        str,
        example("The default certificate's key, PEM.", "/etc/letsencrypt/live/mail.example.org/privkey.pem"),
    ] = ""
    minimum_version: Annotated[
        Literal["1.2", "1.3"], about("The oldest version of TLS spoken. Takes effect at a start.")
    ] = "1.2"
    client_authorities: Annotated[
        str,
        example(
            "Authorities whose client certificates let users in without a password (SASL EXTERNAL), PEM; "
            "empty asks nobody for a certificate. Takes effect at a start.",
            "/etc/postino/client-ca.pem",
        ),
    ] = ""
    client_login: Annotated[
        Literal["email", "common-name"],
        about(
            "Where a client certificate names the account: an address among its alternative names, or the "
            "subject's common name. Takes effect at a start."
        ),
    ] = "email"
    check_seconds: Annotated[
        Seconds, about("Time between two looks at the certificate files for changes.")
    ] = 5.0
    more: Annotated[
        tuple[NamedCertificate, ...],
        about("Certificates for other server names, each a [[tls.more]] table."),
    ] = ()


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How mail is kept."""

    cache_octets: Annotated[
        Octets,
        about("Memory each database connection of a worker may keep pages in. Takes effect at a start."),
    ] = 32 * 1024 * 1024
    list_cache_octets: Annotated[
        Octets,
        about(
            "Memory in which a worker keeps what it told IMAP clients in lists of messages, so that the next "
            "list needs no database. Takes effect at a start."
        ),
    ] = 64 * 1024 * 1024
    lock_seconds: Annotated[
        Seconds,
        about("How long a write waits for another worker's before it is refused. Takes effect at a start."),
    ] = 10.0
    expunged_seconds: Annotated[
        Seconds, about("How long an expunged message's octets are kept before the sweep removes them.")
    ] = 7 * 86_400.0
    search_index: Annotated[
        bool,
        about(
            "Whether the texts of messages are indexed behind delivery, so that SEARCH need not read them; "
            "the index is about half as large as they. Takes effect at a start."
        ),
    ] = True
    sweep_seconds: Annotated[
        Seconds, about("Time between two sweeps, which remove what nothing refers to any more.")
    ] = 3600.0
    default_quota: Annotated[
        int,
        Meta(ge=0, extra={"unit": "octets"}),
        about("Quota of a new account for which none is given; 0 is without limit."),
    ] = 0


class LoginSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Logging in with a password."""

    scram_sha1: Annotated[
        bool,
        about(
            "Offer SCRAM-SHA-1, for old programs that know no better: for passwords set while this is on, of "
            "which SHA-1 keys are kept too. SCRAM-SHA-256 is always offered."
        ),
    ] = False


class OauthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Logging in with access tokens of an OpenID provider (OAUTHBEARER, XOAUTH2)."""

    issuer: Annotated[
        str,
        example(
            "Who issues the tokens, as their iss says it; empty takes no tokens.",
            "https://login.example.org/realms/mail",
        ),
    ] = ""
    keys: Annotated[
        str,
        example(
            "The issuer's public keys (JWK set): an https URL or a file; empty asks the issuer for them.",
            "https://login.example.org/realms/mail/certs",
        ),
    ] = ""
    authorities: Annotated[
        str,
        example(
            "Authorities that vouch for the issuer's web server, PEM; empty takes this machine's.",
            "/etc/postino/issuer-ca.pem",
        ),
    ] = ""
    audience: Annotated[
        tuple[str, ...],
        example("Tokens must be for one of these (aud); needed with issuer.", ["mail.example.org"]),
    ] = ()
    login_claim: Annotated[str, about("The claim that holds the account's address.")] = "email"
    scopes: Annotated[
        tuple[str, ...],
        example("What a token must allow, all of these; clients are told the first.", ["mail"]),
    ] = ()
    algorithms: Annotated[
        tuple[Algorithm, ...],
        about("Signatures that are taken; the HS ones need a shared secret in a file of keys."),
    ] = ALGORITHMS
    clock_skew_seconds: Annotated[Seconds, about("How far the issuer's clock and ours may be apart.")] = 60.0
    keys_seconds: Annotated[Seconds, about("Time after which the keys are asked for again.")] = 3600.0


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the web service (listen.https) tells other servers and mail programs."""

    mta_sts: Annotated[
        Literal["none", "testing", "enforce"],
        about(
            "The mode of the MTA-STS policy of our domains (RFC 8461). testing: who cannot reach us with TLS "
            "only reports it; enforce: they do not send; none: a policy of before is taken back."
        ),
    ] = "testing"
    mta_sts_mx: Annotated[
        tuple[str, ...],
        example(
            "The mail exchangers the policy allows; empty takes server.hostname.",
            ["mail.example.org", "backup.example.net"],
        ),
    ] = ()
    mta_sts_seconds: Annotated[
        Seconds, about("How long others may keep the policy; weeks, once mta_sts is enforce.")
    ] = 7 * 86_400.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole settings file."""

    server: ServerSettings = ServerSettings()
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings = TlsSettings()
    store: StoreSettings = StoreSettings()
    login: LoginSettings = LoginSettings()
    oauth: OauthSettings = OauthSettings()
    delivery: DeliverySettings = DeliverySettings()
    sieve: SieveSettings = SieveSettings()
    outbound: OutboundSettings = OutboundSettings()
    web: WebSettings = WebSettings()
    limits: Limits = Limits()


__all__ = [
    "FILE_NAME",
    "Count",
    "DeliverySettings",
    "Limits",
    "ListenSettings",
    "LoginSettings",
    "NamedCertificate",
    "OauthSettings",
    "OutboundSettings",
    "RouteSettings",
    "ServerSettings",
    "Settings",
    "SieveSettings",
    "StoreSettings",
    "TlsSettings",
    "WebSettings",
]
