"""What is said when, and whose every reply is, with and without PIPELINING, by DATA and BDAT, in LMTP."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.smtp.client.replies import FarReply
from postino.smtp.client.transaction import Need, Phase, Transaction

MAIL = b"MAIL FROM:<a@b>\r\n"
BDAT = b"BDAT 10 LAST\r\n"


def rcpts(count: int) -> list[bytes]:
    return [b"RCPT TO:<%d@x>\r\n" % number for number in range(count)]


def reply(code: int) -> FarReply:
    return FarReply(code, "", ("x",))


def outcome(transaction: Transaction) -> list[tuple[int, Phase]]:
    return [(answer[0].code, answer[1]) for answer in transaction.answers if answer is not None]


def run(transaction: Transaction, *codes: int) -> list[bytes]:
    """What is said, `BODY` for the message, until it is over or the replies are."""
    said = [transaction.start()]
    for code in codes:
        assert transaction.need is Need.REPLY, said
        now = transaction.take(reply(code))
        if now:
            said.append(now)
        if transaction.need is Need.BODY:
            said.append(b"BODY")
            transaction.body_sent()
    return said


def test_pipelined_data() -> None:
    transaction = Transaction(MAIL, rcpts(2), pipelining=True)
    assert run(transaction, 250, 250, 250, 354, 250) == [MAIL + b"".join(rcpts(2)) + b"DATA\r\n", b"BODY"]
    assert outcome(transaction) == [(250, Phase.MESSAGE), (250, Phase.MESSAGE)]
    assert transaction.need is Need.OVER
    assert not transaction.needs_reset
    assert not transaction.is_broken


def test_one_command_at_a_time() -> None:
    transaction = Transaction(MAIL, rcpts(2), pipelining=False)
    assert run(transaction, 250, 250, 550, 354, 250) == [MAIL, *rcpts(2), b"DATA\r\n", b"BODY"]
    assert outcome(transaction) == [(250, Phase.MESSAGE), (550, Phase.RCPT)]


@pytest.mark.parametrize("pipelining", [True, False])
def test_mail_refused(pipelining: bool) -> None:
    transaction = Transaction(MAIL, rcpts(2), pipelining=pipelining)
    said = run(transaction, *((451, 503, 503, 503) if pipelining else (451,)))
    assert len(said) == 1
    assert outcome(transaction) == [(451, Phase.MAIL)] * 2
    assert transaction.need is Need.OVER
    assert not transaction.needs_reset


def test_all_recipients_refused_without_pipelining_means_no_data() -> None:
    transaction = Transaction(MAIL, rcpts(2), pipelining=False)
    assert run(transaction, 250, 550, 451) == [MAIL, *rcpts(2)]
    assert outcome(transaction) == [(550, Phase.RCPT), (451, Phase.RCPT)]
    assert transaction.need is Need.OVER
    # The server still has our MAIL.
    assert transaction.needs_reset


def test_all_recipients_refused_and_data_too() -> None:
    transaction = Transaction(MAIL, rcpts(1), pipelining=True)
    run(transaction, 250, 550, 554)
    assert outcome(transaction) == [(550, Phase.RCPT)]
    assert transaction.needs_reset


def test_a_server_that_asks_for_the_message_of_nobody_gets_an_empty_one() -> None:
    # RFC 2920 §3.1
    transaction = Transaction(MAIL, rcpts(1), pipelining=True)
    assert run(transaction, 250, 550, 354, 250)[1:] == [b".\r\n"]
    assert outcome(transaction) == [(550, Phase.RCPT)]
    assert not transaction.needs_reset
    assert not transaction.was_body_sent


def test_the_same_when_mail_itself_was_refused() -> None:
    transaction = Transaction(MAIL, rcpts(1), pipelining=True)
    assert run(transaction, 550, 250, 354, 554)[1:] == [b".\r\n"]
    assert outcome(transaction) == [(550, Phase.MAIL)]


def test_data_refused() -> None:
    transaction = Transaction(MAIL, rcpts(2), pipelining=True)
    run(transaction, 250, 550, 250, 451)
    assert outcome(transaction) == [(550, Phase.RCPT), (451, Phase.DATA)]
    assert transaction.needs_reset


def test_250_to_data_is_no_success() -> None:
    transaction = Transaction(MAIL, rcpts(1), pipelining=True)
    run(transaction, 250, 250, 250)
    assert transaction.is_broken
    assert outcome(transaction) == [(451, Phase.DATA)]


def test_reset_comes_first_after_a_transaction_that_was_left_open() -> None:
    transaction = Transaction(MAIL, rcpts(1), pipelining=True, reset=True)
    assert run(transaction, 250, 250, 250, 354, 250)[0].startswith(b"RSET\r\nMAIL")
    transaction = Transaction(MAIL, rcpts(1), pipelining=False, reset=True)
    assert run(transaction, 250, 250, 250, 354, 250) == [b"RSET\r\n", MAIL, *rcpts(1), b"DATA\r\n", b"BODY"]


def test_bdat_at_once() -> None:
    transaction = Transaction(MAIL, rcpts(1), pipelining=True, bdat=BDAT, eager=True)
    assert run(transaction, 250, 250, 250) == [MAIL + rcpts(1)[0] + BDAT]
    assert transaction.was_body_sent
    assert outcome(transaction) == [(250, Phase.MESSAGE)]


def test_bdat_at_once_for_nobody() -> None:
    transaction = Transaction(MAIL, rcpts(1), pipelining=True, bdat=BDAT, eager=True)
    run(transaction, 250, 550, 503)
    assert outcome(transaction) == [(550, Phase.RCPT)]
    # RFC 3030 §2: after a failed BDAT only RSET helps.
    assert transaction.needs_reset


def test_a_large_message_waits_for_its_recipients() -> None:
    transaction = Transaction(MAIL, rcpts(2), pipelining=True, bdat=BDAT)
    assert run(transaction, 250, 550, 250, 552) == [MAIL + b"".join(rcpts(2)), b"BODY"]
    assert outcome(transaction) == [(550, Phase.RCPT), (552, Phase.MESSAGE)]
    assert transaction.needs_reset
    transaction = Transaction(MAIL, rcpts(1), pipelining=True, bdat=BDAT)
    assert run(transaction, 250, 550) == [MAIL + rcpts(1)[0]]
    assert transaction.need is Need.OVER


def test_lmtp_answers_for_each_recipient_it_took() -> None:
    # RFC 2033 §4.2
    transaction = Transaction(MAIL, rcpts(4), pipelining=True, is_lmtp=True)
    run(transaction, 250, 250, 550, 250, 250, 354, 250, 452, 250)
    assert outcome(transaction) == [
        (250, Phase.MESSAGE),
        (550, Phase.RCPT),
        (452, Phase.MESSAGE),
        (250, Phase.MESSAGE),
    ]
    assert transaction.need is Need.OVER


def test_lmtp_answers_an_empty_message_for_nobody_not_at_all() -> None:
    transaction = Transaction(MAIL, rcpts(1), pipelining=True, is_lmtp=True)
    assert run(transaction, 250, 550, 354)[1:] == [b".\r\n"]
    assert transaction.need is Need.OVER


@pytest.mark.parametrize(
    ("before", "phase", "answers"),
    [
        ((), Phase.MAIL, [421, 421]),
        ((250,), Phase.RCPT, [421, 421]),
        ((250, 550), Phase.RCPT, [550, 421]),
        ((250, 550, 250), Phase.DATA, [550, 421]),
        ((250, 250, 250, 354), Phase.MESSAGE, [421, 421]),
    ],
)
def test_421_answers_everything_that_is_open(
    before: tuple[int, ...], phase: Phase, answers: list[int]
) -> None:
    transaction = Transaction(MAIL, rcpts(2), pipelining=True)
    run(transaction, *before, 421)
    assert [code for code, _ in outcome(transaction)] == answers
    assert outcome(transaction)[1][1] is phase
    assert transaction.is_broken
    assert transaction.need is Need.OVER


def test_421_to_a_recipient_does_not_hide_what_became_of_a_message_that_is_there_already() -> None:
    def begun() -> Transaction:
        transaction = Transaction(MAIL, rcpts(3), pipelining=True, bdat=BDAT, eager=True)
        run(transaction, 250, 250, 421, 550)
        assert transaction.is_leaving
        assert transaction.is_broken
        return transaction

    transaction = begun()
    transaction.take(reply(250))
    assert outcome(transaction) == [(250, Phase.MESSAGE), (421, Phase.RCPT), (550, Phase.RCPT)]
    assert transaction.need is Need.OVER
    assert transaction.is_broken

    transaction = begun()
    transaction.lose(reply(451), Phase.LOST)
    assert outcome(transaction) == [(421, Phase.RCPT), (421, Phase.RCPT), (550, Phase.RCPT)]


def test_whether_the_server_can_have_the_message() -> None:
    transaction = Transaction(MAIL, rcpts(1), pipelining=True)
    transaction.start()
    assert transaction.has_nothing
    transaction.take(reply(250))
    assert transaction.has_nothing
    transaction.take(reply(250))
    transaction.take(reply(354))
    assert transaction.has_nothing
    assert not transaction.waits_for_message
    transaction.body_sent()
    assert transaction.waits_for_message
    assert not transaction.has_nothing
    eager = Transaction(MAIL, rcpts(1), pipelining=True, bdat=BDAT, eager=True)
    eager.start()
    assert eager.has_nothing
    eager.take(reply(250))
    assert not eager.has_nothing


def test_an_answer_before_the_message_is_over_is_never_a_success() -> None:
    for code, expected in ((552, 552), (250, 451), (354, 451)):
        transaction = Transaction(MAIL, rcpts(1), pipelining=True)
        transaction.start()
        for one in (250, 250, 354):
            transaction.take(reply(one))
        transaction.reply_while_sending(reply(code))
        assert outcome(transaction) == [(expected, Phase.MESSAGE)]
        assert transaction.is_broken


CODES = st.lists(
    st.sampled_from([220, 250, 251, 354, 421, 450, 452, 500, 503, 550, 554]), min_size=60, max_size=60
)


@settings(max_examples=200, deadline=None)
@given(CODES, st.integers(1, 6), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_any_replies_come_to_an_answer_for_each(
    codes: list[int], count: int, pipelining: bool, lmtp: bool, by_bdat: bool, eager: bool, reset: bool
) -> None:
    transaction = Transaction(
        MAIL,
        rcpts(count),
        pipelining=pipelining,
        is_lmtp=lmtp,
        bdat=BDAT if by_bdat else b"",
        eager=eager,
        reset=reset,
    )
    said = transaction.start()
    commands, replies, bodies = said.count(b"\r\n"), 0, 0
    coming = iter(codes)
    taken: set[int] = set()
    while transaction.need is not Need.OVER:
        if transaction.need is Need.BODY:
            bodies += 1
            transaction.body_sent()
            continue
        code = next(coming)
        now = transaction.take(reply(code))
        replies += 1
        commands += now.count(b"\r\n") - now.count(b".\r\n")
    assert bodies <= 1
    assert len(transaction.answers) == count
    for number, answer in enumerate(transaction.answers):
        assert answer is not None
        if answer[0].is_positive:
            assert answer[1] is Phase.MESSAGE
            taken.add(number)
    if taken:
        assert bodies == 1 or (eager and by_bdat)
    if not transaction.is_broken:
        ends = max(
            1, sum(answer is not None and answer[1] is Phase.MESSAGE for answer in transaction.answers)
        )
        assert replies <= commands + (ends if lmtp else 1)
