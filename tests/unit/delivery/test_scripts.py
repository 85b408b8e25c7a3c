"""The cache of compiled scripts: which run, when a change is seen, and how large it gets."""

import tracemalloc

import pytest
import structlog

from postino.core.errors import StoreError
from postino.core.ids import EVERYBODY, SCRIPTS, AccountId, MailboxId, ModSeq
from postino.core.ports import MailboxChange
from postino.delivery.filters import scripts as scripts_module
from postino.delivery.filters.scripts import ENTRY_OCTETS, REMEMBER_SECONDS, Scripts
from postino.delivery.settings import SieveSettings
from postino.net.bus import LocalBus
from postino.servers.metrics import Metrics
from postino.sieve import compile_script, run, stored_script
from postino.sieve.message import SieveMessage
from postino.store.scripts import (
    SERVER,
    ScriptLimits,
    ScriptPlace,
    delete_site_script,
    put_script,
    put_site_script,
    rename_script,
    set_active,
)
from postino.store.store import open_store
from tests.support.stored import NOW, findings, make_accounts

LIMITS = ScriptLimits()


class Worker:
    """A store with a cache, and a clock that stands still until told."""

    def __init__(self, path, *, first, cache_octets=10**7):
        self.store = open_store(path, first=first)
        self.bus = LocalBus()
        self.store.on_commit = self.bus.publish
        self.metrics = Metrics()
        self.seconds = 1000.0
        self.reads = 0
        read_here = self.store.read_here

        def counted(fn):
            self.reads += 1
            return read_here(fn)

        self.store.read_here = counted
        self.logged = []
        self.scripts = Scripts(
            self.store,
            settings=SieveSettings(cache_octets=cache_octets),
            log=structlog.wrap_logger(None, processors=[self._note]),
            metrics=self.metrics,
            bus=self.bus,
            steady=lambda: self.seconds,
        )

    def _note(self, logger, method, event):
        self.logged.append(event)
        raise structlog.DropEvent

    def put(self, account_id, name, source=b"keep;", *, compiled=None):
        compiled = compile_script(source, name=name).stored if compiled is None else compiled
        self.store.write_now(
            lambda tx: put_script(tx, account_id, name, source, compiled, now=NOW, limits=LIMITS)
        )

    def put_site(self, domain, place, name, source=b"keep;"):
        compiled = compile_script(source, name=name).stored
        self.store.write_now(lambda tx: put_site_script(tx, domain, place, name, source, compiled, now=NOW))

    def activate(self, account_id, name):
        self.store.write_now(lambda tx: set_active(tx, account_id, name))

    def incoming(self, account_id, domain="example.org"):
        return [script.name for script in self.scripts.incoming(account_id, domain)]

    def outgoing(self, account_id, domain="example.org"):
        return [script.name for script in self.scripts.outgoing(account_id, domain)]

    def lookups(self, how):
        return self.metrics.counters.get(("postino_script_lookups", (how,)), 0)

    @property
    def kept(self):
        return self.metrics.gauges["postino_script_cache_octets", ()]


@pytest.fixture
def worker(tmp_path):
    worker = Worker(tmp_path, first=True)
    yield worker
    try:
        assert findings(worker.store) == []
    finally:
        worker.store.close_now()


@pytest.fixture
def ann(worker):
    return make_accounts(worker.store, "ann", "bob")[0]


def test_the_active_script_runs_on_what_comes_in_and_outgoing_on_what_leaves(worker, ann):
    for name in ("main", "other", "outgoing"):
        worker.put(ann, name)
    assert (worker.incoming(ann), worker.outgoing(ann)) == ([], ["outgoing"])
    worker.activate(ann, "main")
    assert (worker.incoming(ann), worker.outgoing(ann)) == (["main"], ["outgoing"])
    worker.store.write_now(lambda tx: rename_script(tx, ann, "outgoing", "was"))
    assert (worker.incoming(ann), worker.outgoing(ann)) == (["main"], [])
    assert worker.incoming(AccountId(ann + 1)) == []


def test_scripts_of_the_server_and_the_domain_enclose_the_accounts(worker, ann):
    worker.put(ann, "main")
    worker.put(ann, "outgoing")
    worker.activate(ann, "main")
    for domain, prefix in ((SERVER, "s"), ("example.org", "d")):
        for place in ("before", "after", "before-outgoing", "after-outgoing", "imap"):
            worker.put_site(domain, ScriptPlace(place), f"{prefix}-{place}")
    assert worker.incoming(ann) == ["s-before", "d-before", "main", "d-after", "s-after"]
    assert worker.outgoing(ann) == [
        *("s-before-outgoing", "d-before-outgoing", "outgoing"),
        *("d-after-outgoing", "s-after-outgoing"),
    ]
    assert worker.incoming(ann, "example.com") == ["s-before", "main", "s-after"]
    assert worker.incoming(ann, "") == ["s-before", "main", "s-after"]
    assert [script.name for script in worker.scripts.imap(ann, "example.org")] == ["s-imap", "d-imap"]
    worker.store.write_now(lambda tx: delete_site_script(tx, SERVER, "s-before"))
    assert worker.incoming(ann) == ["d-before", "main", "d-after", "s-after"]


def test_included_scripts_are_the_accounts_the_domains_or_the_servers(worker, ann):
    worker.put(ann, "mine")
    worker.put_site(SERVER, ScriptPlace.GLOBAL, "both", b"keep; # server's")
    worker.put_site(SERVER, ScriptPlace.GLOBAL, "all")
    worker.put_site(SERVER, ScriptPlace.AFTER, "after")
    worker.put_site("example.org", ScriptPlace.GLOBAL, "both", b"keep;")

    def octets(name, *, is_global, domain="example.org"):
        found = worker.scripts.included(ann, domain, name, is_global=is_global)
        return None if found is None else found.octets

    assert octets("mine", is_global=False) == 5
    assert octets("mine", is_global=True) is None
    assert octets("all", is_global=False) is None
    assert octets("all", is_global=True) == 5
    assert octets("both", is_global=True) == 5
    assert octets("both", is_global=True, domain="example.com") == 16
    assert octets("after", is_global=True) is None


def test_without_any_script_of_the_site_there_is_none_to_look_for(worker, ann):
    assert worker.scripts.included(ann, "example.org", "x", is_global=True) is None
    assert worker.scripts.imap(ann, "example.org") == ()
    assert worker.reads == 1


def test_what_is_remembered_costs_no_read(worker, ann):
    worker.put(ann, "main")
    worker.activate(ann, "main")
    bob = AccountId(ann + 1)
    first = worker.scripts.incoming(ann, "example.org")
    worker.incoming(bob)
    worker.reads = 0
    for _ in range(10):
        assert worker.scripts.incoming(ann, "example.org")[0] is first[0]
        assert worker.incoming(bob) == []
    assert worker.reads == 0
    assert (worker.lookups("miss"), worker.lookups("hit")) == (2, 20)
    worker.seconds += REMEMBER_SECONDS
    worker.incoming(ann)
    worker.incoming(bob)
    assert worker.reads == 1


def test_a_change_of_another_account_is_one_read_and_no_compiling(worker, ann):
    worker.put(ann, "main")
    worker.activate(ann, "main")
    first = worker.scripts.incoming(ann, "example.org")
    worker.put(AccountId(ann + 1), "main")
    worker.reads = 0
    assert worker.scripts.incoming(ann, "example.org")[0] is first[0]
    assert worker.reads == 2
    assert worker.lookups("miss") == 1


def test_a_change_here_is_seen_at_once(worker, ann):
    for source, octets in ((b"keep;", 5), (b"discard;", 8), (b"stop;", 5)):
        worker.put(ann, "main", source)
        worker.activate(ann, "main")
        assert [script.octets for script in worker.scripts.incoming(ann, "")] == [octets]
    worker.activate(ann, "")
    assert worker.incoming(ann) == []


@pytest.mark.parametrize("is_told", [True, False])
def test_a_change_in_another_worker_is_seen_when_told_or_after_a_second(worker, ann, tmp_path, is_told):
    other = Worker(tmp_path, first=False)
    try:
        worker.put(ann, "main")
        worker.activate(ann, "main")
        assert other.incoming(ann) == ["main"]
        worker.activate(ann, "")
        worker.put_site(SERVER, ScriptPlace.AFTER, "after")
        assert other.incoming(ann) == ["main"]
        if is_told:
            other.bus.publish([MailboxChange(EVERYBODY, SCRIPTS, ModSeq(1))])
        else:
            other.seconds += REMEMBER_SECONDS
        assert other.incoming(ann) == ["after"]
    finally:
        other.store.close_now()


def test_other_hints_change_nothing(worker, ann):
    worker.incoming(ann)
    worker.reads = 0
    worker.bus.publish([MailboxChange(ann, MailboxId(2), ModSeq(9))])
    worker.incoming(ann)
    assert worker.reads == 0


@pytest.mark.parametrize("stored", [b"", b"0:of an older version", b"1:\xc1"])
def test_what_another_version_stored_is_compiled_again(worker, ann, stored):
    worker.put(ann, "main", b"discard;", compiled=stored)
    worker.activate(ann, "main")
    (script,) = worker.scripts.incoming(ann, "")
    assert (script.name, script.octets) == ("main", 8)


def test_what_this_version_refuses_does_not_run_and_is_logged(worker, ann):
    worker.put(ann, "main", b"no_such_command;", compiled=b"")
    worker.activate(ann, "main")
    worker.put_site(SERVER, ScriptPlace.AFTER, "after")
    assert worker.incoming(ann) == ["after"]
    assert worker.incoming(ann) == ["after"]
    (line,) = worker.logged
    assert (line["event"], line["script"], line["account"]) == ("script.unusable", "main", ann)


def test_memory_is_bounded_and_what_was_used_last_stays(tmp_path):
    source = b'if header :contains "subject" "x" { fileinto "X"; }'
    source = b'require "fileinto";' + source
    script = compile_script(source)
    stored, one = script.stored, ENTRY_OCTETS + script.footprint
    worker = Worker(tmp_path, first=True, cache_octets=10 * one)
    try:
        accounts = make_accounts(worker.store, *(f"u{n}" for n in range(30)))

        def fill(tx):
            for account_id in accounts:
                put_script(tx, account_id, "main", source, stored, now=NOW, limits=LIMITS)
                set_active(tx, account_id, "main")

        worker.store.write_now(fill)
        for account_id in accounts:
            assert worker.incoming(account_id) == ["main"]
            assert worker.incoming(accounts[0]) == ["main"]
        assert worker.lookups("miss") == 30
        assert worker.kept == 10 * one
        for account_id in [accounts[0], *accounts[-9:]]:
            worker.incoming(account_id)
        assert worker.lookups("miss") == 30
        worker.incoming(accounts[1])
        assert worker.lookups("miss") == 31
        assert worker.kept == 10 * one
    finally:
        worker.store.close_now()


def test_one_that_is_larger_than_the_cache_still_runs(tmp_path):
    worker = Worker(tmp_path, first=True, cache_octets=ENTRY_OCTETS)
    try:
        (ann,) = make_accounts(worker.store, "ann")
        worker.put(ann, "main")
        worker.activate(ann, "main")
        for _ in range(2):
            assert worker.incoming(ann) == ["main"]
        assert worker.kept == 0
        assert worker.lookups("miss") == 2
    finally:
        worker.store.close_now()


_RULE = (
    'if header :contains "subject" "word {n}." {{ fileinto "Folder {n}"; }}'
    ' elsif address :is "from" ["a{n}@x.example", "b{n}@y.example"] {{ fileinto "Lists/{n}"; stop; }}'
)
_UNSAID = 'if not header :contains "subject" "word {n}." {{ fileinto "Folder {n}"; }}'


@pytest.mark.parametrize("rules", [1, 30])
@pytest.mark.parametrize("rule", [_RULE, _RULE.replace("elsif", "if"), _UNSAID])
def test_what_is_counted_is_about_what_is_taken(rules, rule):
    lines = "\r\n".join(rule.format(n=n) for n in range(rules))
    compiled = compile_script(f'require "fileinto";{lines}'.encode())
    messages = [SieveMessage(b"Subject: word %d.\r\n\r\n" % n, b"") for n in range(rules)]
    for message in messages:
        run(compiled, message)  # what is remembered of a message is none of the script's
    kept = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept += [stored_script(bytes(bytearray(compiled.stored)), name="main", octets=1) for _ in range(5)]
        for script in kept:
            # Every rule applies once.
            for message in messages:
                run(script, message)
        taken = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()
    assert taken < 1.5 * (ENTRY_OCTETS + kept[0].footprint)


def test_a_store_that_fails_leaves_nothing_counted(tmp_path):
    worker = Worker(tmp_path, first=True, cache_octets=20_000)
    try:
        (ann,) = make_accounts(worker.store, "ann")
        worker.put(ann, "main")
        worker.activate(ann, "main")
        assert worker.incoming(ann) == ["main"]
        kept, read_here, reads = worker.kept, worker.store.read_here, []

        def failing(fn):
            reads.append(fn)
            if len(reads) % 2 == 0:
                raise StoreError("no")
            return read_here(fn)

        for _ in range(100):
            worker.put(ann, "main", b"discard;")
            worker.seconds += 2
            reads.clear()
            worker.store.read_here = failing
            with pytest.raises(StoreError):
                worker.incoming(ann)
            worker.store.read_here = read_here
            assert worker.incoming(ann) == ["main"]
        assert abs(worker.kept - kept) < 1000
    finally:
        worker.store.close_now()


def test_one_that_cannot_be_made_does_not_keep_the_others_from_running(worker, ann, monkeypatch):
    worker.put(ann, "main")
    worker.activate(ann, "main")
    worker.put_site(SERVER, ScriptPlace.AFTER, "after")
    make = scripts_module.stored_script

    def failing(stored, *, name, octets):
        if name == "main":
            raise RecursionError
        return make(stored, name=name, octets=octets)

    monkeypatch.setattr(scripts_module, "stored_script", failing)
    assert worker.incoming(ann) == ["after"]
    assert worker.logged[0]["event"] == "script.unusable"
