"""Drive Thunderbird from a test: its remote protocol (Marionette), on a profile of its own, headless.

The scripts run inside Thunderbird with its own modules, so they do what its windows do: the same
account objects, the same IMAP engine, the same copy service.
"""

import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from tests.support.live_server import free_ports

_START_SECONDS: Final = 60.0
_PREFERENCES: Final = {
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "mail.biff.show_alert": False,
    "network.captive-portal-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}
_PRELUDE: Final = """
const finish = arguments[arguments.length - 1];
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const until = async (what, check) => {
  for (let tries = 0; tries < 400; tries++) {
    const found = await check();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error("waited in vain: " + what);
};
const server = () => MailServices.accounts.accounts.find(one => one.incomingServer?.type == "imap").incomingServer;
const folder = name => server().rootFolder.getChildNamed(name);
const update = (name) => new Promise((resolve, reject) => {
  folder(name).QueryInterface(Ci.nsIMsgImapMailFolder);
  const listener = {
    OnStartRunningUrl() {},
    OnStopRunningUrl(url, code) { Components.isSuccessCode(code) ? resolve() : reject(new Error("code " + code)); },
    onStartRunningUrl() {},
    onStopRunningUrl(url, code) { Components.isSuccessCode(code) ? resolve() : reject(new Error("code " + code)); },
    QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
  };
  folder(name).updateFolderWithListener(null, listener);
});
const messages = name => [...folder(name).messages];
const body = async () => { %s };
body().then(
  value => finish(JSON.stringify({ value })),
  error => finish(JSON.stringify({ error: String(error) + error.stack })));
"""


class Thunderbird:
    """A running Thunderbird; `run` executes a script in it."""

    def __init__(self, program: str, directory: Path) -> None:
        (self._port,) = free_ports(1)
        self._profile = directory / "profile"
        self._profile.mkdir()
        preferences = {**_PREFERENCES, "marionette.port": self._port}
        (self._profile / "user.js").write_text(
            "".join(
                f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in preferences.items()
            )
        )
        self._number = 0
        with (directory / "thunderbird.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    "--headless",
                    "--marionette",
                    "--remote-allow-system-access",
                    "--no-remote",
                    "--profile",
                    str(self._profile),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(directory), "MOZ_HEADLESS": "1"},
                start_new_session=True,
            )

    def __enter__(self) -> "Thunderbird":
        try:
            self._connect()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._end()

    def _connect(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
                break
            except OSError:
                assert self._process.poll() is None, "Thunderbird ended"
                assert time.monotonic() < deadline, "Thunderbird does not answer"
                time.sleep(0.1)
        self._file = self._socket.makefile("rb")
        assert self._receive()["applicationType"] == "gecko"
        self._ask("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {}}})
        self._ask("Marionette:SetContext", {"value": "chrome"})
        self._ask("WebDriver:SetTimeouts", {"script": 40_000})

    def _end(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def run(self, script: str, *arguments: object) -> Any:
        """The value the body of an async function returns; `arguments` are its `args`."""
        body = f"const args = {json.dumps(arguments)};\n{script}"
        answer = self._ask("WebDriver:ExecuteAsyncScript", {"script": _PRELUDE % body, "args": []})
        outcome = json.loads(answer["value"])
        assert "error" not in outcome, outcome["error"]
        return outcome.get("value")

    def trust(self, cafile: Path, port: int) -> None:
        """Take a self-signed certificate for good, as a user who confirms the exception does."""
        der = ssl.PEM_cert_to_DER_cert(cafile.read_text())
        self.run(
            """
            const certificate = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB)
              .constructX509FromBase64(args[0]);
            Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService)
              .rememberValidityOverride("localhost", args[1], {}, certificate, false);
            """,
            base64.b64encode(der).decode("ascii"),
            port,
        )

    def _ask(self, command: str, parameters: dict[str, object]) -> Any:
        self._number += 1
        octets = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(octets), octets))
        _, number, error, value = self._receive()
        assert number == self._number
        assert error is None, error
        return value

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            octet = self._file.read(1)
            assert octet, "Thunderbird hung up"
            length += octet
        return json.loads(self._file.read(int(length[:-1])))
