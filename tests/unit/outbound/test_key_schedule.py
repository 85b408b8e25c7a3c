"""A key's life: made, seen in the DNS, used, replaced, retired, gone; and what the operator hears of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postino.core.ids import Instant
from postino.mailauth.dkim.private_key import KeyAlgorithm, pack_key
from postino.outbound.settings import OutboundSettings
from postino.outbound.signing.key_schedule import (
    DAY_SECONDS,
    LATEST_LOOK,
    SETTLE_SECONDS,
    SOONEST_LOOK,
    KeySchedule,
    is_published,
    keep_seconds,
)
from postino.store import dkim_keys
from postino.store.accounts import create_domain
from postino.store.dkim_keys import DkimKey, KeyState
from postino.store.store import Store, open_store
from postino.store.verify import verify
from tests.support.dkim_examples import ed25519_key, rsa_key
from tests.support.fake_dns import FakeResolver, Zone
from tests.support.memory_network import FixedClock, RecordingLog

NOW = Instant(1_767_225_600)


class Bench:
    """A schedule over a real store, a DNS to change, and the operator's mail."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.clock = FixedClock(NOW)
        self.settings = OutboundSettings()
        self.resolver = FakeResolver(Zone())
        self.log: Any = RecordingLog()
        self.mail: list[tuple[str, str]] = []
        made = {KeyAlgorithm.RSA: rsa_key().private, KeyAlgorithm.ED25519: ed25519_key().private}
        monkeypatch.setattr("postino.outbound.signing.key_schedule.make_key", made.__getitem__)
        self.schedule = self.restarted()

    def restarted(self) -> KeySchedule:
        self.schedule = KeySchedule(
            self.store,
            self.resolver,
            settings=lambda: self.settings,
            clock=self.clock,
            log=self.log,
            tell=self._tell,
        )
        return self.schedule

    async def _tell(self, subject: str, text: str) -> None:
        self.mail.append((subject, text))

    async def step(self, seconds: int = 0) -> None:
        self.clock.instant += seconds
        await self.schedule.step()

    def all_keys(self) -> list[DkimKey]:
        return self.store.read_now(dkim_keys.list_keys)

    def states(self) -> dict[str, KeyState]:
        return {key.selector: key.state(self.clock.now()) for key in self.all_keys()}

    def publish(self, *selectors: str) -> None:
        for key in self.all_keys():
            if not selectors or key.selector in selectors:
                text = " ".join(f'"{key.record[at : at + 250]}"' for at in range(0, len(key.record), 250))
                self.resolver.zone.add(f"{key.record_name}. TXT {text}")

    def take_away(self, selector: str) -> None:
        self.resolver.zone.remove(f"{selector}._domainkey.example.org.")

    def events(self) -> list[str]:
        return [event.event for event in self.log.events]


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    store = open_store(tmp_path, first=True)
    store.write_now(lambda tx: create_domain(tx, "example.org", NOW))
    yield Bench(store, monkeypatch)
    assert store.read_now(lambda tx: verify(tx)) == []
    await store.close()


RSA, ED = "20260101-rsa", "20260101-ed25519"
WAITING, IN_USE, RETIRED, REMOVABLE = KeyState


async def test_every_domain_gets_a_key_of_each_algorithm_which_waits(bench: Bench) -> None:
    await bench.step()
    assert bench.states() == {RSA: WAITING, ED: WAITING}
    await bench.step(60)
    assert len(bench.all_keys()) == 2
    assert bench.events() == ["dkim.made"] * 2
    assert bench.mail == []


async def test_a_first_key_is_used_as_soon_as_its_record_is_there(bench: Bench) -> None:
    await bench.step()
    bench.publish(RSA)
    await bench.step(SOONEST_LOOK)
    assert bench.states() == {RSA: IN_USE, ED: WAITING}
    assert "dkim.used" in bench.events()


@pytest.mark.parametrize(
    "record",
    [
        '"v=spf1 -all"',
        '"v=DKIM1; k=rsa; p="',
        '"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="',
    ],
)
async def test_another_record_in_its_place_does_not_count(bench: Bench, record: str) -> None:
    await bench.step()
    bench.resolver.zone.add(f"{ED}._domainkey.example.org. TXT {record}")
    await bench.step(SOONEST_LOOK)
    assert bench.states()[ED] is WAITING


async def test_a_record_may_say_more_and_stand_beside_others(bench: Bench) -> None:
    await bench.step()
    key = next(key for key in bench.all_keys() if key.selector == ED)
    bench.resolver.zone.add(f'{key.record_name}. TXT "other"')
    bench.resolver.zone.add(f'{key.record_name}. TXT "{key.record}; h=sha256:sha1; t=y"')
    assert await is_published(bench.resolver, key) is True
    bench.resolver.zone.add(f"{key.record_name}. !timeout")
    assert await is_published(bench.resolver, key) is None


async def test_a_silent_dns_changes_nothing(bench: Bench) -> None:
    await bench.step()
    bench.publish()
    await bench.step(SOONEST_LOOK)
    for selector in (RSA, ED):
        bench.resolver.zone.add(f"{selector}._domainkey.example.org. !servfail")
    await bench.step(LATEST_LOOK)
    assert set(bench.states().values()) == {IN_USE}
    assert "dkim.record.missing" not in bench.events()


async def _in_use(bench: Bench) -> None:
    await bench.step()
    bench.publish()
    await bench.step(SOONEST_LOOK)
    assert set(bench.states().values()) == {IN_USE}


async def test_a_rotation_from_its_beginning_to_its_end(bench: Bench) -> None:
    bench.settings = OutboundSettings(dkim_rotate_days=180)
    await _in_use(bench)
    await bench.step(180 * DAY_SECONDS)
    new = "20260630-rsa"
    assert bench.states() == {RSA: IN_USE, ED: IN_USE, new: WAITING, "20260630-ed25519": WAITING}
    # The operator is told once, with the record to publish.
    ((subject, text),) = bench.mail
    assert subject == "DKIM records of example.org need a change in the DNS"
    assert f"{new}._domainkey.example.org. IN TXT (" in text
    await bench.step(DAY_SECONDS)
    assert len(bench.mail) == 1
    # Seen, but used only when it has settled.
    bench.publish(new)
    await bench.step(LATEST_LOOK)
    assert bench.states()[new] is WAITING
    bench.restarted()
    await bench.step(SETTLE_SECONDS - 1)
    assert bench.states()[new] is WAITING
    await bench.step(1)
    assert bench.states() == {RSA: RETIRED, ED: IN_USE, new: IN_USE, "20260630-ed25519": WAITING}
    # The old record stays for as long as mail may be on its way, and a week.
    keep = keep_seconds(bench.settings)
    assert keep == 12 * DAY_SECONDS
    await bench.step(keep - 1)
    assert bench.states()[RSA] is RETIRED
    await bench.step(1)
    assert bench.states()[RSA] is REMOVABLE
    assert len(bench.mail) == 2
    assert f"{RSA}._domainkey.example.org\n" in bench.mail[1][1]
    await bench.step(LATEST_LOOK)
    assert len(bench.mail) == 2
    bench.take_away(RSA)
    await bench.step(LATEST_LOOK)
    assert RSA not in bench.states()
    assert bench.states()[new] is IN_USE


async def test_a_record_that_goes_again_before_it_has_settled_is_waited_for_anew(bench: Bench) -> None:
    await _in_use(bench)
    private = pack_key(rsa_key("other").private)
    bench.store.write_now(
        lambda tx: dkim_keys.add_key(tx, "example.org", KeyAlgorithm.RSA, private, bench.clock.now(), "new")
    )
    bench.publish("new")
    await bench.step(SOONEST_LOOK)
    bench.take_away("new")
    await bench.step(SETTLE_SECONDS)
    bench.publish("new")
    await bench.step(LATEST_LOOK)
    assert bench.states()["new"] is WAITING
    await bench.step(LATEST_LOOK)
    assert bench.states()["new"] is IN_USE


async def test_a_record_that_is_lost_is_told_of_once_a_day(bench: Bench) -> None:
    await _in_use(bench)
    bench.take_away(RSA)
    for _ in range(8):
        await bench.step(LATEST_LOOK)
    assert bench.states()[RSA] is IN_USE
    assert bench.events().count("dkim.record.missing") == 8
    assert len(bench.mail) == 2
    assert "count for nothing" in bench.mail[0][1]


async def test_a_key_used_by_hand_before_its_record_is_there_is_not_told_of(bench: Bench) -> None:
    await bench.step()
    key = bench.all_keys()[0]
    bench.store.write_now(lambda tx: dkim_keys.use_key(tx, key, NOW, 100))
    await bench.step(DAY_SECONDS)
    assert bench.mail == []
    assert "dkim.record.missing" in bench.events()


async def test_looks_become_seldom(bench: Bench) -> None:
    await bench.step()
    asked: list[str] = []
    txt = bench.resolver.txt

    async def count(name: str) -> Any:
        asked.append(name)
        return await txt(name)

    bench.resolver.txt = count  # type: ignore[method-assign]
    for _ in range(12 * 12):
        await bench.step(300)
    assert 2 * 10 < len(asked) < 2 * 45


async def test_a_key_taken_away_meanwhile_retires_nothing(bench: Bench) -> None:
    from postino.core.errors import StoreError

    await _in_use(bench)
    private = pack_key(rsa_key("other").private)
    new = bench.store.write_now(
        lambda tx: dkim_keys.add_key(tx, "example.org", KeyAlgorithm.RSA, private, NOW, "new")
    )
    bench.store.write_now(lambda tx: dkim_keys.remove_key(tx, new))
    with pytest.raises(StoreError):
        bench.store.write_now(lambda tx: dkim_keys.use_key(tx, new, NOW, 100))
    assert bench.states()[RSA] is IN_USE


async def test_a_day_may_have_several_keys_and_a_domain_not_too_many(bench: Bench) -> None:
    from postino.core.errors import AlreadyExists, NotPermitted

    private = pack_key(rsa_key().private)

    def add(selector: str = "") -> DkimKey:
        return bench.store.write_now(
            lambda tx: dkim_keys.add_key(tx, "example.org", KeyAlgorithm.RSA, private, NOW, selector)
        )

    assert [add().selector for _ in range(3)] == [RSA, "20260101-2-rsa", "20260101-3-rsa"]
    with pytest.raises(AlreadyExists):
        add(RSA)
    for _ in range(dkim_keys.MOST_KEYS - 3):
        add()
    with pytest.raises(NotPermitted):
        add()


def test_a_key_does_not_show_itself() -> None:
    key = DkimKey(
        domain="example.org",
        domain_id=1,  # type: ignore[arg-type]
        selector="s",
        algorithm=KeyAlgorithm.RSA,
        private_key=b"secret",
        created_at=NOW,
        seen_at=NOW,
        use_at=NOW,
        retire_at=NOW,
        remove_at=NOW,
        told_at=NOW,
    )
    assert "secret" not in repr(key)


async def test_a_domain_goes_with_its_keys(bench: Bench) -> None:
    from postino.store.accounts import remove_domain

    await bench.step()
    bench.store.write_now(lambda tx: remove_domain(tx, "example.org"))
    assert bench.all_keys() == []
    await bench.step(60)


async def test_verify_finds_keys_that_are_not_what_they_should_be(bench: Bench) -> None:
    await bench.step()
    bench.store.write_now(lambda tx: tx.run("UPDATE dkim_key SET algorithm='rsa'"))
    assert [str(one) for one in bench.store.read_now(verify)] == [
        f"damage: the DKIM key {ED} of example.org is not what it is said to be"
    ]
    bench.store.write_now(lambda tx: tx.run("UPDATE dkim_key SET private_key=?", (b"x",)))
    assert len(bench.store.read_now(verify)) == 2
    bench.store.write_now(lambda tx: tx.run("DELETE FROM dkim_key"))
