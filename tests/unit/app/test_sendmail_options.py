"""sendmail's command line as real callers write it."""

import pytest

from postino.app.sendmail_options import BadUsage, Mode, Options, parse_options
from postino.smtp.envelope import Notify, Return


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        # Debian's cron, PHP's default sendmail_path, git send-email, mutt, mdadm's and logcheck's mailers.
        ("-FCronDaemon -i -odi -oem -oi -t -f root", Options(full_name="CronDaemon", ignore_dots=True, from_header=True, sender="root")),
        ("-t -i", Options(from_header=True, ignore_dots=True)),
        ("-ti", Options(from_header=True, ignore_dots=True)),
        ("-t -i -fnoreply@example.org", Options(from_header=True, ignore_dots=True, sender="noreply@example.org")),
        ("-f ann@example.org -i bob@example.net", Options(sender="ann@example.org", ignore_dots=True, recipients=("bob@example.net",))),
        ("-oem -oi -f ann@example.org -- -odd@example.net", Options(ignore_dots=True, sender="ann@example.org", recipients=("-odd@example.net",))),
        ("-oee -om ann bob", Options(recipients=("ann", "bob"))),
        ("-r <ann@example.org> bob", Options(sender="ann@example.org", recipients=("bob",))),
        ("-f <> bob", Options(sender="", recipients=("bob",))),
        ("-q15m -d0.1 -v -em bob", Options(recipients=("bob",))),
        ("-O DeliveryMode=b -C /etc/mail/submit.cf -L tag -X /tmp/log bob", Options(recipients=("bob",))),
        ("-N never bob", Options(notify=Notify.NEVER, recipients=("bob",))),
        ("-Nsuccess,delay -R hdrs -V QQ314159 -B 8BITMIME bob", Options(notify=Notify.SUCCESS | Notify.DELAY, ret=Return.HEADERS, envid="QQ314159", recipients=("bob",))),
        ("-R FULL bob", Options(ret=Return.FULL, recipients=("bob",))),
        ("-bs", Options(mode=Mode.SMTP)),
        ("-bp", Options(mode=Mode.LIST)),
        ("-bi", Options(mode=Mode.ALIASES)),
        ("-bm bob", Options(recipients=("bob",))),
        ("-it bob -", Options(from_header=True, ignore_dots=True, recipients=("bob", "-"))),
    ],
)  # fmt: skip
def test_a_command_line_is_understood(line: str, wanted: Options) -> None:
    assert parse_options(line.split()) == wanted


@pytest.mark.parametrize("value", ["Ann B <ann@example.org>", "<ann@example.org>", " ann@example.org "])
def test_a_sender_with_a_name_is_taken_by_the_address(value: str) -> None:
    assert parse_options(["-f", value]).sender == "ann@example.org"
    assert parse_options([f"-r{value}"]).sender == "ann@example.org"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--sokcet", "x"], "--sokcet is not an option; `postino send --help` shows those there are"),
        (["-Z"], "-Z is not an option; `postino send --help` shows those there are"),
        (["-f"], "-f needs a value; `postino send --help` shows how"),
        (["-N", "often"], "-N often makes no sense; write never, or some of success,failure,delay"),
        (["-N", "success,never"], "-N success,never makes no sense; write never, or some of success,failure,delay"),
        (["-R", "most"], "-R most makes no sense; write full or hdrs"),
        (["-V", "two words"], "-V takes at most 100 printable characters of ASCII without blanks"),
        (["-V", "x" * 101], "-V takes at most 100 printable characters of ASCII without blanks"),
        (["-B", "16BIT"], "-B 16BIT makes no sense; write 7BIT or 8BITMIME"),
        (["-bd"], "The server is not started like this; use: postino serve"),
        (["-bt"], "-bt is not known; -bm sends, -bs speaks SMTP, -bp shows the queue"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_explained(words: list[str], sentence: str) -> None:
    with pytest.raises(BadUsage) as caught:
        parse_options(words)
    assert str(caught.value) == sentence
