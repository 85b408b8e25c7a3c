"""swaks: TLS, every AUTH mechanism it knows, pipelining, refusals."""

from pathlib import Path

import pytest

from tests.live.mail_programs import ANN, BOB, PASSWORD, require_program, run_program, running_server


def test_swaks_delivers_in_every_way(tmp_path: Path) -> None:
    swaks = require_program("swaks")
    with running_server(tmp_path) as server:
        common = [
            swaks,
            "--server",
            "localhost",
            "--from",
            BOB,
            "--to",
            ANN,
            "--helo",
            "client.example",
            "--timeout",
            "20",
        ]
        mx = ["--port", str(server.ports["smtp"])]
        submission = ["--port", str(server.ports["submission"])]
        login = ["--auth-user", BOB, "--auth-password", PASSWORD]
        run_program([*common, *mx], cwd=tmp_path)
        run_program([*common, *mx, "--tls"], cwd=tmp_path)
        run_program([*common, *mx, "--pipeline"], cwd=tmp_path)
        for mechanism in ("PLAIN", "LOGIN"):
            run_program([*common, *submission, "--tls", "--auth", mechanism, *login], cwd=tmp_path)
        run_program(
            [
                *common,
                "--port",
                str(server.ports["submissions"]),
                "--tls-on-connect",
                "--auth",
                "PLAIN",
                *login,
                "--pipeline",
            ],
            cwd=tmp_path,
        )
        # 24: recipient refused; 28: authentication failed; 23: MAIL refused
        run_program([*common[:-6], "--to", "nobody@example.org", *mx], cwd=tmp_path, ok=(24,))
        run_program(
            [*common, *submission, "--tls", "--auth", "PLAIN", "--auth-user", BOB, "--auth-password", "no"],
            cwd=tmp_path,
            ok=(28,),
        )
        refused = run_program([*common, *submission, "--tls"], cwd=tmp_path, ok=(23, 24))
        assert "530" in refused


@pytest.mark.parametrize("workers", [2])
def test_swaks_reaches_any_worker(tmp_path: Path, workers: int) -> None:
    swaks = require_program("swaks")
    with running_server(tmp_path, workers=workers) as server:
        for _ in range(4):
            run_program(
                [
                    swaks,
                    "--server",
                    "localhost",
                    "--port",
                    str(server.ports["smtp"]),
                    "--from",
                    BOB,
                    "--to",
                    ANN,
                ],
                cwd=tmp_path,
            )
