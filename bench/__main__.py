"""`python -m bench`: all suites on Postino and on Postfix + Dovecot, then the table and the page."""

import argparse
import fcntl
import os
import resource
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final, Never

from rich.console import Console

from bench import corpus, machine, report
from bench.drivers.ceiling import driver_ceiling
from bench.drivers.sink import Sink
from bench.drivers.smtp import ready_to_send
from bench.merge import merge
from bench.micro.filters import filter_figures
from bench.micro.script_cache import cache_figures
from bench.micro.signing import signing_milliseconds
from bench.peers.debian import DebianPair, install_peers
from bench.peers.debian_sending import DebianSending
from bench.peers.postino import PostinoServer
from bench.peers.server import Ports, Server, ServerProblem
from bench.runner import Runner
from bench.suites.filters import SCRIPTS, FilterSuite
from bench.suites.growth import GrowthSuite
from bench.suites.idle import IdleSuite
from bench.suites.imap import ImapSuite
from bench.suites.mixed import MixedSuite
from bench.suites.pop3 import Pop3Suite
from bench.suites.search import SearchSuite
from bench.suites.sending import SendingSuite
from bench.suites.smtp import SmtpSuite
from bench.suites.suite import FULL, QUICK, Scale, Suite

ROOT: Final = Path(__file__).resolve().parent
PAGE: Final = ROOT.parent / "docs" / "benchmarks.md"
SUITES: Final = ("smtp", "sending", "sieve", "imap", "search", "mixed", "growth", "pop3", "idle")
_LEFT: Final = (
    *("debian", "debian-sending", "debian-sieve"),
    *("postino", "postino-1-worker", "postino-sending", "postino-sieve"),
)
_NOTES: Final = """\
The peers are Debian's packages with their own configuration: Dovecot with sdbox and reused login processes, Postfix
delivering by LMTP with default process limits, no DNS look-ups, no client limits, no in-flow delay and no map of
recipients to look into. Postino runs with its defaults. Nothing is pinned to a processor; nothing uses TLS.

SMTP: one thread drives all connections, pipelining MAIL, RCPT and DATA, and keeps each connection for the whole run.
*Accepted* is the rate of 250s. *In the mailbox* counts until IMAP STATUS shows every message that got a 250.

Sending: Postino and Postfix with opendkim each take submissions, sign them with RSA-2048, relaxed/relaxed, and pass them
on to one sink, which counts them; both keep their connections to it. Postino has the driver log in, once a connection;
Postfix trusts this machine. Limits of what an account may send are off. *At the far server* counts until the sink has every
accepted message, signed. For *waiting*, messages due tomorrow lie in Postino's queue.

Sieve: a script of a hundred rules for each of a hundred accounts, whose last rule files; messages of 4 KB through LMTP
into Postino and into Dovecot with Pigeonhole, which keeps its scripts compiled beside them.

IMAP: the driver reads to the tagged answer and looks at nothing else; only the first answer to each FETCH is counted
and its octets are checked. Figures other than *the first time* are with warm caches on both sides.

LITERAL+ is used where offered (by both); MULTIAPPEND is not.

Searching and sorting have an account of their own. *The first time* is right after the delivery; the other searches
wait until Postino's index, which is made behind the delivery, is complete.

50 clients: a closed loop each, on ten accounts of 1,000 messages: 30 % lists of 50 ENVELOPEs, 20 % whole messages,
15 % STORE, 5 % APPEND of 4 KB, 12 % SEARCH, 10 % IDLE and DONE, 8 % NOOP. The driver is one thread and takes about half
a processor.

Growth: messages of 2 KB in one mailbox of Postino. The factor is the time a message at the largest size over that at
the smallest; for what should not depend on the size (SELECT, STATUS, single messages) the time of the command.

Idle memory is Pss of all processes with the sessions minus without, without TLS: of Postino in one worker, of Dovecot
with fewer sessions, as it has a process for each.

Before each durable figure the file systems are synced, so that neither server pays for the other's writes.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Postino beside Debian's Postfix + Dovecot."
    )
    parser.add_argument(
        "--quick", action="store_true", help="less of everything, 2-3 minutes; docs stay as they are"
    )
    parser.add_argument("--only", action="append", choices=SUITES, help="this suite alone (may be repeated)")
    parser.add_argument("--without-peers", action="store_true", help="Postino alone, without ratios")
    parser.add_argument("--only-peers", action="store_true", help="the peers alone, to check the drivers")
    parser.add_argument(
        "--base-port", type=int, default=27_000, help="first of 3,000 ports used (default 27000)"
    )
    parser.add_argument("--minutes", type=float, default=25.0, help="give up measuring after this long")
    parser.add_argument("--keep", action="store_true", help="leave the servers' directories in bench/.work")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".work", help="directory for everything (default bench/.work)"
    )
    parser.add_argument(
        "--page", type=Path, help="write the page here; a whole run writes docs/benchmarks.md"
    )
    parser.add_argument(
        "--into",
        type=Path,
        metavar="PAGE",
        help="put the sections of these suites into the page of a whole run",
    )
    return parser.parse_args()


def _terminate(_signal: int, _frame: FrameType | None) -> Never:
    raise KeyboardInterrupt


def _suite(name: str, scale: Scale, messages: list[bytes]) -> Suite:
    match name:
        case "smtp":
            return SmtpSuite(scale)
        case "imap":
            return ImapSuite(scale, messages)
        case "search":
            return SearchSuite(scale, messages)
        case "mixed":
            return MixedSuite(scale)
        case "growth":
            return GrowthSuite(scale)
        case "pop3":
            return Pop3Suite(scale, messages)
        case _:
            return IdleSuite(scale, messages)


def _start(server: Server, stack: ExitStack, console: Console) -> None:
    stack.callback(server.stop)
    started = time.monotonic()
    server.start()
    console.print(f"{server.version()}: started in {time.monotonic() - started:.1f} s", highlight=False)


def _measure(options: argparse.Namespace, runner: Runner, console: Console) -> list[str]:
    scale = QUICK if options.quick else FULL
    names = [name for name in SUITES if not options.only or name in options.only]
    messages = corpus.load(options.work, scale.messages)
    mean = sum(map(len, messages)) / len(messages) / 1024
    console.print(f"corpus: {len(messages)} messages, {mean:.1f} KiB mean", highlight=False)
    base = options.base_port
    versions: list[str] = []
    with ExitStack() as stack:
        debian: list[Server] = []
        if not options.without_peers:
            install_peers()
            debian.append(DebianPair(options.work, Ports.from_base(base)))
        postino = [] if options.only_peers else [PostinoServer(options.work, Ports.from_base(base + 1000))]
        servers: list[Server] = [*postino, *debian]
        if not set(names) - {"idle", "sending", "sieve"}:
            servers = debian if "idle" in names else []
        for server in servers:
            _start(server, stack, console)
        for name in names:
            console.rule(name)
            if name == "sending":
                versions += _measure_sending(options, runner, console, scale)
                continue
            if name == "sieve":
                _measure_filters(options, runner, console, scale)
                continue
            if name == "idle" and postino:
                postino[0].stop()
                alone = PostinoServer(options.work, Ports.from_base(base + 2000), workers=1)
                _start(alone, stack, console)
                runner.run(_suite(name, scale, messages), [alone, *debian])
            else:
                runner.run(_suite(name, scale, messages), servers)
        versions = [*(server.version() for server in servers), *versions]
    if "smtp" in names and not options.without_peers:
        messages = [ready_to_send(corpus.sized_message(number, 4096)) for number in range(20)]
        ceiling = driver_ceiling(base + 2999, messages)
        if ceiling is not None:
            versions.append(f"nothing but the SMTP driver and smtp-sink: {ceiling:,.0f} messages/s")
    return versions


def _measure_sending(
    options: argparse.Namespace, runner: Runner, console: Console, scale: Scale
) -> list[str]:
    """Servers and a sink of their own; gives the peers' versions."""
    base, sink = options.base_port, options.base_port + 2998
    with ExitStack() as stack:
        servers: list[Server] = []
        if not options.only_peers:
            servers.append(PostinoServer(options.work, Ports.from_base(base + 2000), relay=sink))
        if not options.without_peers:
            servers.append(DebianSending(options.work, Ports.from_base(base), sink))
        counting = stack.enter_context(Sink(sink))
        for server in servers:
            _start(server, stack, console)
        runner.run(SendingSuite(scale, counting), servers)
    if not options.only_peers:
        for key, milliseconds in signing_milliseconds().items():
            runner.note(PostinoServer.name, key, milliseconds)
    return [server.version() for server in servers[1:]]


def _measure_filters(options: argparse.Namespace, runner: Runner, console: Console, scale: Scale) -> None:
    """Servers of their own, whose accounts have scripts."""
    with ExitStack() as stack:
        servers: list[Server] = []
        if not options.only_peers:
            ports = Ports.from_base(options.base_port + 2000)
            servers.append(PostinoServer(options.work, ports, scripts=SCRIPTS))
        if not options.without_peers:
            # Ports of nobody else, as the pair without scripts may be running.
            ports = Ports.from_base(options.base_port + 1500)
            servers.append(DebianPair(options.work, ports, scripts=SCRIPTS))
        for server in servers:
            _start(server, stack, console)
        runner.run(FilterSuite(scale), servers)
    if not options.only_peers:
        for key, value in (filter_figures() | cache_figures(options.work)).items():
            runner.note(PostinoServer.name, key, value)


def main() -> int:
    """Exit code 0 when everything was measured, whatever the ratios; 1 when something failed."""
    options = _arguments()
    console = Console(width=max(120, shutil.get_terminal_size().columns))
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    lock = (options.work / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        console.print(f"another bench runs in {options.work}; wait for it or use --work DIR")
        return 2
    signal.signal(signal.SIGTERM, _terminate)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ.pop("PYTHONDEVMODE", None)

    here = machine.describe(options.work)
    for name, value in here.lines():
        console.print(f"{name}: {value}", highlight=False)
    runner = Runner(console, options.work / "samples.jsonl", options.minutes)
    try:
        versions = _measure(options, runner, console)
    except ServerProblem as problem:
        console.print(str(problem), style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; the servers of the bench are down")
        return 130
    finally:
        runner.close()
        if not options.keep and not runner.samples.failures:
            for directory in _LEFT:
                shutil.rmtree(options.work / directory, ignore_errors=True)

    rows = runner.samples.rows(PostinoServer.name, DebianPair.name)
    report.print_table(console, rows)
    outcome = report.Outcome(
        here,
        versions,
        rows,
        runner.samples.failures,
        _NOTES.strip().split("\n\n"),
        runner.minutes,
        options.quick,
    )
    partial = options.quick or options.only or options.without_peers or options.only_peers
    page = options.page or (options.work / "benchmarks.md" if partial else PAGE)
    written = report.markdown(outcome)
    if options.into is not None:
        page, written = options.into, merge(options.into.read_text(encoding="utf-8"), written)
    page.write_text(written, encoding="utf-8")
    console.print(f"{runner.minutes:.1f} minutes; written to {page}", highlight=False)
    for failure in runner.samples.failures:
        console.print(f"not measured: {failure}", style="red", markup=False)
    return 1 if runner.samples.failures else 0


if __name__ == "__main__":
    sys.exit(main())
