"""Say in plain words what a status code means to whoever wrote the message, and what they can do.

RFC: 3463 §3 (codes), 6710 §5 (X.3.6), 6531 §3.7.4 (X.6.7-X.6.9), 7372 §3, 7505 §5 (X.1.10, X.7.27),
    8689 §4.2 (X.7.30), 2852 §4.1.3 (X.4.7).
Invariants: any status gives a sentence; none needs to know what a server, port or record is to be acted on.
Not here: the rest of a report's words (delivery/report_words.py).
"""

import re
from typing import Final

_STATUS: Final = re.compile(r"[245]\.([0-9]{1,3})\.([0-9]{1,3})")

_SENDER_PROOF: Final = (
    "{They} is not convinced that the message is from you. Tell whoever runs your mail system."
)
# {where} is the recipient's domain, {they} its mail system, {size} how large the message is.
_PERMANENT: Final = {
    "1.0": "{They} finds something wrong with this address. Check it, letter by letter.",
    "1.1": "There is no mailbox of that name at {where}. Check the spelling of what stands before the @.",
    "1.2": "There is no mail system for {where}. Check the spelling of what stands after the @.",
    "1.3": "This is not written as an address can be. Check it for blanks, commas and other odd characters.",
    "1.4": "More than one mailbox at {where} could be meant. Ask the recipient for the exact address.",
    "1.6": "The recipient has left this address and gave no new one. Ask them for it in another way.",
    "1.7": "{They} cannot use your own address. Check the sender's address in your mail program.",
    "1.8": "{They} finds no mail system for your own address. Tell whoever runs yours.",
    "1.9": "The message was passed on to a system that sends no reports.",
    "1.10": "{where} takes no mail at all. Ask the recipient for another address.",
    "2.0": "Something is wrong with this mailbox. Tell the recipient in another way.",
    "2.1": "This mailbox is switched off and takes no mail. Tell the recipient in another way.",
    "2.2": "The recipient's mailbox is full. Tell them in another way, and send the message again when it "
    "has room.",
    "2.3": "The message is {size}, which is more than this mailbox takes. "
    "Send less at once, or a link to the files.",
    "2.4": "This is the address of a mailing list that does not work at present. "
    "Tell whoever looks after the list.",
    "3.0": "{They} has a fault. Try again tomorrow, or tell the recipient in another way.",
    "3.1": "{They} has no room left. Try again tomorrow.",
    "3.2": "{They} takes no mail at present. Try again tomorrow.",
    "3.3": "{They} cannot do something this message asks for. What that is stands below; send it without.",
    "3.4": "The message is {size}, which is more than {they} takes. "
    "Send less at once, or a link to the files.",
    "3.5": "{They} is not set up to take this message. Tell the recipient in another way.",
    "3.6": "The message's priority was changed on its way.",
    "4.0": "There was trouble on the way to {where}. Try again tomorrow.",
    "4.1": "{They} did not answer. Check what stands after the @, and try again tomorrow.",
    "4.2": "The connection to {they} broke off each time. Try again tomorrow.",
    "4.3": "It could not be found out where mail for {where} goes. Check what stands after the @.",
    "4.4": "No way leads to {they}. Check what stands after the @.",
    "4.5": "{They} is too busy. Try again tomorrow.",
    "4.6": "The message went round in circles between mail systems. "
    "Tell the recipient in another way: their mail is forwarded wrongly.",
    "4.7": "The message could not be delivered in the time allowed for it. "
    "Send it again if it still matters.",
    "5.0": "{They} and ours did not understand each other. Tell whoever runs your mail system.",
    "5.3": "The message has more recipients than {they} takes at once. Send it to fewer.",
    "6.0": "{They} does not like something in the message. Send it as plain text, without attachments.",
    "6.1": "{They} does not take messages of this form. Send it as plain text.",
    "6.2": "The message would have to be changed for {they}, which it forbids. Send it as plain text.",
    "6.3": "{They} is too old for this message. Send it as plain text without special letters.",
    "6.4": "The message would lose something on its way to {where}. Send it as plain text.",
    "6.7": "{They} does not take addresses with letters such as é or ü. Use an address without them.",
    "6.9": "{They} does not take addresses with letters such as é or ü. Use an address without them.",
    "7.0": "{They} refuses the message by a rule of its own. Its answer below may say which.",
    "7.1": "{They} does not let you write to this address. If its answer below does not say why, tell the "
    "recipient in another way.",
    "7.2": "You may not write to this mailing list. Join it, or ask whoever looks after it.",
    "7.4": "{They} cannot protect the message as it asks for. Send it without that protection if that is "
    "right for it.",
    "7.5": "The message could not be carried to {where} as securely as it must be. "
    "Tell whoever runs {where}.",
    "7.7": "{They} found the message changed on its way. Send it again.",
    "7.8": "Our own mail system could not log in to the next one. Tell whoever runs it.",
    "7.10": "{They} takes mail over protected connections only. Tell whoever runs your mail system.",
    "7.20": _SENDER_PROOF,
    "7.23": _SENDER_PROOF,
    "7.24": _SENDER_PROOF,
    "7.25": _SENDER_PROOF,
    "7.26": _SENDER_PROOF,
    "7.27": "Your own address takes no mail, so {they} refuses yours. "
    "Check the sender's address in your mail program.",
    "7.28": "{They} got too much mail from you or yours in a short time. Try again tomorrow.",
    "7.30": "{They} cannot promise the protected connections the message asks for. "
    "Send it without asking for them if that is right for it.",
}
_ANY_PERMANENT: Final = {
    "1": _PERMANENT["1.0"],
    "2": _PERMANENT["2.0"],
    "3": _PERMANENT["3.0"],
    "4": _PERMANENT["4.0"],
    "5": _PERMANENT["5.0"],
    "6": _PERMANENT["6.0"],
    "7": _PERMANENT["7.0"],
}
_REFUSED: Final = "{They} does not take the message. Its answer below may say why."

_TEMPORARY: Final = {
    "1.8": "{They} cannot check your own address at present.",
    "2.0": "Something is wrong with this mailbox at present.",
    "2.1": "This mailbox takes no mail at present.",
    "2.2": "The recipient's mailbox is full.",
    "3.1": "{They} has no room at present.",
    "3.2": "{They} takes no mail at present.",
    "4.1": "{They} does not answer.",
    "4.2": "The connection to {they} breaks off.",
    "4.3": "It cannot be found out at present where mail for {where} goes.",
    "4.4": "No way leads to {they} at present.",
    "4.5": "{They} is too busy.",
    "4.6": "The message goes round in circles between mail systems.",
    "4.7": "The message could not be delivered in the time you allowed for it.",
    "7.0": "{They} does not take the message yet.",
    "7.1": "{They} does not take the message yet, as some do with mail from people they do not know.",
    "7.5": "{They} cannot be reached as securely as it must be.",
    "7.10": "{They} cannot be reached as securely as it must be.",
    "7.28": "{They} got too much mail from you or yours in a short time.",
}
_ANY_TEMPORARY: Final = "{They} does not take the message at present."


def explain_failure(status: str, *, where: str, size: int) -> str:
    """What has gone wrong for good with a recipient at the domain `where`, and what to do."""
    known = _STATUS.fullmatch(status)
    sentence = _REFUSED
    if known is not None:
        sentence = _PERMANENT.get(f"{known[1]}.{known[2]}") or _ANY_PERMANENT.get(known[1], _REFUSED)
    return _filled(sentence, where, size)


def explain_delay(status: str, *, where: str, size: int) -> str:
    """What is in the way at present."""
    known = _STATUS.fullmatch(status)
    sentence = _ANY_TEMPORARY if known is None else _TEMPORARY.get(f"{known[1]}.{known[2]}", _ANY_TEMPORARY)
    return _filled(sentence, where, size)


def _filled(sentence: str, where: str, size: int) -> str:
    they = f"the mail system of {where}"
    for name, value in (
        ("they", they),
        ("They", f"T{they[1:]}"),
        ("size", shown_size(size)),
        ("where", where),
    ):
        sentence = sentence.replace(f"{{{name}}}", value)
    return sentence


def shown_size(octets: int) -> str:
    """`30 MB`, as mail programs show it."""
    if octets < 1_000_000:
        return f"{max(1, round(octets / 1000))} KB"
    return f"{octets / 1_000_000:.1f}".removesuffix(".0") + " MB"
