"""hold for what goes out, and the few extensions of Dovecot's that scripts use."""

import pytest

from postino.sieve import BadScript, Circumstances, Hold, ReportAbuse, compile_script, run
from tests.unit.sieve.scripting import MESSAGE, done

_OUTGOING = Circumstances(environment={"vnd.postino.direction": "outgoing"})


@pytest.mark.parametrize(
    ("commands", "seconds"),
    [
        ("hold;", None),
        ("hold :seconds 600;", 600),
        # The longest counts.
        ("hold :seconds 600; hold :seconds 60;", 600),
        ("hold :seconds 60; hold :seconds 600;", 600),
        ("hold :seconds 60; hold;", None),
        ("hold; hold :seconds 60;", None),
    ],
)
def test_what_goes_out_can_be_held(commands: str, seconds: int | None) -> None:
    script = compile_script(f'require "vnd.postino.outgoing"; {commands}'.encode())
    held, kept = run(script, MESSAGE, _OUTGOING).actions
    assert isinstance(held, Hold)
    assert held.seconds == seconds
    # The sent copy is filed as ever.
    assert type(kept).__name__ == "Keep"


def test_what_comes_in_cannot_be_held() -> None:
    assert done('require "vnd.postino.outgoing"; hold;')[0].startswith("fault: hold is for")


def test_what_is_refused_is_not_held() -> None:
    head = 'require ["vnd.postino.outgoing", "reject"];'
    for commands in ('hold; reject "no";', 'reject "no"; hold;'):
        assert done(f"{head} {commands}", MESSAGE, _OUTGOING)[0].startswith("fault: ")


def test_bad_holds() -> None:
    with pytest.raises(BadScript, match=":seconds is at least 1"):
        compile_script(b'require "vnd.postino.outgoing"; hold :seconds 0;')
    with pytest.raises(BadScript, match=r"hold needs require .vnd.postino.outgoing"):
        compile_script(b"hold;")


def test_debug_log_writes_into_the_trace() -> None:
    script = compile_script(
        b'require ["vnd.dovecot.debug", "variables"]; set "x" "here"; debug_log "we are ${x}";'
    )
    evaluation = run(script, MESSAGE, traced=True)
    assert "says: we are here" in [line.words for line in evaluation.trace]
    assert run(script, MESSAGE).fault is None


def test_items_of_the_environment_are_variables() -> None:
    facts = Circumstances(
        environment={"vnd.dovecot.username": "bob@example.com", "remote-host": "mx.example.org"}
    )
    script = (
        'require ["vnd.dovecot.environment", "variables", "fileinto"];\r\n'
        'if environment :is "vnd.dovecot.default-mailbox" "INBOX"\r\n'
        '{ fileinto "${env.vnd.dovecot.username} ${env.remote_host} ${env.none}."; }'
    )
    assert done(script, MESSAGE, facts) == ["fileinto bob@example.com mx.example.org ."]
    with pytest.raises(BadScript, match="no variables called env"):
        compile_script(b'require ["variables", "fileinto"]; fileinto "${env.name}";')


def test_abuse_is_reported() -> None:
    script = compile_script(
        b'require "vnd.dovecot.report"; report :headers_only "ABUSE" "It is spam." "abuse@example.org";'
    )
    found, kept = run(script, MESSAGE).actions
    assert isinstance(found, ReportAbuse)
    assert (found.feedback_type, found.message, found.address, found.headers_only) == (
        "abuse", "It is spam.", "abuse@example.org", True,
    )  # fmt: skip
    assert type(kept).__name__ == "Keep"


def test_bad_reports() -> None:
    for arguments, words in (
        ('"two words" "m" "a@example.org"', "no feedback type"),
        ('"abuse" "m" "nobody"', "not an address a report"),
    ):
        with pytest.raises(BadScript, match=words):
            compile_script(f'require "vnd.dovecot.report"; report {arguments};'.encode())
    made = 'require ["vnd.dovecot.report", "variables"]; report "abuse" "m" "${none}";'
    assert done(made)[0].startswith("fault: a report needs")
