"""MTA-STS policies found, fetched and kept: RFC 8461 §3.3 and §5.1."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postino.net.https_client import HttpsAnswer, HttpsFailure, HttpsRequest
from postino.outbound.client.tls_outcome import TlsOutcome
from postino.outbound.targeting.mta_sts import REFRESH_SECONDS, RETRY_SECONDS, USED_DAYS, StsPolicies
from postino.store.store import Store, open_store
from postino.store.verify import verify
from tests.support.fake_dns import FakeResolver
from tests.support.memory_network import FixedClock, RecordingLog

DOMAIN = "example.com"
URL = "https://mta-sts.example.com/.well-known/mta-sts.txt"
TEXT = "version: STSv1\r\nmode: {mode}\r\nmx: mx.example.com\r\nmax_age: {age}\r\n"
ZONE = '_mta-sts.example.com. TXT "v=STSv1; id={id};"\nmta-sts.example.com. A 192.0.2.80\n'


def policy(mode: str = "enforce", age: int = 604_800, content_type: str = "text/plain") -> HttpsAnswer:
    return HttpsAnswer(200, content_type, TEXT.format(mode=mode, age=age).encode())


class Far:
    """The far DNS and web server, and one worker of ours that looks at them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FixedClock()
        self.seconds = 0.0
        self.resolver = FakeResolver(ZONE.format(id="1"))
        self.answer: HttpsAnswer | HttpsFailure = policy()
        self.fetched: list[HttpsRequest] = []
        self.noted: list[TlsOutcome] = []
        self.log = RecordingLog()
        self.gate: asyncio.Event | None = None

    def worker(self) -> StsPolicies:
        log: Any = self.log
        return StsPolicies(
            self.resolver,
            self.store,
            clock=self.clock,
            log=log,
            note=self.noted.append,
            fetch=self.fetch,
            steady=lambda: self.seconds,
        )

    async def fetch(self, request: HttpsRequest) -> HttpsAnswer:
        self.fetched.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, HttpsFailure):
            raise self.answer
        return self.answer

    def set_id(self, policy_id: str | None) -> None:
        self.resolver.zone.remove("_mta-sts.example.com")
        if policy_id is not None:
            self.resolver.zone.add(ZONE.format(id=policy_id))

    def pass_time(self, seconds: float) -> None:
        self.clock.instant += int(seconds)
        self.seconds += seconds


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    store = open_store(tmp_path, first=True)
    yield Far(store)
    assert await store.read(lambda tx: verify(tx, store.blobs)) == []
    await store.close()


async def test_a_policy_is_fetched_once_and_shared_by_all_workers(far: Far) -> None:
    first, second = far.worker(), far.worker()
    for worker in (first, first, second, second):
        kept = await worker.policy(DOMAIN)
        assert kept is not None
        assert kept.policy.allows("mx.example.com")
    assert [request.url for request in far.fetched] == [URL]
    assert far.noted == []


async def test_a_long_policy_holds_without_being_held_in_memory(far: Far) -> None:
    text = TEXT.format(mode="enforce", age=604_800) + "x: " + "y" * 60_000 + "\r\n"
    far.answer = HttpsAnswer(200, "text/plain", text.encode())
    worker = far.worker()
    for _ in range(3):
        kept = await worker.policy(DOMAIN)
        assert kept is not None
        assert kept.policy.allows("mx.example.com")
    assert len(far.fetched) == 1
    assert not worker._known


async def test_many_messages_at_once_fetch_once(far: Far) -> None:
    far.gate = asyncio.Event()
    worker = far.worker()
    waiting = [asyncio.ensure_future(worker.policy(DOMAIN)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    far.gate.set()
    assert None not in await asyncio.gather(*waiting)
    assert len(far.fetched) == 1


async def test_without_a_record_nothing_is_fetched(far: Far) -> None:
    far.set_id(None)
    assert await far.worker().policy(DOMAIN) is None
    assert far.fetched == []


async def test_a_subdomain_has_none_of_its_parent(far: Far) -> None:
    await far.worker().policy(DOMAIN)
    assert await far.worker().policy("mail.example.com") is None


async def test_it_holds_though_the_record_vanishes_or_the_dns_fails(far: Far) -> None:
    assert await far.worker().policy(DOMAIN) is not None
    far.set_id(None)
    far.pass_time(604_000)
    assert await far.worker().policy(DOMAIN) is not None
    far.resolver.zone.add("_mta-sts.example.com. !servfail")
    assert await far.worker().policy(DOMAIN) is not None
    far.pass_time(1_000)
    assert await far.worker().policy(DOMAIN) is None, "it expired"
    assert len(far.fetched) == 1


async def test_a_worker_that_saw_no_record_keeps_to_what_another_fetched(far: Far) -> None:
    late = far.worker()
    far.set_id(None)
    assert await late.policy(DOMAIN) is None
    far.set_id("1")
    assert await far.worker().policy(DOMAIN) is not None
    far.set_id(None)
    assert await late.policy(DOMAIN) is not None


async def test_a_new_id_is_a_new_policy(far: Far) -> None:
    worker = far.worker()
    assert await worker.policy(DOMAIN) is not None
    far.set_id("2")
    far.answer = policy("none")
    assert await worker.policy(DOMAIN) is None
    assert await far.worker().policy(DOMAIN) is None
    assert len(far.fetched) == 2


async def test_the_old_one_holds_while_the_new_one_cannot_be_had(far: Far) -> None:
    worker = far.worker()
    await worker.policy(DOMAIN)
    far.set_id("2")
    far.answer = HttpsFailure("cannot be reached")
    for _ in range(3):
        assert await worker.policy(DOMAIN) is not None
    assert len(far.fetched) == 2, "not again within five minutes"
    far.pass_time(RETRY_SECONDS + 1)
    far.answer = policy("testing")
    kept = await worker.policy(DOMAIN)
    assert kept is not None
    assert kept.stored.policy_id == "2"
    assert [outcome.failure for outcome in far.noted] == ["sts-policy-fetch-error"]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (HttpsFailure("no"), "sts-policy-fetch-error"),
        (HttpsFailure("no", is_certificate=True), "sts-webpki-invalid"),
        (HttpsAnswer(404, "text/plain", b""), "sts-policy-fetch-error"),
        (HttpsAnswer(302, "text/plain", policy().body), "sts-policy-fetch-error"),
        (HttpsAnswer(201, "text/plain", policy().body), "sts-policy-fetch-error"),
        (policy(content_type="text/html"), "sts-policy-invalid"),
        (policy("strict"), "sts-policy-invalid"),
        (HttpsAnswer(200, "text/plain", b"\xff\xfe"), "sts-policy-invalid"),
    ],
)
async def test_what_cannot_be_fetched_is_no_policy(far: Far, answer: Any, failure: str) -> None:
    far.answer = answer
    assert await far.worker().policy(DOMAIN) is None
    assert [(outcome.domain, outcome.failure) for outcome in far.noted] == [(DOMAIN, failure)]
    assert [event.event for event in far.log.events] == ["sts.unfetched"]


async def test_one_that_expires_at_once_is_not_fetched_for_each_message(far: Far) -> None:
    far.answer = policy(age=0)
    worker = far.worker()
    for _ in range(3):
        assert await worker.policy(DOMAIN) is not None
    assert len(far.fetched) == 1


async def test_policies_in_use_are_fetched_again_each_day(far: Far) -> None:
    worker = far.worker()
    await worker.policy(DOMAIN)
    await worker.refresh()
    assert len(far.fetched) == 1
    far.pass_time(REFRESH_SECONDS + 1)
    far.set_id(None)
    await worker.refresh()
    assert len(far.fetched) == 2, "though the record is gone: somebody may be in the way"
    far.pass_time(604_000)
    assert await worker.policy(DOMAIN) is not None
    far.pass_time(604_800)
    await worker.refresh()
    assert len(far.fetched) == 2, "it expired"


async def test_a_refresh_that_fails_is_told_and_takes_nothing_away(far: Far) -> None:
    worker = far.worker()
    await worker.policy(DOMAIN)
    far.pass_time(REFRESH_SECONDS + 1)
    far.answer = HttpsFailure("cannot be reached")
    await worker.refresh()
    assert [event.event for event in far.log.events] == ["sts.unfetched"]
    assert await worker.policy(DOMAIN) is not None


async def test_nobody_is_told_that_a_policy_of_mode_none_cannot_be_fetched(far: Far) -> None:
    far.answer = policy("none")
    worker = far.worker()
    assert await worker.policy(DOMAIN) is None
    far.set_id("2")
    far.answer = HttpsFailure("cannot be reached")
    assert await worker.policy(DOMAIN) is None
    assert (far.noted, far.log.events) == ([], [])


async def test_policies_of_no_use_are_left_to_expire(far: Far) -> None:
    far.answer = policy(age=31_557_600)
    worker = far.worker()
    await worker.policy(DOMAIN)
    far.pass_time((USED_DAYS + 2) * 86_400)
    await worker.refresh()
    assert len(far.fetched) == 1
    # Mail went there again.
    await worker.policy(DOMAIN)
    await worker.refresh()
    assert len(far.fetched) == 2


async def test_policy_hosts_are_never_inside_this_network(tmp_path: Path) -> None:
    store = open_store(tmp_path, first=True)
    log: Any = RecordingLog()
    noted: list[TlsOutcome] = []
    resolver = FakeResolver(ZONE.format(id="1").replace("192.0.2.80", "127.0.0.1"))
    worker = StsPolicies(resolver, store, clock=FixedClock(), log=log, note=noted.append)
    assert await worker.policy(DOMAIN) is None
    assert "no address" in noted[0].reason
    await store.close()
