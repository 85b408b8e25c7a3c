"""A world where everything goes wrong now and then, for five days, from one seed."""

import random
from collections import Counter
from pathlib import Path

import pytest

from postino.outbound.settings import OutboundSettings
from postino.smtp.envelope import MailOptions
from tests.support.far_server import Habits
from tests.support.outbound_world import SendingWorld, sending_world

DOMAINS = tuple(f"d{number}.example" for number in range(6))
ZONE = "".join(
    f"{domain}. MX 10 mx1.{domain}.\n{domain}. MX 20 mx2.{domain}.\n"
    f"mx1.{domain}. A 203.0.113.{10 + number}\nmx2.{domain}. A 203.0.113.{50 + number}\n"
    for number, domain in enumerate(DOMAINS)
)
TEMPORARY = (
    "451 4.3.0 Not now",
    "450 4.2.1 Busy",
    "421 4.3.2 Going down",
    "452 4.5.3 Too many",
    "421 4.7.0 Too many connections",
)
PERMANENT = ("550 5.1.1 Nobody", "554 5.7.1 No", "552 5.2.2 Full")
STAGES = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END")
DROPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "END", "", "", "", "", "")


def habits_of(chance: random.Random) -> Habits:
    """One server's bad days."""

    def now_and_then(stage: str) -> object:
        def say(argument: str) -> str | None:
            if chance.random() >= 0.12:
                return None
            if stage in ("RCPT", "END") and chance.random() < 0.2:
                return chance.choice(PERMANENT)
            return chance.choice(TEMPORARY)

        return say

    words = ["PIPELINING", "8BITMIME", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "SMTPUTF8"]
    return Habits(
        extensions=tuple(word for word in words if chance.random() < 0.7),
        replies={stage: now_and_then(stage) for stage in STAGES},  # type: ignore[misc]
        greylist=chance.choice((0, 0, 1)),
        most_messages=chance.choice((0, 0, 2)),
        most_recipients=chance.choice((0, 0, 1, 3)),
        closes_after_message=chance.random() < 0.2,
        drop_at=chance.choice(DROPS),
        slow_seconds=chance.choice((0.0, 0.0, 5.0)),
    )


@pytest.mark.parametrize("seed", range(2))
def test_each_recipient_comes_to_one_end(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    settings = OutboundSettings(private_addresses=True, connections=6, connections_per_destination=3)
    asked: list[str] = []

    async def scenario(world: SendingWorld) -> None:
        servers = {}

        def new_weather() -> None:
            for number in range(len(DOMAINS)):
                for address in (f"203.0.113.{10 + number}", f"203.0.113.{50 + number}"):
                    world.network.servers.pop(address, None)
                    world.network.silent.discard(address)
                    kind = chance.random()
                    if kind < 0.15:
                        world.network.silent.add(address)
                    elif kind < 0.85:
                        servers.setdefault(address, []).append(world.far_server(address, habits_of(chance)))

        new_weather()
        outbounds = [world.outbound(settings, worker=worker) for worker in (0, 1)]
        for number in range(60):
            addresses = [
                f"r{number}.{one}@{chance.choice(DOMAINS)}" for one in range(chance.choice((1, 1, 1, 2, 7)))
            ]
            asked.extend(addresses)
            await world.submit(
                *addresses,
                outbound=chance.choice((outbounds[0], outbounds[1], None)),
                options=MailOptions(priority=chance.choice((0, 0, 3, -3))),
                lifetime=86_400,
            )
            await world.pass_time(chance.choice((0.0, 0.1, 60.0)))
        for _ in range(40):
            if not world.waiting():
                break
            new_weather()
            await world.pass_time(chance.choice((600.0, 7200.0)))
            if chance.random() < 0.1:
                # A worker ends in order, and another begins.
                await world.outbounds.pop(0).close(5.0)
                world.outbound(settings, worker=chance.randrange(2, 9))
        await world.until_empty(2 * 86_400)
        for server in [one for those in servers.values() for one in those]:
            world.taken = getattr(world, "taken", Counter())  # type: ignore[attr-defined]
            world.taken.update(path for message in server.messages for path, _ in message.recipients)  # type: ignore[attr-defined]

    with sending_world(tmp_path, scenario, zone=ZONE, seed=seed) as world:
        ends = Counter(one["to"] for name in ("message.sent", "message.failed") for one in world.events(name))
        sent = {one["to"] for one in world.events("message.sent")}
        assert set(ends) == set(asked)
        assert set(ends.values()) == {1}
        taken = world.taken  # type: ignore[attr-defined]
        assert sent <= set(taken)
        # Twice only where the connection ended before the reply to the whole message came.
        ended = {
            one["to"]
            for one in world.events("message.deferred")
            if one["reply"].startswith("421") or "lost" in one["reply"] or "time" in one["reply"]
        }
        assert {path for path, count in taken.items() if count > 1} <= ended
