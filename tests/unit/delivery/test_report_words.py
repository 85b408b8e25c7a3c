"""The words of a report say what happened, and put nothing into a server's mouth."""

import pytest

from postino.core.ids import Instant
from postino.delivery.report_words import Told, report_words
from postino.mime.delivery_status import Action, RecipientStatus
from tests.support.world import NOW

HEADER = b"Subject: Lunch\r\nTo: bob@far.example\r\n\r\n"
FAR = "mx.far.example (192.0.2.1)"


def words(*told: Told, size: int = 700) -> str:
    text = report_words(told, HEADER, size=size, hostname="mail.example.org", returns_all=False)
    return " ".join(text.split())


def failed(status: str, reply: str, *, remote: str = FAR) -> Told:
    return Told(
        RecipientStatus("bob@far.example", Action.FAILED, status, reply=reply, remote=remote),
        domain="far.example",
    )


@pytest.mark.parametrize(
    ("reply", "remote", "said"),
    [
        ("550 5.1.1 No such user", FAR, f"{FAR} answered: 550 5.1.1 No such user"),
        ("550", FAR, f"{FAR} answered: 550"),
        # What we found ourselves is not what the server said.
        ("The message has 9 octets", FAR, f"What went wrong with {FAR}: The message has 9 octets"),
        ("5501 is no code", FAR, f"What went wrong with {FAR}: 5501 is no code"),
        ("The domain does not exist", "", "What went wrong: The domain does not exist"),
    ],
)
def test_only_a_server_answers(reply: str, remote: str, said: str) -> None:
    assert said in words(failed("5.1.1", reply, remote=remote))


def test_what_the_sender_asked_for_is_not_what_a_server_demands() -> None:
    """RFC 8689 §4.2.1: one code for both."""
    demanded = words(failed("5.7.10", "530 5.7.10 Say STARTTLS"))
    assert "takes mail over protected connections only" in demanded
    asked = words(failed("5.7.10", "The server cannot prove who it is", remote=""))
    assert "cannot promise the protected connections the message asks for" in asked


@pytest.mark.parametrize(
    ("action", "status", "said"),
    [
        (
            Action.FAILED,
            "5.4.7",
            (
                "bob@far.example It was tried 3 times since Thu, 01 Jan 2026 00:00:00 +0000. "
                "The time you allowed for it is over: it is given up now."
            ),
        ),
        (
            Action.DELAYED,
            "4.4.7",
            (
                "bob@far.example The time you allowed for it is over. It will be tried until "
                "Thu, 01 Jan 2026 00:00:00 +0000."
            ),
        ),
    ],
)
def test_that_a_deadline_has_passed_is_said_once(action: Action, status: str, said: str) -> None:
    """RFC 2852 §4.1.3."""
    about = RecipientStatus("bob@far.example", action, status, will_retry_until=NOW)
    late = action is Action.FAILED
    told = Told(about, domain="far.example", attempts=3, since=Instant(NOW), gave_up=late, deadline=True)
    text = words(told)
    assert said in text
    assert "in the time" not in text


@pytest.mark.parametrize(
    ("reply", "could_not"), [("No connection to mx.far.example:25: refused", False), ("", True)]
)
def test_what_waited_behind_others_that_were_tried(reply: str, could_not: bool) -> None:
    about = RecipientStatus("bob@far.example", Action.FAILED, "4.4.1", reply=reply)
    text = words(Told(about, domain="far.example", gave_up=True))
    assert ("It could not be tried in time." in text) is could_not
    assert (reply in text) is not could_not or not reply


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "reached this address, which stands for others"), (2, "reached these addresses, which stand for")],
)
def test_one_and_several_aliases(count: int, said: str) -> None:
    alias = Told(RecipientStatus("all@example.org", Action.EXPANDED, "2.1.5"), domain="example.org")
    assert said in words(*[alias] * count)
