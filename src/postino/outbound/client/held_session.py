"""A connection on which one recipient is asked about first, and the message follows when it is there.

RFC: 5321 §3.3 (MAIL, RCPT, DATA), §4.1.4 (order), 2920 (PIPELINING).
Exposure: as session.py, whose dialogue this is.
Invariants: after begin() was answered with 250, the server waits for DATA; after anything else the connection
    is of no more use but to be closed.
Not here: when this is done (cut_through.py), messages of the queue (session.py).
"""

from msgspec.structs import replace

from postino.outbound.client.body_writer import write_body
from postino.outbound.client.outgoing import BodyReader, RecipientReply
from postino.outbound.client.session import BLOCK_SECONDS, ClientSession
from postino.smtp.client.commands import is_beyond_ascii, mail_line, rcpt_line
from postino.smtp.client.replies import FarReply
from postino.smtp.client.transaction import EARLY, UNASKED, Phase
from postino.smtp.envelope import BodyType, MailOptions, RcptOptions


class HeldSession(ClientSession):
    """For one message."""

    async def begin(
        self, reverse_path: str, options: MailOptions, address: str, rcpt: RcptOptions, *, size: int
    ) -> RecipientReply:
        """Say MAIL and RCPT; gives the refusal, or 250 and leaves the transaction open.

        `size` is what is known of it, 0 for nothing. Raises CannotBeSaid, ConnectionLost, TimeoutError,
        BadReply.
        """
        offered, dialogue = self.extensions, self._dialogue
        seconds = self._settings.reply_seconds
        smtputf8 = offered.smtputf8 and (
            options.smtputf8 or is_beyond_ascii(reverse_path) or is_beyond_ascii(address)
        )
        mail = mail_line(
            reverse_path,
            options,
            offered if size else replace(offered, has_size=False),
            size=size,
            body=BodyType.EIGHT_BIT_MIME if offered.eight_bit_mime else BodyType.SEVEN_BIT,
            smtputf8=smtputf8,
        )
        line = rcpt_line(address, rcpt, offered, smtputf8=smtputf8)
        if offered.pipelining:
            dialogue.connection.write(mail + line)
            answer = await dialogue.reply(seconds)
            asked = await dialogue.reply(seconds)
        else:
            answer = asked = await dialogue.ask(mail, seconds)
            if answer.is_positive:
                asked = await dialogue.ask(line, seconds)
        if not answer.is_positive:
            return self._answer(answer, Phase.MAIL)
        return self._answer(asked, Phase.RCPT)

    async def finish(self, header: bytes, body: bytes | BodyReader) -> RecipientReply:
        """Send the message after begin(). Raises ConnectionLost, TimeoutError, BadReply, BadBody.

        With ConnectionLost or TimeoutError the server may have it or not.
        """
        dialogue, settings = self._dialogue, self._settings
        reply = await dialogue.ask(b"DATA\r\n", settings.reply_seconds)
        if reply.code != 354:
            return self._answer(UNASKED if reply.is_positive else reply, Phase.DATA)
        seconds = min(BLOCK_SECONDS, settings.reply_seconds)
        is_whole = await write_body(dialogue, header, body, as_data=True, seconds=seconds)
        reply = await dialogue.reply(settings.data_seconds)
        # What was not sent cannot have been taken.
        return self._answer(EARLY if reply.is_positive and not is_whole else reply, Phase.MESSAGE)

    def _answer(self, reply: FarReply, phase: Phase) -> RecipientReply:
        code = reply.code if not 300 <= reply.code < 400 else 451
        return RecipientReply(code, reply.status, reply.text, self.remote, phase)
