"""The network between our processes and far servers, in memory: who is reachable, how slowly, and what is cut."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from postino.net.connection import Connection
from postino.net.outgoing import CannotConnect
from tests.sim.process import Process, nobody
from tests.support.far_server import FarMessage, FarServer
from tests.support.memory_pipes import PipeTransport

HEAD_START = 0.25


@dataclass(eq=False)
class Link:
    """One connection from a process of ours to a far server."""

    number: int
    process: Process
    address: str
    opened_at: float
    connection: Connection
    far_end: PipeTransport
    cut_at: float = float("inf")

    @property
    def is_open(self) -> bool:
        """Whether our side still has it."""
        return not self.connection.is_closed and not self.process.is_dead


@dataclass(frozen=True)
class Taking:
    """A far server has answered 250 to a message."""

    at: float
    link: Link
    host: str
    message: FarMessage


@dataclass(eq=False)
class FarHost:
    """One machine: a name, addresses, and a server that may change its habits."""

    name: str
    addresses: tuple[str, ...]
    server: FarServer
    state: str = "up"
    """`up`, `refuses`, `silent`."""
    serves: set[str] = field(default_factory=set)
    """Domains whose mail it takes."""


class Network:
    """All links and hosts."""

    def __init__(
        self,
        now: Callable[[], float],
        chance: Random,
        trace: Callable[..., None],
        note_fault: Callable[[str], None],
    ) -> None:
        self.now = now
        self.hosts: dict[str, FarHost] = {}
        """By address."""
        self.links: list[Link] = []
        """Those that may be open."""
        self.connects = 0
        self.takings: list[Taking] = []
        self.when_taken: Callable[[Taking], None] = lambda taking: None
        self.when_connected: Callable[[Link], None] = lambda link: None
        self._by_client: dict[str, Link] = {}
        self._chance = chance
        self._trace = trace
        self._note_fault = note_fault
        self._far_tasks: dict[asyncio.Task[None], None] = {}

    def add(self, host: FarHost) -> None:
        """Have a machine in the network."""
        for address in host.addresses:
            self.hosts[address] = host
        host.server.messages = _Noted(lambda message: self._taken(host, message))

    def of(self, process: Process) -> "View":
        """The network as one process has it."""
        return View(self, process)

    def open_links(self, process: Process) -> list[Link]:
        """Those of a process."""
        self.links = [link for link in self.links if link.is_open]
        return [link for link in self.links if link.process is process]

    def links_to(self, host: FarHost) -> int:
        """How many connections a machine has."""
        return sum(link.is_open and link.address in host.addresses for link in self.links)

    def cut(self, host: FarHost) -> None:
        """The machine crashes: whoever is connected hears so, or nothing ever more."""
        for link in self.links:
            if link.is_open and link.address in host.addresses:
                link.cut_at = self.now()
                link.far_end.reset()

    def cut_all_of(self, process: Process) -> None:
        """Our process died: the system closes its sockets."""
        for link in self.links:
            if link.process is process:
                link.cut_at = min(link.cut_at, self.now())
                link.far_end.other.close()

    async def connect(
        self, process: Process, addresses: Sequence[str], port: int, seconds: float
    ) -> Connection:
        is_silent = False
        started = self.now()
        for number, address in enumerate(addresses):
            host = self.hosts.get(address)
            state = "refuses" if host is None else host.state
            if state == "silent":
                is_silent = True
                if number + 1 < len(addresses):
                    await asyncio.sleep(HEAD_START)
                continue
            await asyncio.sleep(self._chance.uniform(0.005, 0.3))
            if host is not None and host.state == "up" and port == 25:
                self.connects += 1
                self._trace("connect", process.name, address)
                return self._join(process, host, address)
        self._trace("no connection", process.name, list(addresses), is_silent)
        if is_silent:
            await asyncio.sleep(max(0.0, seconds - (self.now() - started)))
            raise CannotConnect("no connection in time")
        raise CannotConnect("connection refused")

    def _join(self, process: Process, host: FarHost, address: str) -> Connection:
        loop = asyncio.get_running_loop()
        number = self.connects
        client = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        near = PipeTransport(loop, (address, 25), (client, 40_000))
        far = PipeTransport(loop, (client, 40_000), (address, 25))
        near.other, far.other = far, near
        connection = Connection()
        near.set_protocol(connection)
        link = Link(number, process, address, self.now(), connection, far)
        self._by_client[client] = link
        self.links.append(link)
        reader = asyncio.StreamReader(loop=loop)

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(host.server.serve(reader, writer), context=nobody())
            self._far_tasks[task] = None
            task.add_done_callback(self._far_done)

        protocol = asyncio.StreamReaderProtocol(reader, begin, loop=loop)
        far.set_protocol(protocol)
        connection.connection_made(near)
        nobody().run(protocol.connection_made, far)
        self.when_connected(link)
        return connection

    def _far_done(self, task: asyncio.Task[None]) -> None:
        self._far_tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            self._note_fault(f"a far server was told what it cannot be told: {task.exception()!r}")

    def _taken(self, host: FarHost, message: FarMessage) -> None:
        taking = Taking(self.now(), self._by_client[message.client], host.name, message)
        self.takings.append(taking)
        to = [path for path, _ in message.recipients]
        self._trace("taken", host.name, message.reverse_path[:4], to, bool(message.tls))
        self.when_taken(taking)

    async def close(self) -> None:
        """End every far server's task."""
        for task in list(self._far_tasks):
            task.cancel()
        if self._far_tasks:
            await asyncio.wait(list(self._far_tasks))


class View:
    """A postino.net.outgoing.Network."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process

    async def connect(
        self, addresses: Sequence[str], port: int, *, sources: Sequence[str], timeout_seconds: float
    ) -> Connection:
        if self._process.is_dead:
            raise asyncio.CancelledError
        return await self._network.connect(self._process, addresses, port, timeout_seconds)

    async def connect_unix(self, path: str, *, timeout_seconds: float) -> Connection:
        raise CannotConnect("no such file or directory")


class _Noted(list[Any]):
    """A list that tells of what is appended."""

    def __init__(self, note: Callable[[Any], None]) -> None:
        super().__init__()
        self._note = note

    def append(self, item: Any) -> None:
        super().append(item)
        self._note(item)
