"""The capabilities the server names, and docs/rfc-index.tsv, say the same."""

import pytest

from postino.imap.capability import after_login, before_login
from tests.tidy.test_repository import rfc_index

DEFINED_IN = {
    "ACL": 4314,
    "APPENDLIMIT": 7889,
    "AUTH=EXTERNAL": 4422,
    "AUTH=LOGIN": 9051,
    "AUTH=OAUTHBEARER": 7628,
    "AUTH=PLAIN": 4616,
    "AUTH=SCRAM-SHA-1": 5802,
    "AUTH=SCRAM-SHA-1-PLUS": 5802,
    "AUTH=SCRAM-SHA-256": 7677,
    "AUTH=SCRAM-SHA-256-PLUS": 7677,
    "AUTH=XOAUTH2": 7628,
    "BINARY": 3516,
    "CATENATE": 4469,
    "CHILDREN": 3348,
    "COMPRESS=DEFLATE": 4978,
    "CONDSTORE": 7162,
    "CONTEXT=SEARCH": 5267,
    "CONTEXT=SORT": 5267,
    "CREATE-SPECIAL-USE": 6154,
    "ENABLE": 5161,
    "ESEARCH": 4731,
    "ESORT": 5267,
    "I18NLEVEL=1": 5255,
    "ID": 2971,
    "IDLE": 2177,
    "IMAP4rev1": 3501,
    "IMAP4rev2": 9051,
    "INPROGRESS": 9585,
    "LANGUAGE": 5255,
    "LIST-EXTENDED": 5258,
    "LIST-METADATA": 9590,
    "LIST-MYRIGHTS": 8440,
    "LIST-STATUS": 5819,
    "LITERAL+": 7888,
    "LOGINDISABLED": 9051,
    "MESSAGELIMIT": 9738,
    "METADATA": 5464,
    "IMAPSIEVE": 6785,
    "METADATA-SERVER": 5464,
    "MOVE": 6851,
    "MULTIAPPEND": 3502,
    "MULTISEARCH": 7377,
    "NAMESPACE": 2342,
    "NOTIFY": 5465,
    "OBJECTID": 8474,
    "PARTIAL": 9394,
    "PREVIEW": 8970,
    "QRESYNC": 7162,
    "QUOTA": 9208,
    "QUOTA=RES-MAILBOX": 9208,
    "QUOTA=RES-MESSAGE": 9208,
    "QUOTA=RES-STORAGE": 9208,
    "QUOTASET": 9208,
    "REPLACE": 8508,
    "RIGHTS": 4314,
    "SASL-IR": 4959,
    "SAVEDATE": 8514,
    "SEARCH=FUZZY": 6203,
    "SEARCHRES": 5182,
    "SORT": 5256,
    "SORT=DISPLAY": 5957,
    "SPECIAL-USE": 6154,
    "STARTTLS": 9051,
    "STATUS=SIZE": 8438,
    "THREAD=ORDEREDSUBJECT": 5256,
    "THREAD=REFERENCES": 5256,
    "THREAD=REFS": 5256,
    "UIDONLY": 9586,
    "UIDPLUS": 4315,
    "UNAUTHENTICATE": 8437,
    "UNSELECT": 3691,
    "UTF8=ACCEPT": 6855,
    "WITHIN": 5032,
}
WITH_A_VALUE = ("APPENDLIMIT", "IMAPSIEVE", "MESSAGELIMIT", "RIGHTS")


def announced() -> set[str]:
    """Every name that some state and some settings bring up, without its value."""
    mechanisms = [name.removeprefix("AUTH=") for name in DEFINED_IN if name.startswith("AUTH=")]
    named = {
        *before_login(starttls=True, mechanisms=mechanisms, login=False),
        *after_login(compress=True, append_octets=1000, messages=1000, sieve_host="mail.example.org"),
    }
    return {name.partition("=")[0] if name.startswith(WITH_A_VALUE) else name for name in named}


@pytest.mark.parametrize("capability", sorted(announced()))
def test_what_is_announced_is_in_the_index(capability: str) -> None:
    status, _, _ = rfc_index()[DEFINED_IN[capability]]
    assert status in ("yes", "partial"), (
        f"{capability} is announced, RFC {DEFINED_IN[capability]} is {status!r}"
    )


@pytest.mark.parametrize("capability", sorted(DEFINED_IN))
def test_what_is_in_the_index_is_announced(capability: str) -> None:
    status, _, _ = rfc_index()[DEFINED_IN[capability]]
    assert (status in ("yes", "partial")) == (capability in announced())
