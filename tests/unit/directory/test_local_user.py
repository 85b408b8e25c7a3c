"""Whom users of this machine may send as."""

import os
import pwd

import pytest

from postino.core.address import parse_address
from postino.core.errors import SettingsError
from postino.directory.local_user import find_local_user, parse_local_sender

HOST = "mail.example.org"
NOBODY = pwd.getpwnam("nobody").pw_uid
SENDERS = ("nobody:shop.example", "nobody:Ann@example.org", "daemon:bob@example.org", "*:alerts@example.org")


def may(user_id: int | None, address: str) -> bool:
    found = find_local_user(user_id, hostname=HOST, senders=SENDERS)
    return found.may_send_as(parse_address(address))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("nobody@mail.example.org", True),
        ("Nobody@MAIL.example.org", True),
        ("root@mail.example.org", False),
        ("anna@shop.example", True),
        ("anna@sub.shop.example", False),
        ("ann@example.org", True),
        ("bob@example.org", False),
        ("alerts@example.org", True),
    ],
)
def test_a_user_sends_as_itself_and_as_the_settings_say(address: str, allowed: bool) -> None:
    assert may(NOBODY, address) is allowed


def test_root_and_the_servers_own_user_send_as_anybody() -> None:
    assert may(0, "anybody@anywhere.example")
    assert may(os.geteuid(), "anybody@anywhere.example")


def test_whom_the_system_does_not_know_is_only_what_everybody_is() -> None:
    assert not may(None, f"x@{HOST}")
    assert not may(None, "alerts@example.org")
    unknown = find_local_user(4_000_000_000, hostname=HOST, senders=SENDERS)
    assert unknown.name == "4000000000"
    assert unknown.may_send_as(parse_address("alerts@example.org"))
    assert unknown.may_send_as(parse_address("4000000000@mail.example.org"))


@pytest.mark.parametrize("text", ["", "www-data", ":example.org", "www-data:", "www-data:a b", "www-data:@x"])
def test_a_wrong_setting_is_explained(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^server\.local_senders: "):
        parse_local_sender(text)
