"""A web server with TLS on loopback, for documents that are fetched."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postino.net.self_signed import make_self_signed

Answers = dict[str, tuple[int, bytes]]


@contextmanager
def https_server(directory: Path, answers: Answers) -> Iterator[tuple[str, str, list[str]]]:
    """Serve path -> (status, body); gives the base URL, its authority's file, and the paths asked for."""
    certificate, key = directory / "web.pem", directory / "web.key"
    make_self_signed(["localhost", "127.0.0.1"], certificate, key)
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body = answers.get(self.path, (404, b"nothing here"))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body.decode())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}", str(certificate), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
