"""The fixed answers of the server, each made once, so that one refusal reads the same everywhere.

RFC: 5321 §4.2.2-§4.2.4, 3463 §3 (enhanced codes), 4954 §6 (AUTH), 3207 §4 (STARTTLS),
    3030 §2 (BDAT), 6531 §3.7.4 (SMTPUTF8), 1870 §6 (SIZE), 6409 §4 (submission).
Invariants: every sentence says what was wrong or what to do; none repeats what the client sent.
Not here: answers with parts that vary (servers/smtp).
"""

from typing import Final

from postino.smtp.reply import Reply

# Positive
RESET: Final = Reply(250, "2.0.0", "Forgotten; ready for the next message")
NOOP: Final = Reply(250, "2.0.0", "Still here")
SENDER_OK: Final = Reply(250, "2.1.0", "Sender taken")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient taken")
CHUNK_OK: Final = Reply(250, "2.0.0", "Chunk taken")
START_DATA: Final = Reply(354, "", "Send the message, end it with a line holding one dot")
START_TLS: Final = Reply(220, "2.0.0", "Begin TLS now")
BYE: Final = Reply(221, "2.0.0", "Goodbye")
LOGGED_IN: Final = Reply(235, "2.7.0", "Logged in")
CANNOT_VERIFY: Final = Reply(252, "2.5.0", "Cannot say; send a message and see")
HELP: Final = Reply(
    214,
    "2.0.0",
    "Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS AUTH",
    "See RFC 5321",
)

# The session ends
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "This server is shutting down; connect again soon")
IDLE_TOO_LONG: Final = Reply(421, "4.4.2", "Silent for too long; closing")
LOGIN_TOO_SLOW: Final = Reply(421, "4.7.0", "No login in time; closing")
TOO_MANY_BAD_COMMANDS: Final = Reply(421, "4.7.0", "Too many refused commands; closing")
TOO_MANY_FAILED_LOGINS: Final = Reply(421, "4.7.0", "Too many failed logins; closing")
INTERNAL_ERROR: Final = Reply(421, "4.3.0", "Something went wrong on this server; try again later")

# Grammar
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "The line is too long")
BARE_LINE_END: Final = Reply(500, "5.5.2", "A command ends with CR LF and holds no other CR, LF or NUL")
UNKNOWN_COMMAND: Final = Reply(500, "5.5.1", "Unknown command; HELP lists those there are")
NO_ARGUMENT_ALLOWED: Final = Reply(501, "5.5.4", "This command takes no argument")
BAD_HELO: Final = Reply(501, "5.5.4", "Say EHLO and the name or address of your host")
BAD_MAIL: Final = Reply(501, "5.5.4", "Write MAIL FROM:<address> or MAIL FROM:<>")
BAD_RCPT: Final = Reply(501, "5.5.4", "Write RCPT TO:<address>")
BAD_SENDER: Final = Reply(553, "5.1.7", "The sender's address is malformed")
BAD_RECIPIENT: Final = Reply(553, "5.1.3", "The recipient's address is malformed")
BAD_PARAMETER: Final = Reply(501, "5.5.4", "A parameter is malformed or given twice")
BAD_VALUES: Final = {
    name: Reply(501, "5.5.4", sentence)
    for name, sentence in {
        "SIZE": "SIZE takes a number of octets",
        "BODY": "BODY is 7BIT, 8BITMIME or BINARYMIME",
        "SMTPUTF8": "SMTPUTF8 takes no value",
        "AUTH": "AUTH takes an address in xtext, or <>",
        "RET": "RET is FULL or HDRS",
        "ENVID": "ENVID takes up to 100 characters of xtext",
        "REQUIRETLS": "REQUIRETLS takes no value",
        "MT-PRIORITY": "MT-PRIORITY is a number from -9 to 9",
        "BY": "BY is seconds;N or seconds;R, the latter with more than 0 seconds",
        "HOLDFOR": "HOLDFOR takes a number of seconds above 0, and excludes HOLDUNTIL",
        "HOLDUNTIL": "HOLDUNTIL takes a time in UTC, as 2030-01-31T08:00:00Z, and excludes HOLDFOR",
        "NOTIFY": "NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY",
        "ORCPT": "ORCPT is a type, a semicolon and an address in xtext, up to 500 characters",
    }.items()
}
"""What a parameter's value must be, by its name."""
UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "A parameter is not known here")
REQUIRETLS_NEEDS_TLS: Final = Reply(
    530, "5.7.10", "REQUIRETLS can be asked for over TLS only; say STARTTLS first"
)
BY_TOO_SOON: Final = Reply(555, "5.5.4", "BY leaves too little time; EHLO says the least there must be")
HOLD_TOO_LONG: Final = Reply(
    501, "5.5.4", "That is too far ahead; EHLO says how long a message is kept before it goes"
)
HOLD_PAST: Final = Reply(501, "5.5.4", "HOLDUNTIL is in the past; name a time to come, in UTC")
HOLD_AFTER_BY: Final = Reply(501, "5.5.4", "The message would go later than BY wants it to arrive")
BAD_BDAT: Final = Reply(
    501, "5.5.4", "Write BDAT size or BDAT size LAST; closing, for the chunk's end is lost"
)
BAD_AUTH: Final = Reply(501, "5.5.4", "Write AUTH mechanism, and perhaps an initial response in base64")
BAD_VRFY: Final = Reply(501, "5.5.4", "Say what to verify")
SMTPUTF8_NEEDED: Final = Reply(553, "5.6.7", "An address beyond ASCII needs MAIL with SMTPUTF8")

# Sequence
GREET_FIRST: Final = Reply(503, "5.5.1", "Say EHLO first")
NESTED_MAIL: Final = Reply(503, "5.5.1", "A message is under way; end it or say RSET")
MAIL_FIRST: Final = Reply(503, "5.5.1", "Say MAIL first")
NO_RECIPIENTS: Final = Reply(554, "5.5.1", "No recipient was taken")
NO_RECIPIENTS_LMTP: Final = Reply(503, "5.5.1", "No recipient was taken")
CHUNKS_UNDER_WAY: Final = Reply(503, "5.5.1", "After BDAT only BDAT or RSET may come")
CHUNKS_FAILED: Final = Reply(503, "5.5.1", "This message has failed; say RSET")
BINARY_NEEDS_BDAT: Final = Reply(503, "5.5.1", "A BINARYMIME message must come by BDAT")
WRONG_GREETING_LMTP: Final = Reply(500, "5.5.1", "This is LMTP; say LHLO")
WRONG_GREETING_SMTP: Final = Reply(500, "5.5.1", "This is SMTP; say EHLO")
NOT_IN_MESSAGE: Final = Reply(503, "5.5.1", "Not while a message is under way; say RSET first")
ALREADY_TLS: Final = Reply(503, "5.5.1", "TLS is in use already")
NO_TLS: Final = Reply(454, "4.7.0", "TLS is not available")
NO_EXPN: Final = Reply(502, "5.5.1", "Lists are not expanded here")

# AUTH
ALREADY_LOGGED_IN: Final = Reply(503, "5.5.1", "You are logged in already")
NO_AUTH_HERE: Final = Reply(503, "5.5.1", "There is no login here")
NO_SUCH_MECHANISM: Final = Reply(504, "5.5.4", "This mechanism is not offered")
MECHANISM_NEEDS_TLS: Final = Reply(538, "5.7.11", "This mechanism needs TLS; say STARTTLS first")
BAD_BASE64: Final = Reply(501, "5.5.2", "The response is not base64")
BAD_EXCHANGE: Final = Reply(501, "5.5.2", "The response does not fit the mechanism")
CANCELLED: Final = Reply(501, "5.7.0", "Login taken back")
LOGIN_FAILED: Final = Reply(535, "5.7.8", "The login or the password is wrong")
AUTH_LINE_TOO_LONG: Final = Reply(500, "5.5.6", "The response is too long")
LOGIN_NEEDED: Final = Reply(530, "5.7.0", "Log in first")
SENDER_NOT_YOURS: Final = Reply(553, "5.7.1", "The sender's address does not belong to your account")
AUTHOR_NOT_YOURS: Final = Reply(550, "5.7.1", "The address in the From field does not belong to your account")
SENDER_FIELD_NOT_YOURS: Final = Reply(
    550, "5.7.1", "The address in the Sender field does not belong to your account"
)
SENDER_NOT_LOCAL: Final = Reply(
    553, "5.7.1", "You may not send as that address; server.local_senders can allow it"
)
AUTHOR_NOT_LOCAL: Final = Reply(
    550,
    "5.7.1",
    "You may not write as the address in From; server.local_senders can allow it",
)
SENDER_FIELD_NOT_LOCAL: Final = Reply(
    550, "5.7.1", "You may not write as the address in Sender; server.local_senders can allow it"
)

NO_AUTHOR: Final = Reply(554, "5.6.0", "The message has no From field with an address; add your own")
TWO_AUTHORS: Final = Reply(554, "5.6.0", "The message has several From fields; leave one, with your address")
BAD_AUTHOR: Final = Reply(
    554,
    "5.6.0",
    "The From or Sender field cannot be understood; write name <address>, and the name in quotes where it "
    "holds a comma",
)
BAD_HEADER: Final = Reply(
    554, "5.6.0", "The header holds a line that is no field; each is a name, a colon and a value"
)

# Recipients
BAD_RECIPIENT_DOMAIN: Final = Reply(553, "5.1.2", "The recipient's domain cannot exist; check its spelling")
HALF_RECIPIENT_DOMAIN: Final = Reply(
    554, "5.1.2", "The recipient's domain is not complete; write all of it, as in ann@example.org"
)
NO_SUCH_RECIPIENT: Final = Reply(550, "5.1.1", "No such recipient here")
NO_RELAYING: Final = Reply(550, "5.7.1", "This server does not take mail for that domain without a login")
NO_OUTBOUND: Final = Reply(
    550,
    "5.1.2",
    "This server sends no mail to other servers; outbound.enabled lets it, or --relay HOST:PORT if it is a "
    "demonstration",
)
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients; send the rest in another message")
MAILBOX_FULL: Final = Reply(452, "4.2.2", "The recipient's mailbox is full; try again later")
NEVER_FITS: Final = Reply(552, "5.2.2", "The message is larger than the recipient's whole quota")

# Messages
BARE_CR_OR_LF: Final = Reply(550, "5.6.11", "The message holds a CR or LF that is not part of CR LF")
TOO_LARGE: Final = Reply(552, "5.3.4", "The message is larger than this server takes")
HEADER_TOO_LARGE: Final = Reply(552, "5.3.4", "The message's header is larger than this server takes")
LOOPING: Final = Reply(554, "5.4.6", "Too many Received fields; the message is going round in a loop")
FORWARDING_LOOP: Final = Reply(
    554, "5.4.6", "The address has sent this message on before; it is going round in a loop"
)
ONLY_REPORTS: Final = Reply(
    550, "5.7.1", "This address leads reports back to a sender, and takes mail from the null sender only"
)
JUNK_NOT_FORWARDED: Final = Reply(550, "5.7.1", "The message is marked as junk, which is not sent on")
FORGED_NOT_FORWARDED: Final = Reply(
    550,
    "5.7.1",
    "The author's address is of a domain of this server, and no valid DKIM signature proves it: the message "
    "is not sent on to other servers",
)
DISK_FULL: Final = Reply(452, "4.3.1", "There is no room for the message now; try again later")
STORE_UNAVAILABLE: Final = Reply(451, "4.3.0", "The message cannot be kept now; try again later")
