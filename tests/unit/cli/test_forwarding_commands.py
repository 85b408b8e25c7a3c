"""`postino alias` with members elsewhere, and `postino account forward`."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from postino.cli.main import main
from postino.core.address import parse_address
from postino.store.accounts import Resolved, create_account, create_domain, resolve
from postino.store.store import open_store
from postino.store.verify import verify
from tests.support.world import NOW


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    store = open_store(path, first=True)

    def make(tx):
        create_domain(tx, "example.org", NOW)
        for name in ("ann", "bob"):
            create_account(tx, parse_address(f"{name}@example.org"), "hash", "scram", 0, NOW)

    store.write_now(make)
    store.close_now()
    return path


def run(data: Path, *words: str) -> str:
    done = CliRunner().invoke(main, [*words, "--data", str(data)])
    assert done.exit_code == 0, done.output
    return done.output


def refused(data: Path, *words: str) -> str:
    done = CliRunner().invoke(main, [*words, "--data", str(data)])
    assert done.exit_code != 0
    return " ".join((done.output + str(done.exception or "")).split())


def reached(data: Path, address: str) -> tuple[list[str], list[str]]:
    store = open_store(data)
    try:
        found: Resolved = store.read_now(lambda tx: resolve(tx, parse_address(address), "+"))
        assert store.read_now(verify) == []
    finally:
        store.close_now()
    return [one.login for one in found.accounts], [f"{one.via} -> {one.target}" for one in found.forwards]


def test_an_alias_reaches_accounts_and_addresses_elsewhere(data: Path) -> None:
    said = run(data, "alias", "add", "team@example.org", "ann@example.org", "eve@elsewhere.example")
    assert said == "team@example.org now reaches ann@example.org, eve@elsewhere.example\n"
    to_eve = ["team@example.org -> eve@elsewhere.example"]
    assert reached(data, "team@example.org") == (["ann@example.org"], to_eve)
    assert reached(data, "team+x@example.org") == (["ann@example.org"], to_eve)
    assert run(data, "alias", "list") == "team@example.org\tann@example.org, eve@elsewhere.example\n"
    run(data, "alias", "remove", "team@example.org", "ann@example.org")
    assert reached(data, "team@example.org") == ([], to_eve)
    assert run(data, "alias", "list") == "team@example.org\teve@elsewhere.example\n"
    run(data, "alias", "remove", "team@example.org", "eve@elsewhere.example")
    assert reached(data, "team@example.org") == ([], [])
    assert "There is no alias" in refused(data, "alias", "remove", "team@example.org")


def test_an_alias_goes_whole(data: Path) -> None:
    run(data, "alias", "add", "team@example.org", "ann@example.org", "eve@elsewhere.example")
    run(data, "alias", "remove", "team@example.org")
    assert reached(data, "team@example.org") == ([], [])


def test_a_catch_all_may_lead_elsewhere(data: Path) -> None:
    run(data, "alias", "add", "@example.org", "eve@elsewhere.example")
    assert reached(data, "any@example.org") == ([], ["any@example.org -> eve@elsewhere.example"])
    assert reached(data, "ann@example.org") == (["ann@example.org"], [])
    assert "There is no account" in refused(data, "alias", "add", "x@example.org", "nobody@example.org")


def test_an_account_forwards_and_keeps(data: Path) -> None:
    assert run(data, "account", "forward", "ann@example.org") == "Mail for ann@example.org stays here\n"
    said = run(data, "account", "forward", "ann@example.org", "--to", "ann@elsewhere.example")
    assert said == "Mail for ann@example.org goes to ann@elsewhere.example, and stays here too\n"
    to_ann = ["ann@example.org -> ann@elsewhere.example"]
    assert reached(data, "ann@example.org") == (["ann@example.org"], to_ann)
    said = run(data, "account", "forward", "ann@example.org", "--no-keep")
    assert said == "Mail for ann@example.org goes to ann@elsewhere.example and does not stay here\n"
    assert reached(data, "ann+x@example.org") == ([], to_ann)
    assert "mail       goes to ann@elsewhere.example" in run(data, "account", "show", "ann@example.org")
    # Through an alias, too; each target once.
    run(
        data,
        "alias",
        "add",
        "team@example.org",
        "ann@example.org",
        "bob@example.org",
        "ann@elsewhere.example",
    )
    assert reached(data, "team@example.org") == (["bob@example.org"], to_ann)
    said = run(data, "account", "forward", "ann@example.org", "--off")
    assert said == "Mail for ann@example.org stays here\n"
    assert reached(data, "ann@example.org") == (["ann@example.org"], [])


def test_what_cannot_be_forwarded_to(data: Path) -> None:
    assert "is an address here" in refused(
        data, "account", "forward", "ann@example.org", "--to", "bob@example.org"
    )
    assert "--to ADDRESS" in refused(data, "account", "forward", "ann@example.org", "--no-keep")
    assert "--off alone" in refused(data, "account", "forward", "ann@example.org", "--off", "--keep")
    many = [word for number in range(21) for word in ("--to", f"p{number}@elsewhere.example")]
    assert "at most 20" in refused(data, "account", "forward", "ann@example.org", *many)


def test_an_alias_elsewhere_takes_its_name(data: Path) -> None:
    run(data, "alias", "add", "team@example.org", "eve@elsewhere.example")
    said = refused(data, "account", "add", "team@example.org", "--generate")
    assert "in use already" in said
    assert "has accounts or aliases" in refused(data, "domain", "remove", "example.org")


def test_a_removed_account_forwards_nothing(data: Path) -> None:
    run(data, "account", "forward", "ann@example.org", "--to", "ann@elsewhere.example", "--no-keep")
    run(data, "account", "remove", "ann@example.org", "--yes")
    assert reached(data, "ann@example.org") == ([], [])
    assert run(data, "alias", "list") == ""
