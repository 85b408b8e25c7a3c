"""NOTIFY between workers: who waits in one hears what happens in another, at once and without asking."""

import socket
import ssl
import time
from pathlib import Path

from tests.live.mail_programs import ANN, PASSWORD, client_tls
from tests.support.live_server import LiveServer

CONNECTIONS = 8
"""So many that both workers have some: the kernel chooses."""
PATIENCE_SECONDS = 1.0
"""Far more than the 0.1 s that is promised, on a machine that does other things too."""


class Client:
    """Lines to and from a server."""

    def __init__(self, server: LiveServer, context: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", server.ports["imaps"]), timeout=10)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.file = self.socket.makefile("rb")
        self.line()
        self.run(f'LOGIN {ANN} "{PASSWORD}"')

    def line(self) -> str:
        return self.file.readline().decode().rstrip("\r\n")

    def run(self, command: str) -> list[str]:
        self.socket.sendall(f"x {command}\r\n".encode())
        lines = [self.line()]
        while not lines[-1].startswith("x "):
            lines.append(self.line())
        assert lines[-1].startswith("x OK"), lines
        return lines

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_every_session_hears_of_other_mailboxes_whatever_worker_it_is_in(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts={ANN: PASSWORD}, workers=2) as server:
        context = client_tls(server)
        waiting = [Client(server, context) for _ in range(CONNECTIONS)]
        for client in waiting:
            client.run("NOTIFY SET (personal (MessageNew MessageExpunge MailboxName MailboxMetadataChange))")
        acting = [Client(server, context) for _ in range(3)]
        for number, client in enumerate(acting, 1):
            for command, answer in (
                (f"CREATE Made{number}", f'* LIST (\\HasNoChildren \\Subscribed) "/" Made{number}'),
                ("APPEND Sent {8+}\r\na: b\r\n\r\n", f"UIDNEXT {number + 1} MESSAGES {number})"),
                (f'SETMETADATA Sent (/shared/c{number} "x")', f"* METADATA Sent /shared/c{number}"),
            ):
                begun = time.monotonic()
                client.run(command)
                for each in waiting:
                    each.socket.settimeout(PATIENCE_SECONDS)
                    assert each.line().endswith(answer)
                assert time.monotonic() - begun < PATIENCE_SECONDS
        for client in (*waiting, *acting):
            client.close()
        server.verify()
