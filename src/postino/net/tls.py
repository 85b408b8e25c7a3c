"""TLS for the server's side: contexts from certificate files, chosen by name, fresh when files change.

RFC: 8996 (TLS 1.2 at least), 6066 §3 (server name), 5929 §4.1 (tls-server-end-point), 5280 §4.2.1.6
    (logins in client certificates).
Exposure: the server name comes from unauthenticated octets; it is only ever looked up.
Invariants: a certificate that cannot be loaded never replaces one that works; a connection keeps the
    certificate it began with; a context's `certificate_hash` is that of the certificate it shows.
Not here: making a certificate (net/self_signed.py), when to look for changes (app/worker.py).
"""

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from postino.core.errors import SettingsError

Stamp = tuple[tuple[int, int, int], ...]


class CertificateContext(ssl.SSLContext):
    """An SSLContext that knows the hash of the certificate it shows (tls-server-end-point)."""

    certificate_hash: bytes = b""
    client_names: "Callable[[PeerCertificate], tuple[str, ...]] | None" = None
    """Finds the logins in a client's verified certificate; None in contexts that ask for none."""


PeerCertificate = Mapping[str, Any] | None
"""As SSLObject.getpeercert() gives it: empty or None where the client showed nothing that was verified."""


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """Whose certificates let clients in without a password (SASL EXTERNAL), and where the login stands."""

    authorities: Path
    """PEM file of the authorities that vouch for clients."""
    by_common_name: bool = False
    """The login is the subject's common name, not an address among the alternative names."""

    def names(self, certificate: PeerCertificate) -> tuple[str, ...]:
        """The logins in a certificate that was verified."""
        if not certificate:
            return ()
        if self.by_common_name:
            parts = (part for group in certificate.get("subject", ()) for part in group)
            return tuple(value for name, value in parts if name == "commonName")
        return tuple(value for kind, value in certificate.get("subjectAltName", ()) if kind == "email")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its key, both PEM. `names` empty: the names in the certificate itself."""

    certificate: Path
    key: Path
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class _Loaded:
    files: CertificateFiles
    context: CertificateContext
    asking: CertificateContext
    """The same certificate, in a context that asks the client for its own; may be the same context."""
    names: tuple[str, ...]
    stamp: Stamp
    not_after: datetime


@dataclass(frozen=True, slots=True)
class CertificateChange:
    """What one look at the files found: a certificate loaded anew, or why it could not be."""

    files: CertificateFiles
    error: str = ""


@dataclass(slots=True)
class _Names:
    exact: dict[str, CertificateContext] = field(default_factory=dict)
    wildcard: dict[str, CertificateContext] = field(default_factory=dict)

    def find(self, server_name: str) -> CertificateContext | None:
        name = server_name.lower().removesuffix(".")
        found = self.exact.get(name)
        if found is None and "." in name:
            # A wildcard stands for exactly one label (RFC 9525 §6.3).
            found = self.wildcard.get(name.partition(".")[2])
        return found


class CertificateStore:
    """The certificates of this server. `context()` is what a new connection starts TLS with."""

    def __init__(
        self,
        default: CertificateFiles | None,
        more: Iterable[CertificateFiles] = (),
        *,
        minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        clients: ClientCertificates | None = None,
    ) -> None:
        """Load every certificate. Raises SettingsError naming the file that cannot be used."""
        self._minimum_version = minimum_version
        self._clients = clients
        self._loaded: list[_Loaded] = []
        self._names = self._asking_names = _Names()
        self._wanted: list[CertificateFiles] = [default, *more] if default is not None else list(more)
        for files in self._wanted:
            self._loaded.append(self._load(files))
        self._index()

    def context(self) -> ssl.SSLContext | None:
        """The context to offer now: the default certificate, which gives way to one by server name."""
        return self._loaded[0].context if self._loaded else None

    def asking_context(self) -> ssl.SSLContext | None:
        """As context(), for services where users log in: it also asks for a client certificate, if any may.

        Not for mail from other servers: one that shows a certificate nobody here vouches for would be
        turned away by TLS itself.
        """
        return self._loaded[0].asking if self._loaded else None

    def expiring(self, before: datetime) -> list[tuple[CertificateFiles, datetime]]:
        """The certificates whose time is over by then, and when it is over."""
        return [(loaded.files, loaded.not_after) for loaded in self._loaded if loaded.not_after <= before]

    def replace(self, default: CertificateFiles | None, more: Iterable[CertificateFiles] = ()) -> None:
        """Use other files from now on. Raises SettingsError and changes nothing when one cannot be used."""
        wanted = [default, *more] if default is not None else list(more)
        loaded = [self._load(files) for files in wanted]
        self._wanted, self._loaded = wanted, loaded
        self._index()

    def refresh(self) -> list[CertificateChange]:
        """Load again what changed on disk since it was loaded; tell what happened."""
        changes: list[CertificateChange] = []
        for position, loaded in enumerate(self._loaded):
            stamp = _stamp(loaded.files)
            if stamp == loaded.stamp:
                continue
            try:
                self._loaded[position] = self._load(loaded.files)
                changes.append(CertificateChange(loaded.files))
            except SettingsError as error:
                # Perhaps only one of the two files has been written yet. Remember what was seen, so
                # that the complaint is made once, and keep the old certificate until both fit.
                loaded.stamp = stamp
                changes.append(CertificateChange(loaded.files, str(error)))
        if changes:
            self._index()
        return changes

    def _index(self) -> None:
        names, asking = _Names(), _Names()
        for loaded in self._loaded:
            for name in loaded.names:
                key = name.removeprefix("*.").lower()
                for found, context in ((names, loaded.context), (asking, loaded.asking)):
                    table = found.wildcard if name.startswith("*.") else found.exact
                    table.setdefault(key, context)
        self._names, self._asking_names = names, asking

    def _choose(self, tls: ssl.SSLObject, server_name: str | None, _context: ssl.SSLContext) -> None:
        if server_name:
            asks = tls.context.verify_mode is not ssl.CERT_NONE
            chosen = (self._asking_names if asks else self._names).find(server_name)
            if chosen is not None and chosen is not tls.context:
                tls.context = chosen

    def _load(self, files: CertificateFiles) -> _Loaded:
        stamp = _stamp(files)
        context = self._context(files)
        try:
            leaf = read_certificate(files.certificate)
        except (OSError, ValueError) as error:
            raise _unreadable(files, error) from error
        asking = context
        if self._clients is not None:
            asking = self._context(files)
            _ask_clients(asking, self._clients)
        for made in (context, asking):
            made.certificate_hash = end_point_hash(leaf)
            made.sni_callback = self._choose
        names = files.names or certificate_names(leaf)
        return _Loaded(files, context, asking, names, stamp, leaf.not_valid_after_utc)

    def _context(self, files: CertificateFiles) -> CertificateContext:
        context = CertificateContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self._minimum_version
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        try:
            context.load_cert_chain(files.certificate, files.key, password=_no_password)
        except ssl.SSLError as error:
            raise SettingsError(
                f"The key {files.key} does not belong to the certificate {files.certificate}, or one of "
                f"them is not PEM ({error.reason or error}); give matching files in [tls]"
            ) from error
        except (OSError, ValueError) as error:
            raise _unreadable(files, error) from error
        return context


def _unreadable(files: CertificateFiles, error: Exception) -> SettingsError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SettingsError(
        f"The certificate {files.certificate} or its key {files.key} cannot be read: {reason}; "
        "correct the paths in [tls] or the rights of the files"
    )


def _ask_clients(context: CertificateContext, clients: ClientCertificates) -> None:
    """Have a context ask for client certificates, which clients need not have."""
    try:
        context.load_verify_locations(clients.authorities)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The certificates of tls.client_authorities cannot be used: {clients.authorities}: "
            f"{error.strerror or error if isinstance(error, OSError) else error}; give a PEM file"
        ) from error
    context.verify_mode = ssl.CERT_OPTIONAL
    context.client_names = clients.names


def read_certificate(path: Path) -> x509.Certificate:
    """The leaf: the first certificate of a PEM file. Raises OSError or ValueError."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def end_point_hash(certificate: x509.Certificate) -> bytes:
    """The tls-server-end-point channel binding (RFC 5929 §4.1); empty where it is undefined.

    The hash is the signature's own, with SHA-256 in place of MD5 and SHA-1. A signature without a
    hash function (Ed25519) has no such binding, and SCRAM-...-PLUS must then not be offered.
    """
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return b""
    if algorithm is None:
        return b""
    if isinstance(algorithm, (hashes.MD5, hashes.SHA1)):
        algorithm = hashes.SHA256()
    return certificate.fingerprint(algorithm)


def certificate_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names the certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(names.value.get_values_for_type(x509.DNSName))


def _stamp(files: CertificateFiles) -> Stamp:
    """Something that differs when a file was written or replaced."""
    stamps: list[tuple[int, int, int]] = []
    for path in (files.certificate, files.key):
        try:
            status = path.stat()
        except OSError:
            stamps.append((0, 0, 0))
        else:
            stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)


def _no_password(*_: Any) -> str:
    """Fail instead of asking at the terminal for an encrypted key's password."""
    raise ValueError("the key is encrypted; store it without a password")
