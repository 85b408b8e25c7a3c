"""A SCRAM client, written from RFC 5802 alone, to prove the server against."""

import base64
import hashlib
import hmac


class ScramClient:
    """One exchange. `binding` is None, or the tls-server-end-point hash for -PLUS."""

    def __init__(
        self,
        login: str,
        password: str,
        *,
        nonce: str = "client-nonce",
        binding: bytes | None = None,
        flag: str | None = None,
        authzid: str = "",
        hash_name: str = "sha256",
    ) -> None:
        self.hash_name = hash_name
        name = login.replace("=", "=3D").replace(",", "=2C")
        self.password = password.encode()
        self.header = (flag or ("n" if binding is None else "p=tls-server-end-point")) + ","
        self.header += f"a={authzid}," if authzid else ","
        self.binding = binding or b""
        self.bare = f"n={name},r={nonce}"
        self.signed = ""
        self.salted = b""

    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def final(self, server_first: bytes) -> bytes:
        given = dict(part.split("=", 1) for part in server_first.decode().split(","))
        salt, iterations = base64.b64decode(given["s"]), int(given["i"])
        self.salted = hashlib.pbkdf2_hmac(self.hash_name, self.password, salt, iterations)
        client_key = hmac.digest(self.salted, b"Client Key", self.hash_name)
        stored = hashlib.new(self.hash_name, client_key).digest()
        bound = base64.b64encode(self.header.encode() + self.binding).decode()
        without_proof = f"c={bound},r={given['r']}"
        self.signed = f"{self.bare},{server_first.decode()},{without_proof}"
        signature = hmac.digest(stored, self.signed.encode(), self.hash_name)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def trusts(self, server_final: bytes) -> bool:
        server_key = hmac.digest(self.salted, b"Server Key", self.hash_name)
        expected = base64.b64encode(hmac.digest(server_key, self.signed.encode(), self.hash_name))
        return server_final == b"v=" + expected
