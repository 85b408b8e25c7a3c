"""What senders hear of mail that waits while nothing is tried: when it is late, once, and not before."""

from pathlib import Path
from typing import Any

import pytest

from postino.core.ids import Instant
from postino.outbound.settings import OutboundSettings
from postino.smtp.envelope import ByMode, MailOptions
from postino.store.queue.destinations import pause
from postino.store.queue.values import QueuedMessage
from tests.support.far_server import Habits
from tests.support.outbound_world import SendingWorld, sending_world

ZONE = "d.example. MX 10 mx.d.example.\nmx.d.example. A 203.0.113.1\n"
HOUR = 3600
SETTINGS = OutboundSettings(private_addresses=True, delay_notice_seconds=4.0 * HOUR)


def told(world: SendingWorld) -> int:
    """How many messages ann's INBOX has."""
    return world.store.read_now(
        lambda tx: tx.one(
            "SELECT count(*) FROM message m JOIN account a ON a.id=m.account_id WHERE a.login='ann@example.org'"
        )
    )[0]


def park(world: SendingWorld) -> None:
    now = Instant(world.time.now())
    world.store.write_now(lambda tx: pause(tx, "d.example", "", now))


@pytest.mark.parametrize("parked_at_once", [True, False])
def test_who_waits_for_a_paused_destination_is_late_once_and_in_time(
    tmp_path: Path, parked_at_once: bool
) -> None:
    async def scenario(world: SendingWorld) -> None:
        world.outbound(SETTINGS)
        world.network.silent.add("203.0.113.1")
        if parked_at_once:
            park(world)
        await world.submit("x@d.example", lifetime=9 * HOUR)
        await world.pass_time(HOUR)
        park(world)
        await world.pass_time(2.9 * HOUR)
        assert told(world) == 0
        await world.pass_time(HOUR)
        assert told(world) == 1
        # It does not expire while its destination is paused, and nothing more is said when it would have.
        await world.pass_time(20 * HOUR)
        assert told(world) == 1

    with sending_world(tmp_path, scenario, zone=ZONE):
        pass


def test_a_deadline_that_passes_after_a_delay_was_told_is_told_too(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        world.outbound(SETTINGS)
        world.far_server("203.0.113.1", Habits(replies={"RCPT": "450 4.2.1 Busy"}))
        options = MailOptions(by_mode=ByMode.NOTIFY, deliver_by=world.time.now() + 6 * HOUR)
        await world.submit("x@d.example", options=options, lifetime=20 * HOUR)
        await world.pass_time(5 * HOUR)
        assert told(world) == 1
        await world.pass_time(2 * HOUR)
        assert told(world) == 2
        await world.pass_time(10 * HOUR)
        assert told(world) == 2

    with sending_world(tmp_path, scenario, zone=ZONE):
        pass


def test_a_message_nobody_can_be_told_of_holds_up_no_other(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        outbound = world.outbound(SETTINGS)
        world.network.silent.add("203.0.113.1")
        first = await world.submit("x@d.example", lifetime=9 * HOUR)
        await world.submit("y@d.example", lifetime=9 * HOUR)
        reporter = outbound.dispatcher._reporter
        late = reporter.late

        async def faulty(message: QueuedMessage, *more: Any) -> Any:
            if message.queue_id == first:
                raise ValueError("this one cannot be told of")
            return await late(message, *more)

        reporter.late = faulty  # type: ignore[method-assign]
        await world.pass_time(5 * HOUR)
        assert told(world) == 1
        assert {event["queue_id"] for event in world.events("queue.fault")} == {first}
        reporter.late = late  # type: ignore[method-assign]
        world.log.events.clear()
        await world.pass_time(HOUR)
        assert told(world) == 2
        world.log.events.clear()
        await world.until_empty()
        assert told(world) == 4

    with sending_world(tmp_path, scenario, zone=ZONE):
        pass
