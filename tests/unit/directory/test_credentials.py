"""What an account keeps of a password, and what may be one."""

import pytest

from postino.directory.credentials import Argon2Cost, Credentials, hash_password, verify_password
from postino.directory.passwords import UnusablePassword, require_strong, require_usable
from postino.sasl.scram import derive_keys, parse_keys

CHEAP = Credentials(argon2=Argon2Cost(memory_kib=64, passes=1))


def test_a_hash_is_of_its_password_alone() -> None:
    made = CHEAP.hash_password("pässword")
    assert made.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert verify_password("pässword", made)
    assert verify_password("pa\u0308ssword", made)
    assert not verify_password("password", made)
    assert made != CHEAP.hash_password("pässword")


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$", "$2b$12$abc", "$argon2id$v=19$m=64,t=1,p=1$AA$AA"])
def test_what_is_no_hash_is_nobodys_password(stored: str) -> None:
    assert not verify_password("secret", stored)


def test_the_default_cost_is_owasps() -> None:
    assert hash_password("secret").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_scram_keys_are_the_passwords() -> None:
    keys = parse_keys(CHEAP.make_scram("secret"))
    assert keys is not None
    assert keys.iterations == 4096
    assert keys == derive_keys("secret", keys.salt, keys.iterations)


@pytest.mark.parametrize("password", ["", "a\0b", "a\nb", "x" * 1025])
def test_unusable_passwords(password: str) -> None:
    with pytest.raises(UnusablePassword):
        require_usable(password)


@pytest.mark.parametrize("password", ["short", "ann@example.org", "Ann@Example.org", "aaaaaaaaaaaa"])
def test_weak_passwords(password: str) -> None:
    with pytest.raises(UnusablePassword):
        require_strong(password, "ann@example.org")


def test_good_passwords() -> None:
    require_usable("x")
    require_strong("correct horse", "ann@example.org")
