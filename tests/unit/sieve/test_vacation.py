"""vacation and vacation-seconds, with RFC 5230's and 6131's examples by section, and RFC 3834's rules."""

import pytest

from postino.sieve import BadScript, Circumstances, Evaluation, Vacation, compile_script, run

_DAY = 86_400


def mail(*fields: str, to: str = "bob@example.com", sender: str = "ann@example.org") -> bytes:
    lines = [f"From: Ann <{sender}>", f"To: {to}", "Subject: lunch?", "Message-ID: <1@example.org>", *fields]
    return "\r\n".join([*lines, "", "Hello.", ""]).encode()


def evaluated(
    script: str,
    message: bytes = b"",
    *,
    sender: str = "ann@example.org",
    envelope_to: str = "bob@example.com",
    direction: str = "incoming",
) -> Evaluation:
    facts = Circumstances(
        envelope_from=sender,
        envelope_to=envelope_to,
        addresses=("bob@example.com", "robert@example.com"),
        environment={"vnd.postino.direction": direction},
    )
    source = f'require ["vacation", "vacation-seconds", "variables"];\r\n{script}'
    return run(compile_script(source.encode()), message or mail(), facts, traced=True)


def answer(script: str, message: bytes = b"") -> Vacation:
    answers = [one for one in evaluated(script, message).actions if isinstance(one, Vacation)]
    assert len(answers) == 1
    return answers[0]


def is_answered(script: str, message: bytes, sender: str = "ann@example.org") -> bool:
    evaluation = evaluated(script, message, sender=sender)
    assert evaluation.fault is None
    # §4.7: the implicit keep stays.
    assert type(evaluation.actions[-1]).__name__ == "Keep"
    return any(isinstance(action, Vacation) for action in evaluation.actions)


def test_the_plain_answer() -> None:
    """§4.8."""
    found = answer(
        'vacation :days 23 :addresses ["tjs@example.edu",\r\n "ts4z@landru.example.edu"]\r\n'
        "\"I'm away until October 19.\r\nIf it's an emergency, call 911, I guess.\" ;"
    )
    assert found.seconds == 23 * _DAY
    assert found.reason.startswith("I'm away until October 19.\r\n")
    assert (found.subject, found.from_address, found.is_mime, found.fcc) == ("", "", False, None)


@pytest.mark.parametrize(
    ("tags", "seconds"),
    [
        ("", 7 * _DAY),
        (":days 1", _DAY),
        (":days 0", _DAY),
        (":days 31", 31 * _DAY),
        (":days 9999", 365 * _DAY),
        # RFC 6131 §2 and §3
        (":seconds 1800", 1800),
        (":seconds 0", 0),
        (":seconds 2147483647", 365 * _DAY),
    ],
)
def test_how_long_nobody_is_answered_again(tags: str, seconds: int) -> None:
    assert answer(f'vacation {tags} "away";').seconds == seconds


def test_seconds_alone_make_vacation_known() -> None:
    """RFC 6131 §3."""
    compile_script(b'require ["vacation-seconds"]; vacation :seconds 1800 "In a meeting.";')
    with pytest.raises(BadScript, match=r":seconds .*vacation-seconds"):
        compile_script(b'require "vacation"; vacation :seconds 1 "a";')
    with pytest.raises(BadScript, match="exclude each other"):
        compile_script(b'require "vacation-seconds"; vacation :seconds 1 :days 1 "a";')


def test_answers_that_differ_are_told_apart() -> None:
    """§4.2: reason, :subject, :from and :mime make the handle, each in its own place."""
    scripts = [
        'vacation "away";',
        'vacation "out";',
        'vacation :subject "away" "away";',
        'vacation :from "away@example.com" "away";',
        'vacation :mime "\r\naway";',
        'vacation "\r\naway";',
        'vacation :subject "" "away";',
        'vacation :handle "x" "away";',
    ]
    assert len({answer(script).handle for script in scripts}) == len(scripts)
    assert answer('vacation :days 3 "away";').handle == answer('vacation "away";').handle


def test_variables_do_not_tell_answers_apart() -> None:
    """§4.2: the second example; and :handle makes different answers one."""
    script = (
        'if header :matches "subject" "*" {\r\n vacation :subject "Automatic response to: ${1}"\r\n'
        ' "I\'m away -- send mail to foo in my absence"; }'
    )
    one = answer(script)
    assert one.subject == "Automatic response to: lunch?"
    assert one.handle == answer(script, mail().replace(b"lunch?", b"dinner?")).handle
    ran = 'vacation :handle "ran-away" "I\'m out and can\'t meet for lunch";'
    assert answer(ran).handle == answer('vacation :handle "ran-away" "I\'m out";').handle == "ran-away"


def test_it_can_be_run_once() -> None:
    """§4.7."""
    evaluation = evaluated('vacation "a"; vacation "b";')
    assert evaluation.fault is not None
    # Whether or not an answer is due.
    evaluation = evaluated('vacation "a"; vacation "b";', sender="")
    assert evaluation.fault is not None
    assert evaluated('if true { vacation "a"; } else { vacation "b"; }').fault is None


@pytest.mark.parametrize(
    ("message", "answered"),
    [
        (mail(to="bob@example.com"), True),
        (mail(to="BOB@EXAMPLE.COM"), True),
        (mail(to="x@example.net, Robert <robert@example.com>"), True),
        (mail(to="friends: bob@example.com;"), True),
        (mail("Cc: bob@example.com", to="x@example.net"), True),
        (mail("Bcc: bob@example.com", to="x@example.net"), True),
        (mail("Resent-To: bob@example.com", to="x@example.net"), True),
        (mail("Resent-Cc: bob@example.com", to="x@example.net"), True),
        (mail("Resent-Bcc: bob@example.com", to="x@example.net"), True),
        (mail(to="bob+shop@example.com"), True),
        (mail(to="bobby@example.com"), False),
        (mail(to="undisclosed-recipients:;"), False),
        (mail("Reply-To: bob@example.com", to="x@example.net"), False),
        (mail(to='"bob@example.com" <x@example.net>'), False),
    ],
)
def test_only_what_is_addressed_to_the_account_is_answered(message: bytes, answered: bool) -> None:
    """§4.5."""
    assert is_answered('vacation "away";', message) is answered


def test_more_addresses_can_be_the_accounts() -> None:
    message = mail(to="tjs@example.edu")
    assert is_answered('vacation :addresses "tjs@example.edu" "away";', message)
    assert not is_answered('vacation :addresses "ts4z@example.edu" "away";', message)


@pytest.mark.parametrize(
    ("sender", "answered"),
    [
        ("ann@example.org", True),
        ("postmaster@example.org", True),
        ("reply@example.org", True),
        ("lownermann@example.org", True),
        ("", False),
        ("MAILER-DAEMON@example.org", False),
        ("listserv@example.org", False),
        ("majordomo@example.org", False),
        ("owner-people@example.org", False),
        ("people-owner@example.org", False),
        ("people-request@example.org", False),
        ("people-bounces@example.org", False),
        ("people-bounces+bob=example.com@example.org", False),
        ("bounce-17@example.org", False),
        ("noreply@example.org", False),
        ("no-reply@example.org", False),
        ("do_not_reply@example.org", False),
        ("shop.noreply@example.org", False),
        ("noreply-17@example.org", False),
        # The account itself.
        ("bob@example.com", False),
        ("robert@example.com", False),
    ],
)
def test_machines_lists_and_the_account_are_not_answered(sender: str, answered: bool) -> None:
    """§4.6, RFC 3834 §2."""
    assert is_answered('vacation "away";', mail(), sender) is answered


@pytest.mark.parametrize(
    ("field", "answered"),
    [
        ("List-Id: <people.example.org>", False),
        ("List-Help: <mailto:a@example.org>", False),
        ("List-Subscribe: <mailto:a@example.org>", False),
        ("List-Unsubscribe: <mailto:a@example.org>", False),
        ("List-Post: NO", False),
        ("List-Owner: <mailto:a@example.org>", False),
        ("List-Archive: <http://example.org/>", False),
        ("Precedence: bulk", False),
        ("Precedence: Junk", False),
        ("Precedence: list", False),
        ("Precedence: first-class", True),
        ("Auto-Submitted: auto-generated", False),
        ("Auto-Submitted: auto-replied (vacation)", False),
        ('Auto-Submitted: auto-notified; owner-email="a@example.org"', False),
        ("Auto-Submitted: no", True),
        ("Auto-Submitted: No (really)", True),
        ("X-Auto-Response-Suppress: OOF, DR", False),
        ("X-Auto-Response-Suppress: DR", True),
        ("Content-Type: multipart/report; boundary=x", False),
        ("Content-Type: text/plain", True),
    ],
)
def test_lists_and_automatic_mail_are_not_answered(field: str, answered: bool) -> None:
    """§4.6."""
    assert is_answered('vacation "away";', mail(field)) is answered


def test_why_nobody_is_answered_is_told_in_the_trace() -> None:
    evaluation = evaluated('vacation "away";', mail("List-Id: <people.example.org>"))
    assert "not answered: it comes from a list (list-id)" in [line.words for line in evaluation.trace]


def test_what_the_account_sends_is_not_answered() -> None:
    evaluation = evaluated('vacation "away";', direction="outgoing")
    assert evaluation.fault is None
    assert [type(action).__name__ for action in evaluation.actions] == ["Keep"]


def test_a_whole_entity_can_be_the_answer() -> None:
    """§4.4."""
    found = answer(
        "vacation :mime text:\r\nContent-Type: multipart/alternative; boundary=foo\r\n\r\n--foo\r\n\r\n"
        "I'm at the beach.\r\n--foo--\r\n.\r\n;"
    )
    assert found.is_mime
    assert found.reason.startswith("Content-Type: multipart/alternative")
    for reason, words in (
        ("Just some words.", "begins with fields"),
        ("Subject: \u00e4\r\n\r\nBody", "ASCII only"),
    ):
        with pytest.raises(BadScript, match=words):
            compile_script(f'require "vacation"; vacation :mime "{reason}";'.encode())
    compile_script('require "vacation"; vacation :mime "\r\n\u00e4";'.encode())


def test_from_is_an_address() -> None:
    """§4.3."""
    assert answer('vacation :from "Bob <robert@example.com>" "a";').from_address == "Bob <robert@example.com>"
    with pytest.raises(BadScript, match=":from takes an address"):
        compile_script(b'require "vacation"; vacation :from "nobody" "a";')
    # What is made when the script runs is ignored rather than that nothing is sent.
    assert answer('set "who" "nobody"; vacation :from "${who}" "a";').from_address == ""
    script = compile_script(b'require "vacation"; vacation :from "a@example.org, b@example.org" "a";')
    assert [fault.words.split(";")[0] for fault in script.warnings] == [":from names several addresses"]


def test_a_subject_is_one_line() -> None:
    assert answer('vacation :subject "a\r\nBcc: x@example.org" "a";').subject == "a Bcc: x@example.org"
