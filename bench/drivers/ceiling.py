"""How fast the SMTP driver alone could go: against Postfix's smtp-sink, which throws everything away.

A figure of the bench near this one says more about the driver than about the server.
"""

import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Final

from bench.drivers.smtp import SmtpLoad, run_smtp_load
from bench.peers.server import HOST, wait_for_greeting

_SECONDS: Final = 1.0


def driver_ceiling(port: int, messages: Sequence[bytes], connections: int = 10) -> float | None:
    """Messages a second; None where there is no smtp-sink."""
    program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin")
    if program is None:
        return None
    sink = subprocess.Popen(
        [program, "-u", "nobody", "-c", f"{HOST}:{port}", "100"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_greeting(port, b"220", 5.0, lambda: sink.poll() is None)
        time.sleep(0.1)
        load = SmtpLoad(HOST, port, connections, _SECONDS, ("sink@bench.example",), messages)
        outcome = run_smtp_load(load)
        return outcome.accepted / outcome.seconds
    finally:
        sink.terminate()
        sink.wait()
