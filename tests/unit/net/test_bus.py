"""Hints between sessions of one worker and between workers."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from postino.core.ids import AccountId, MailboxId, ModSeq
from postino.core.ports import MailboxChange
from postino.net.bus import DatagramBus, LocalBus, publish_from_outside


def change(account: int, mailbox: int, mod_seq: int) -> MailboxChange:
    return MailboxChange(AccountId(account), MailboxId(mailbox), ModSeq(mod_seq))


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.001)


def test_listeners_hear_of_their_mailbox_only() -> None:
    bus = LocalBus()
    heard: list[MailboxChange] = []
    bus.subscribe(AccountId(1), MailboxId(2), heard.append)
    bus.publish([change(1, 2, 5), change(1, 3, 6), change(2, 2, 7)])
    assert heard == [change(1, 2, 5)]
    bus.unsubscribe(AccountId(1), MailboxId(2), heard.append)
    bus.unsubscribe(AccountId(1), MailboxId(2), heard.append)
    bus.publish([change(1, 2, 8)])
    assert heard == [change(1, 2, 5)]


def test_an_account_is_heard_with_all_its_mailboxes_and_their_names() -> None:
    bus = LocalBus()
    heard: list[MailboxChange] = []
    bus.subscribe_account(AccountId(1), heard.append)
    told = [change(1, 2, 5), change(1, 3, 6), change(1, 0, 7)]
    bus.publish([*told, change(2, 2, 8)])
    assert heard == told
    bus.unsubscribe_account(AccountId(1), heard.append)
    bus.unsubscribe_account(AccountId(1), heard.append)
    bus.publish([change(1, 2, 9)])
    assert heard == told


def test_a_listener_may_leave_while_it_is_told() -> None:
    bus = LocalBus()
    heard: list[str] = []

    def first(_: MailboxChange) -> None:
        heard.append("first")
        bus.unsubscribe(AccountId(1), MailboxId(1), first)

    bus.subscribe(AccountId(1), MailboxId(1), first)
    bus.subscribe(AccountId(1), MailboxId(1), lambda _: heard.append("second"))
    bus.publish([change(1, 1, 1), change(1, 1, 2)])
    assert heard == ["first", "second", "second"]


async def test_workers_hear_each_other(tmp_path: Path) -> None:
    buses = [DatagramBus(tmp_path, number, 3) for number in range(3)]
    heard: list[list[MailboxChange]] = [[], [], []]
    for bus, mine in zip(buses, heard, strict=True):
        bus.subscribe(AccountId(1), MailboxId(1), mine.append)
    buses[0].publish([change(1, 1, 10)])
    assert heard[0] == [change(1, 1, 10)]
    await until(lambda: bool(heard[1] and heard[2]))
    assert heard[1] == heard[2] == [change(1, 1, 10)]
    for bus in buses:
        bus.close()


async def test_the_newest_hint_of_a_mailbox_stands_for_all(tmp_path: Path) -> None:
    buses = [DatagramBus(tmp_path, number, 2) for number in range(2)]
    heard: list[MailboxChange] = []
    buses[1].subscribe(AccountId(1), MailboxId(1), heard.append)
    for mod_seq in range(1, 200):
        buses[0].publish([change(1, 1, mod_seq)])
    await until(lambda: bool(heard))
    assert heard == [change(1, 1, 199)]
    for bus in buses:
        bus.close()


async def test_a_flood_arrives_although_the_queue_between_workers_is_short(tmp_path: Path) -> None:
    buses = [DatagramBus(tmp_path, number, 2) for number in range(2)]
    heard: set[int] = set()
    for mailbox in range(5000):
        buses[1].subscribe(AccountId(1), MailboxId(mailbox), lambda c: heard.add(c.mailbox_id))
        buses[0].publish([change(1, mailbox, 1)])
        if mailbox % 100 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(heard) == 5000)
    for bus in buses:
        bus.close()


async def test_a_worker_that_is_gone_holds_nobody_up(tmp_path: Path) -> None:
    here = DatagramBus(tmp_path, 0, 2)
    here.publish([change(1, 1, 1)])
    await asyncio.sleep(0.01)
    there = DatagramBus(tmp_path, 1, 2)
    heard: list[MailboxChange] = []
    there.subscribe(AccountId(1), MailboxId(1), heard.append)
    here.publish([change(1, 1, 2)])
    await until(lambda: heard == [change(1, 1, 2)])
    here.close()
    there.close()


async def test_a_successor_takes_a_dead_workers_place(tmp_path: Path) -> None:
    dead = DatagramBus(tmp_path, 1, 2)
    here = DatagramBus(tmp_path, 0, 2)
    asyncio.get_running_loop().remove_reader(dead._socket.fileno())
    dead._socket.close()
    heir = DatagramBus(tmp_path, 1, 2)
    heard: list[MailboxChange] = []
    heir.subscribe(AccountId(1), MailboxId(1), heard.append)
    here.publish([change(1, 1, 3)])
    await until(lambda: bool(heard))
    dead._reach.__exit__(None, None, None)
    here.close()
    heir.close()


async def test_nonsense_is_dropped_and_the_command_line_is_heard(tmp_path: Path) -> None:
    import socket

    bus = DatagramBus(tmp_path, 0, 1)
    heard: list[MailboxChange] = []
    bus.subscribe(AccountId(1), MailboxId(1), heard.append)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"not a hint", str(tmp_path / "bus.0"))
    publish_from_outside(tmp_path, [change(1, 1, 9)])
    publish_from_outside(tmp_path / "not there", [change(1, 1, 9)])
    await until(lambda: heard == [change(1, 1, 9)])
    bus.close()
    assert not (tmp_path / "bus.0").exists()


async def test_a_long_directory_name_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    buses = [DatagramBus(deep, number, 2) for number in range(2)]
    heard: list[MailboxChange] = []
    buses[1].subscribe(AccountId(1), MailboxId(1), heard.append)
    buses[0].publish([change(1, 1, 1)])
    publish_from_outside(deep, [change(1, 1, 2)])
    await until(lambda: len(heard) == 2)
    for bus in buses:
        bus.close()
