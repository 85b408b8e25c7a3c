"""What every engine promises of its transactions; SQLite is the only one so far."""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import pytest

from postino.core.errors import NoSuchAccount, OverQuota, StoreError, TemporarilyUnavailable
from postino.core.ports import MailboxChange
from postino.store.engine.sqlite import SqliteEngine
from postino.store.engine.sqlite_connection import SqliteOptions
from postino.store.store import DATABASE_NAME, open_store


@pytest.fixture
def engine(tmp_path):
    open_store(tmp_path, first=True).close_now()
    engine = SqliteEngine(tmp_path / DATABASE_NAME, SqliteOptions(lock_seconds=5))
    engine.write_now(lambda tx: tx.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER NOT NULL)"))
    yield engine
    engine.close()


def put(value):
    return lambda tx: tx.one("INSERT INTO t (v) VALUES (?) RETURNING id", (value,))[0]


def values(engine):
    return [v for (v,) in engine.read_now(lambda tx: tx.all("SELECT v FROM t ORDER BY id"))]


def fail_after(value, error=ValueError):
    def run(tx):
        put(value)(tx)
        raise error(f"{value}")

    return run


class Gate:
    """A job that holds the writing thread, so that the jobs after it become one batch."""

    def __init__(self):
        self.entered, self.leave = threading.Event(), threading.Event()

    def __call__(self, tx):
        self.entered.set()
        assert self.leave.wait(10)


async def batched(engine, *jobs, durable=True):
    """Run jobs so that they meet in one batch; give results and errors in order."""
    gate = Gate()
    held = asyncio.ensure_future(engine.write(gate))
    await asyncio.get_running_loop().run_in_executor(None, gate.entered.wait, 10)
    waiting = [asyncio.ensure_future(engine.write(job, durable=durable)) for job in jobs]
    await asyncio.sleep(0)
    gate.leave.set()
    return (await asyncio.gather(held, *waiting, return_exceptions=True))[1:]


async def test_write_gives_its_result_and_is_seen_by_the_next_read(engine):
    assert await engine.write(put(7)) == 1
    assert values(engine) == [7]
    assert await engine.read(lambda tx: tx.one("SELECT v FROM t WHERE id=?", (1,))) == (7,)
    assert await engine.read(lambda tx: tx.one("SELECT v FROM t WHERE id=?", (2,))) is None
    assert await engine.write(lambda tx: tx.run("UPDATE t SET v=v+1")) == 1
    assert await engine.write(lambda tx: tx.run_many("INSERT INTO t (v) VALUES (?)", [(1,), (2,)])) is None
    assert values(engine) == [8, 1, 2]


async def test_error_undoes_its_job_and_is_raised_to_its_caller(engine):
    with pytest.raises(ValueError, match="5"):
        await engine.write(fail_after(5))
    assert values(engine) == []
    with pytest.raises(StoreError, match="fault in Postino"):
        await engine.write(lambda tx: tx.run("INSERT INTO t (id, v) VALUES (1, NULL)"))
    with pytest.raises(StoreError):
        await engine.write(lambda tx: tx.run("no sql"))
    assert await engine.write(put(6)) == 1


async def test_one_job_of_a_batch_that_fails_takes_no_other_with_it(engine):
    got = await batched(engine, put(1), fail_after(2), put(3), fail_after(4, OverQuota), put(5))
    assert [type(one) for one in got] == [int, ValueError, int, OverQuota, int]
    assert values(engine) == [1, 3, 5]


async def test_jobs_run_again_when_another_of_the_batch_failed(engine):
    runs = []

    def counted(tx):
        runs.append(1)
        return put(1)(tx)

    got = await batched(engine, counted, fail_after(2))
    assert got[0] == 1
    assert len(runs) == 2
    assert values(engine) == [1]


async def test_jobs_run_in_the_order_they_were_given(engine):
    got = await batched(engine, *[put(n) for n in range(1000)])
    assert got == list(range(1, 1001))
    assert values(engine) == list(range(1000))


async def test_synced_and_unsynced_writes_mix_in_order(engine):
    waiting = [asyncio.ensure_future(engine.write(put(n), durable=n % 3 == 0)) for n in range(300)]
    assert await asyncio.gather(*waiting) == list(range(1, 301))
    assert values(engine) == list(range(300))


async def test_changes_are_told_after_the_commit_and_only_of_jobs_that_did_not_fail(engine):
    heard = []
    engine.on_commit = lambda changes: heard.append((changes, values(engine)))

    def noting(value, mod_seq, fail=False):
        def run(tx):
            put(value)(tx)
            tx.note_change(MailboxChange(1, value, mod_seq))
            if fail:
                raise ValueError

        return run

    await batched(engine, noting(1, 5), noting(2, 6, fail=True), noting(1, 7))
    await asyncio.sleep(0)
    assert heard == [([MailboxChange(1, 1, 7)], [1, 1])]


async def test_caller_that_went_away_harms_nobody(engine):
    gate = Gate()
    held = asyncio.ensure_future(engine.write(gate))
    await asyncio.get_running_loop().run_in_executor(None, gate.entered.wait, 10)
    gone = asyncio.ensure_future(engine.write(put(1)))
    stays = asyncio.ensure_future(engine.write(put(2)))
    await asyncio.sleep(0)
    gone.cancel()
    gate.leave.set()
    await held
    assert await stays == 2
    assert values(engine) == [1, 2]


async def test_read_is_one_snapshot(engine):
    await engine.write(put(1))
    between = threading.Event()
    written = threading.Event()

    def twice(tx):
        first = tx.all("SELECT count(*) FROM t")
        between.set()
        assert written.wait(10)
        return first, tx.all("SELECT count(*) FROM t")

    reading = asyncio.ensure_future(engine.read(twice))
    await asyncio.get_running_loop().run_in_executor(None, between.wait, 10)
    await engine.write(put(2))
    written.set()
    first, second = await reading
    assert first == second == [(1,)]


async def test_pieces_are_a_snapshot_each(engine):
    def pieces(run):
        first = run(lambda tx: tx.one("SELECT count(*) FROM t"))
        engine.write_now(put(1))
        return first, run(lambda tx: tx.one("SELECT count(*) FROM t"))

    assert await engine.read_in_pieces(pieces) == ((0,), (1,))


async def test_reads_cannot_write(engine):
    with pytest.raises(TemporarilyUnavailable):
        engine.read_now(put(1))
    with pytest.raises(ValueError, match="mine"):
        engine.read_now(lambda tx: int("mine"))
    assert values(engine) == []


async def connection_given_back(engine):
    """The writing thread tells what came of a write just before it is done with the connection."""
    while engine._writer._free.locked():  # noqa: ASYNC110 - a thread gives it back, and has no event
        await asyncio.sleep(0)


async def test_short_write_runs_on_the_loop_and_is_told_after_its_commit(engine):
    await engine.write(put(1))  # opens the connection, which the writing thread does
    await connection_given_back(engine)
    ran = []

    def short(tx):
        ran.append((threading.get_ident(), values(engine)))
        return put(2)(tx)

    assert await engine.write(short, short=True) == 2
    assert ran == [(threading.get_ident(), [1])]
    assert values(engine) == [1, 2]


async def test_short_writes_of_one_turn_are_one_transaction_in_order(engine):
    await engine.write(put(0))
    commits = []
    engine.on_commit = lambda changes: commits.append(changes)

    def noting(value):
        def run(tx):
            tx.note_change(MailboxChange(1, value, value))
            return put(value)(tx)

        return run

    got = await asyncio.gather(*[engine.write(noting(n), short=True) for n in range(1, 51)])
    assert got == list(range(2, 52))
    await asyncio.sleep(0.01)
    assert [len(changes) for changes in commits] == [50]


async def test_short_write_that_fails_takes_no_other_with_it(engine):
    await engine.write(put(0))
    got = await asyncio.gather(
        *[engine.write(job, short=True) for job in (put(1), fail_after(2), put(3), fail_after(4, OverQuota))],
        return_exceptions=True,
    )
    assert [type(one) for one in got] == [int, ValueError, int, OverQuota]
    assert values(engine) == [0, 1, 3]
    with pytest.raises(ValueError, match="5"):
        await engine.write(fail_after(5), short=True)
    assert await engine.write(put(6), short=True) == 4


async def test_short_write_that_spoils_the_commit_takes_no_other_with_it(engine):
    await engine.write(
        lambda tx: tx.run("CREATE TABLE c (v INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)")
    )

    def orphan(tx):
        return tx.run("INSERT INTO c (v) VALUES (99)")

    got = await asyncio.gather(
        *[engine.write(job, short=True) for job in (put(1), orphan, put(3))], return_exceptions=True
    )
    assert [type(one) for one in got] == [int, NoSuchAccount, int]
    assert values(engine) == [1, 3]
    assert await engine.write(put(4), short=True) > 0


async def test_short_write_without_a_sync_is_committed_before_anything_is_waited_for(engine):
    await engine.write(put(1))
    await connection_given_back(engine)
    heard = []
    engine.on_commit = heard.append

    def noting(tx):
        tx.note_change(MailboxChange(1, 2, 3))
        return put(2)(tx)

    with pytest.raises(StopIteration) as done:
        engine.write(noting, short=True, durable=False).send(None)
    assert done.value.value == 2
    assert values(engine) == [1, 2]
    assert heard == [[MailboxChange(1, 2, 3)]]


async def test_short_write_without_a_sync_that_fails_leaves_nothing(engine):
    await engine.write(put(1))
    with pytest.raises(ValueError, match="2"):
        await engine.write(fail_after(2), short=True, durable=False)
    with pytest.raises(OverQuota):
        await engine.write(fail_after(2, OverQuota), short=True, durable=False)
    assert values(engine) == [1]
    assert await engine.write(put(3), short=True, durable=False) == 2


async def test_short_writes_with_and_without_a_sync_all_happen(engine):
    await engine.write(put(0))

    async def writes(short, durable):
        for _ in range(60):
            await engine.write(put(1), short=short, durable=durable)

    await asyncio.gather(*[writes(short, durable) for short in (True, False) for durable in (True, False)])
    assert len(values(engine)) == 4 * 60 + 1


async def test_the_thread_waits_for_a_short_write_without_a_sync_and_not_for_ever(engine):
    await engine.write(put(1))
    await connection_given_back(engine)
    writer = engine._writer
    other = threading.Thread(target=engine.write_now, args=(put(3),))
    loop_thread, until = threading.get_ident(), time.monotonic() + 10

    def run(tx):
        assert threading.get_ident() == loop_thread
        other.start()
        while not writer._is_waited_for and time.monotonic() < until:
            time.sleep(0.0001)
        return put(2)(tx)

    assert await engine.write(run, short=True, durable=False) == 2
    await asyncio.get_running_loop().run_in_executor(None, other.join, 10)
    assert values(engine) == [1, 2, 3]
    # Told that the connection is free when nobody waits for it any more.
    writer._jobs.put([])
    assert await asyncio.wait_for(asyncio.gather(engine.write(put(4)), engine.write(put(5))), 10) == [4, 5]
    gate = Gate()
    held = asyncio.ensure_future(engine.write(gate))
    await asyncio.get_running_loop().run_in_executor(None, gate.entered.wait, 10)
    writer._jobs.put([])
    last = asyncio.ensure_future(engine.write(put(6)))
    await asyncio.sleep(0)
    gate.leave.set()
    await held
    assert await asyncio.wait_for(last, 10) > 0


async def test_the_log_is_moved_though_no_thread_writes(tmp_path):
    engine = SqliteEngine(tmp_path / "log.sqlite", SqliteOptions(checkpoint_pages=20))
    await engine.write(lambda tx: tx.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"))
    for _ in range(300):
        await engine.write(
            lambda tx: tx.run("INSERT INTO t (v) VALUES (?)", ("x" * 9000,)), short=True, durable=False
        )
    assert (tmp_path / "log.sqlite-wal").stat().st_size < 100 * 8192
    await asyncio.get_running_loop().run_in_executor(None, engine.close)


async def test_short_writes_all_happen_beside_long_ones_and_other_threads(engine):
    loop = asyncio.get_running_loop()

    async def writes(short):
        for _ in range(60):
            await engine.write(put(1), short=short)

    def blocking():
        for _ in range(30):
            engine.write_now(put(1))

    await asyncio.gather(
        *[writes(short) for short in (True, True, False, True, False)],
        *[loop.run_in_executor(None, blocking) for _ in range(2)],
    )
    assert len(values(engine)) == 5 * 60 + 2 * 30


@pytest.mark.parametrize("asks_for_turns", [True, False])
async def test_another_process_that_writes_never_holds_up_the_loop(engine, asks_for_turns):
    await engine.write(put(1))
    if asks_for_turns:
        other, gate = SqliteEngine(engine.path), Gate()
        held = asyncio.ensure_future(other.write(gate))
        await asyncio.get_running_loop().run_in_executor(None, gate.entered.wait, 10)
    else:
        foreign = apsw.Connection(str(engine.path))
        foreign.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(engine.write(put(2), short=True))
    longest, last = 0.0, time.perf_counter()
    for _ in range(30):
        await asyncio.sleep(0.01)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert not waiting.done()
    assert longest < 0.25
    if asks_for_turns:
        gate.leave.set()
        await held
    else:
        foreign.execute("COMMIT")
    assert await waiting == 2
    assert await engine.write(put(3), short=True) == 3
    if asks_for_turns:
        await asyncio.get_running_loop().run_in_executor(None, other.close)
    else:
        foreign.close()


async def test_short_writes_that_nobody_came_to_are_done_before_the_end(engine):
    await engine.write(put(0))
    waiting = [asyncio.ensure_future(engine.write(put(n), short=True)) for n in range(1, 151)]
    await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, engine.close)
    assert await asyncio.gather(*waiting) == list(range(2, 152))
    with pytest.raises(TemporarilyUnavailable):
        await engine.write(put(1), short=True)


def test_short_writes_go_on_after_a_loop_that_ended_in_the_middle(engine):
    async def abandoned():
        await engine.write(put(0))
        left = [asyncio.ensure_future(engine.write(put(n), short=True)) for n in range(5)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in left)

    async def afterwards():
        return await asyncio.wait_for(engine.write(put(9), short=True), 10)

    asyncio.run(abandoned())
    assert asyncio.run(afterwards()) > 0
    assert values(engine)[-1] == 9


async def test_patient_write_shares_the_sync_of_the_next_and_comes_after_it(engine):
    commits = []
    engine.on_commit = lambda changes: commits.append(len(changes))

    def noted(value):
        def run(tx):
            tx.note_change(MailboxChange(value, 1, 1))
            return put(value)(tx)

        return run

    await engine.write(put(1), short=True)
    patient = [asyncio.ensure_future(engine.write(noted(n), short=True, patience=60)) for n in (2, 3)]
    await asyncio.sleep(0.01)
    assert values(engine) == [1]
    await engine.write(noted(4), short=True)
    await asyncio.gather(*patient)
    assert values(engine) == [1, 4, 2, 3]
    assert commits == [3]


async def test_patient_write_is_done_when_nobody_comes(engine):
    await engine.write(put(1), short=True)
    assert await asyncio.wait_for(engine.write(put(2), short=True, patience=0.01), 5) == 2
    with pytest.raises(ValueError, match="3"):
        await asyncio.wait_for(engine.write(fail_after(3), short=True, patience=0.01), 5)
    assert values(engine) == [1, 2]


async def test_patient_write_is_done_before_the_end(engine):
    patient = asyncio.ensure_future(engine.write(put(1), short=True, patience=60))
    await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, engine.close)
    assert await asyncio.wait_for(patient, 5) == 1


async def test_spare_moment_is_now_when_nobody_writes(engine):
    await engine.write(put(1), short=True, patience=0.001)
    before = asyncio.get_running_loop().time()
    await engine.spare_moment(60)
    assert asyncio.get_running_loop().time() - before < 1


async def test_spare_moment_comes_with_a_sync_or_when_its_time_is_over(engine):
    loop = asyncio.get_running_loop()
    await engine.write(put(1), short=True)
    engine._busy_until = loop.time() + 60
    before = loop.time()
    await engine.spare_moment(0.02)
    assert 0.02 <= loop.time() - before < 5
    engine._busy_until = loop.time() + 60
    first, second = (asyncio.ensure_future(engine.spare_moment(60)) for _ in range(2))
    await asyncio.sleep(0)
    await engine.write(put(2), short=True, patience=0.001)
    await asyncio.wait_for(first, 5)
    assert not second.done()
    await engine.write(put(3), short=True, patience=0.001)
    await asyncio.wait_for(second, 5)


async def test_closed_engine_has_done_its_work_and_refuses_more(engine):
    waiting = [asyncio.ensure_future(engine.write(put(n))) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, engine.close)
    assert await asyncio.gather(*waiting) == list(range(1, 51))
    with pytest.raises(TemporarilyUnavailable):
        await engine.write(put(1))
    with pytest.raises(TemporarilyUnavailable):
        await engine.read(lambda tx: None)
    with pytest.raises(TemporarilyUnavailable):
        engine.write_now(put(1))


async def test_full_disk_fails_what_needs_room_and_nothing_else(engine):
    def big(tx):
        tx.run("INSERT INTO t (v) VALUES (randomblob(1000000))")

    def limit(tx):
        pages = tx.one("PRAGMA page_count")[0]
        tx.all(f"PRAGMA max_page_count={pages + 20}")

    await engine.write(limit)
    got = await batched(engine, put(1), big, put(2))
    assert got[0] == 1
    assert isinstance(got[1], TemporarilyUnavailable)
    assert "full" in str(got[1])
    assert values(engine) == [1, 2]


async def test_job_that_makes_the_commit_fail_takes_no_other_with_it(engine):
    def lasting(tx):
        # A deferred constraint is looked at only when the transaction commits.
        tx.run("PRAGMA defer_foreign_keys=ON")
        tx.run(
            "INSERT INTO mailbox (account_id, id, name, uid_validity, highest_mod_seq) VALUES (9, 9, 'x', 9, 9)"
        )

    got = await batched(engine, put(1), lasting, put(2))
    assert [type(one) for one in got] == [int, NoSuchAccount, int]
    assert values(engine) == [1, 2]
    with pytest.raises(NoSuchAccount):
        await engine.write(lasting)


async def test_place_that_cannot_be_opened_is_told_to_every_job(tmp_path):
    engine = SqliteEngine(tmp_path / "nowhere" / "x.sqlite")
    with pytest.raises((StoreError, OSError)):
        await engine.write(put(1))
    with pytest.raises(StoreError):
        engine.read_now(put(1))
    await asyncio.get_running_loop().run_in_executor(None, engine.close)


async def test_log_does_not_grow_without_end(engine, tmp_path):
    for _ in range(300):
        await engine.write(lambda tx: tx.run("INSERT INTO t (v) VALUES (randomblob(100000))"))
    log = tmp_path / f"{DATABASE_NAME}-wal"
    assert log.stat().st_size < 4 * engine.options.checkpoint_pages * engine.options.page_octets


async def test_writer_of_another_process_is_waited_for_and_then_given_up_on(tmp_path):
    open_store(tmp_path, first=True).close_now()
    path = tmp_path / DATABASE_NAME
    one = SqliteEngine(path)
    other = SqliteEngine(path, SqliteOptions(lock_seconds=0.2))
    gate = Gate()
    held = asyncio.ensure_future(one.write(gate))
    await asyncio.get_running_loop().run_in_executor(None, gate.entered.wait, 10)
    with pytest.raises(TemporarilyUnavailable, match="Another process"):
        await other.write(lambda tx: tx.run("UPDATE setting SET value=value"))
    gate.leave.set()
    await held
    assert await other.write(lambda tx: tx.run("UPDATE setting SET value=value")) > 0
    await asyncio.get_running_loop().run_in_executor(None, one.close)
    await asyncio.get_running_loop().run_in_executor(None, other.close)


_WRITER = """
import asyncio, sys
from pathlib import Path
from postino.store.store import open_store
from postino.store.messages import append
from postino.store.mailboxes import mailbox_by_name
from tests.support.stored import NOW, email

async def main():
    store = open_store(Path(sys.argv[1]))
    inbox = store.read_now(lambda tx: mailbox_by_name(tx, 1, "INBOX")).id
    new = email(b"from " + sys.argv[2].encode())
    done = await asyncio.gather(
        *(store.write(lambda tx: append(tx, 1, inbox, new, now=NOW)) for _ in range(300))
    )
    await store.close()
    print(",".join(str(one.uid) for one in done))

asyncio.run(main())
"""


def test_processes_that_write_at_once_lose_and_double_nothing(tmp_path):
    from tests.support.stored import findings, mailbox_contents, make_accounts

    store = open_store(tmp_path, first=True)
    make_accounts(store, "ann")
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), name], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    uids = []
    for writer in writers:
        out, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        uids += map(int, out.split(","))
    assert sorted(uids) == list(range(1, 601))
    found = mailbox_contents(store, 1)
    assert sum(octets.endswith(b"from one") for octets in found.values()) == 300
    assert findings(store) == []
    store.close_now()
