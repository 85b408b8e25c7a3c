"""A worker's dispatcher with real sessions over a fake network, on virtual time."""

import asyncio
from pathlib import Path

from postino.store.queue.values import QueueKind
from tests.support.far_server import Habits
from tests.support.outbound_world import SendingWorld, sending_world

ZONE = """
far.example.       MX 10 mx1.far.example.
far.example.       MX 20 mx2.far.example.
mx1.far.example.   A 203.0.113.1
mx2.far.example.   A 203.0.113.2
other.example.     MX 10 mx.other.example.
mx.other.example.  A 203.0.113.3
"""


def test_an_accepted_message_is_sent_at_once_from_memory(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server("203.0.113.1")
        outbound = world.outbound()
        await world.submit("bob@far.example", outbound=outbound)
        await world.until_empty()
        assert [one.recipients[0][0] for one in far.messages] == ["bob@far.example"]
        assert far.messages[0].octets.endswith(b"Some words.\r\n")
        sent = world.events("message.sent")
        assert sent[0]["remote"] == "mx1.far.example (203.0.113.1)"
        assert sent[0]["delay"] == 0

    with sending_world(tmp_path, scenario, zone=ZONE) as world:
        assert world.metrics.settled == [("sent", 0)]
