"""This machine's addresses as Linux lists them."""

from pathlib import Path

from postino.net.own_addresses import own_addresses


def test_own_addresses_are_read_from_the_kernel(tmp_path: Path) -> None:
    v4, v6 = tmp_path / "fib_trie", tmp_path / "if_inet6"
    v4.write_text(
        "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.0.2.25\n        /32 host LOCAL\n"
        "     |-- 192.0.2.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n"
    )
    v6.write_text("20010db8000000000000000000000025 02 40 00 80     eth0\nnonsense\n")
    assert own_addresses(v4, v6) == {"192.0.2.25", "127.0.0.1", "2001:db8::25"}
    assert own_addresses(tmp_path / "none", tmp_path / "none") == frozenset()
