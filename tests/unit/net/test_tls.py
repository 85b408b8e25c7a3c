"""Certificates by name, and the same files looked at again."""

import asyncio
import datetime
import hashlib
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from postino.core.errors import SettingsError
from postino.net.connection import Connection, ConnectionLost
from postino.net.self_signed import make_self_signed
from postino.net.tls import CertificateFiles, CertificateStore, end_point_hash, read_certificate


def certificate(directory: Path, *names: str, stem: str = "") -> CertificateFiles:
    stem = stem or names[0].replace("*", "any")
    files = CertificateFiles(directory / f"{stem}.pem", directory / f"{stem}-key.pem")
    make_self_signed(names, files.certificate, files.key)
    return files


def leaf_hash(files: CertificateFiles) -> bytes:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(files.certificate.read_text())).digest()


def shake_hands(store: CertificateStore, server_name: str | None) -> tuple[bytes, ssl.SSLObject]:
    """The certificate a client gets, and the server's end."""
    context = store.context()
    assert context is not None
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=server_name)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    shown = client.getpeercert(binary_form=True)
    assert shown is not None
    return hashlib.sha256(shown).digest(), server


def test_a_self_signed_certificate_names_hosts_and_addresses_and_its_key_is_private(tmp_path: Path) -> None:
    files = certificate(tmp_path, "mail.example.org", "127.0.0.1", "::1")
    found = read_certificate(files.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert found.value.get_values_for_type(x509.DNSName) == ["mail.example.org"]
    assert [str(a) for a in found.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert files.key.stat().st_mode & 0o777 == 0o600
    ssl.create_default_context(cafile=str(files.certificate))


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("mail.example.org", "default"),
        ("mail.example.net", "net"),
        ("MAIL.example.NET", "net"),
        ("imap.example.com", "wildcard"),
        ("a.b.example.com", "default"),
        ("example.com", "default"),
        ("unknown.example", "default"),
        (None, "default"),
    ],
)
def test_the_server_name_chooses_the_certificate(tmp_path: Path, asked: str | None, shown: str) -> None:
    files = {
        "default": certificate(tmp_path, "mail.example.org"),
        "net": certificate(tmp_path, "mail.example.net"),
        "wildcard": certificate(tmp_path, "*.example.com"),
    }
    store = CertificateStore(files["default"], [files["net"], files["wildcard"]])
    got, server = shake_hands(store, asked)
    assert got == leaf_hash(files[shown])
    assert server.context.certificate_hash == leaf_hash(files[shown])


def test_names_in_the_settings_win_over_those_in_the_certificate(tmp_path: Path) -> None:
    default, other = certificate(tmp_path, "a.example"), certificate(tmp_path, "b.example")
    store = CertificateStore(default, [CertificateFiles(other.certificate, other.key, ("c.example",))])
    assert shake_hands(store, "c.example")[0] == leaf_hash(other)
    assert shake_hands(store, "b.example")[0] == leaf_hash(default)


def test_files_that_change_are_loaded_again(tmp_path: Path) -> None:
    files = certificate(tmp_path, "mail.example.org")
    store = CertificateStore(files)
    before = shake_hands(store, None)[0]
    assert store.refresh() == []
    certificate(tmp_path, "mail.example.org")
    changes = store.refresh()
    assert [change.error for change in changes] == [""]
    assert shake_hands(store, None)[0] == leaf_hash(files) != before
    assert store.refresh() == []


def test_a_half_written_renewal_keeps_the_old_certificate_and_complains_once(tmp_path: Path) -> None:
    files = certificate(tmp_path, "mail.example.org")
    new = certificate(tmp_path, "mail.example.org", stem="new")
    store = CertificateStore(files)
    before = shake_hands(store, None)[0]
    new.certificate.rename(files.certificate)
    assert "does not belong" in store.refresh()[0].error
    assert store.refresh() == []
    assert shake_hands(store, None)[0] == before
    new.key.rename(files.key)
    assert [change.error for change in store.refresh()] == [""]
    assert shake_hands(store, None)[0] == leaf_hash(files)


def test_a_vanished_certificate_is_kept_in_memory(tmp_path: Path) -> None:
    files = certificate(tmp_path, "mail.example.org")
    store = CertificateStore(files)
    files.certificate.unlink()
    assert "cannot be read" in store.refresh()[0].error
    assert store.context() is not None


def test_replacing_with_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    files = certificate(tmp_path, "mail.example.org")
    store = CertificateStore(files)
    before = store.context()
    with pytest.raises(SettingsError, match="cannot be read"):
        store.replace(CertificateFiles(tmp_path / "none.pem", tmp_path / "none-key.pem"))
    assert store.context() is before


def test_bad_files_are_named(tmp_path: Path) -> None:
    files = certificate(tmp_path, "mail.example.org")
    (tmp_path / "text.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=r"text\.pem"):
        CertificateStore(CertificateFiles(tmp_path / "text.pem", files.key))


def test_an_encrypted_key_does_not_ask_at_the_terminal(tmp_path: Path) -> None:
    files = certificate(tmp_path, "mail.example.org")
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(SettingsError, match="without a password"):
        CertificateStore(files)


def signed(key: object, algorithm: hashes.HashAlgorithm | None) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.public_key(key.public_key()).sign(key, algorithm)  # type: ignore[attr-defined]


def test_the_end_point_hash_follows_the_signature() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    sha256, sha384 = signed(key, hashes.SHA256()), signed(key, hashes.SHA384())
    assert end_point_hash(sha256) == sha256.fingerprint(hashes.SHA256())
    assert end_point_hash(sha384) == sha384.fingerprint(hashes.SHA384())
    assert end_point_hash(signed(ed25519.Ed25519PrivateKey.generate(), None)) == b""


def test_tls_below_1_2_is_refused(tmp_path: Path) -> None:
    context = CertificateStore(certificate(tmp_path, "a.example")).context()
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_start_tls_keeps_what_follows_the_handshake(tmp_path: Path, loop_kind: str) -> None:
    """The client's first TLS octets may come in one segment with its last handshake octets."""
    import uvloop

    files = certificate(tmp_path, "localhost")
    store = CertificateStore(files)
    seen: dict[str, bytes] = {}

    async def run() -> None:
        loop = asyncio.get_running_loop()
        finished = asyncio.Event()
        connections: list[Connection] = []

        def accept() -> Connection:
            connections.append(Connection())
            loop.call_soon(lambda: asyncio.ensure_future(serve(connections[-1])))
            return connections[-1]

        async def serve(connection: Connection) -> None:
            assert await connection.read(5) == b"STARTTLS\r\n"
            connection.write(b"220 go\r\n")
            context = store.context()
            assert context is not None
            try:
                await connection.start_tls(context, timeout_seconds=5)
                seen["hash"] = connection.server_certificate_hash
                seen["first"] = await connection.read(5)
                connection.abort()
            except ConnectionLost:
                seen["lost"] = b"yes"
            finished.set()

        server = await loop.create_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"STARTTLS\r\n")
        assert await reader.readline() == b"220 go\r\n"
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context(cafile=str(files.certificate)).wrap_bio(
            incoming, outgoing, server_hostname="localhost"
        )
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        client.write(b"EHLO x\r\n")
        writer.write(outgoing.read())
        await asyncio.wait_for(finished.wait(), 10)
        writer.close()
        server.close()

    factory = uvloop.new_event_loop if loop_kind == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    assert seen == {"hash": leaf_hash(files), "first": b"EHLO x\r\n"}


def test_owner_only_keys_even_with_a_lax_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = certificate(tmp_path, "a.example")
    finally:
        os.umask(before)
    assert files.key.stat().st_mode & 0o077 == 0
