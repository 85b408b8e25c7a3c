import pytest

from postino.core.errors import DatabaseDamaged
from postino.core.flags import flag_set
from postino.core.ids import Instant
from postino.core.numset import NumberSet
from postino.store.annotations import Place, set_annotations
from postino.store.content import SealedBlob
from postino.store.messages import FlagChange, FlagMode, append, deliver, expunge, store_flags
from postino.store.scripts import SERVER, ScriptLimits, ScriptPlace, put_script, put_site_script, set_active
from postino.store.store import open_store
from postino.store.vacation import may_answer
from postino.store.verify import Severity, verify, verify_in_pieces
from tests.support.stored import NOW, email, findings, inbox_of, make_accounts


@pytest.fixture
def damaged(tmp_path):
    """A store with something of everything, to be damaged: not verified at the end."""
    store = open_store(tmp_path, first=True)
    ann, bob = make_accounts(store, "ann", "bob")
    inbox = inbox_of(store, ann)
    shared = email(b"shared " * 5000)
    with store.blobs.open_spool() as spool:
        spool.write(b"in a file")
        sealed = SealedBlob(spool.seal(), 0)

    def fill(tx):
        for n in range(4):
            append(tx, ann, inbox, email(b"text " * 7000 * n), now=NOW)
        deliver(tx, [(ann, None, shared), (bob, None, shared)], NOW)
        append(tx, ann, inbox, email(b"in a file", stored=sealed), now=NOW)

    store.write_now(fill)
    store.write_now(lambda tx: expunge(tx, ann, inbox, None, only_deleted=False, now=NOW))
    store.write_now(fill_again := lambda tx: fill(tx))
    change = FlagChange(FlagMode.ADD, flag_set(["$Later"]))
    store.write_now(lambda tx: store_flags(tx, ann, inbox, NumberSet([(8, 9)]), change))
    assert fill_again
    comment = [("/shared/x", b"Ours")]
    store.write_now(
        lambda tx: set_annotations(tx, Place(ann, inbox, ann), comment, most=10, most_octets=1000)
    )

    def keep_scripts(tx):
        for name in ("main", "other"):
            put_script(tx, ann, name, b"keep;", b"", now=NOW, limits=ScriptLimits())
        set_active(tx, ann, "main")
        put_site_script(tx, SERVER, ScriptPlace.BEFORE, "site", b"keep;", b"", now=NOW)
        may_answer(tx, ann, b"key", Instant(NOW + 1), NOW)

    store.write_now(keep_scripts)
    assert findings(store) == []
    yield store
    store.close_now()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("UPDATE mailbox SET messages=messages+1 WHERE id=2", "says messages="),
        ("UPDATE mailbox SET unseen=unseen-1 WHERE id=2", "says unseen="),
        ("UPDATE mailbox SET deleted=1 WHERE id=3", "says deleted="),
        ("UPDATE mailbox SET octets=0 WHERE id=2", "says octets="),
        ("UPDATE mailbox SET uid_next=9 WHERE id=2 AND account_id=1", "uid_next"),
        ("UPDATE mailbox SET uid_next=5 WHERE id=2 AND account_id=1", "expunged has uid"),
        ("UPDATE mailbox SET highest_mod_seq=3", "highest_mod_seq"),
        ("UPDATE mailbox SET changed_mod_seq=1<<40 WHERE id=3", "changed after"),
        ("UPDATE mailbox SET uid_validity=7", "several mailboxes"),
        ("UPDATE setting SET value='5' WHERE name='next_uid_validity'", "was given already"),
        ("UPDATE account SET mod_seq=3 WHERE id=1", "change counter"),
        ("UPDATE account SET used_octets=1 WHERE id=1", "quota counts"),
        ("UPDATE account SET used_messages=1 WHERE id=1", "quota counts"),
        (
            "UPDATE sieve_script SET account_id=99 WHERE name='other'",
            "'other' is of an account that does not",
        ),
        ("UPDATE sieve_script SET domain='x' WHERE name='other'", "is of an account and of a domain"),
        ("UPDATE sieve_script SET domain='x' WHERE name='site'", "'site' of x is of a domain that does not"),
        ("UPDATE sieve_script SET place='' WHERE name='site'", "a place that cannot be"),
        ("UPDATE sieve_script SET place='before' WHERE name='main'", "a place that cannot be"),
        ("UPDATE sieve_script SET place='active' WHERE name='other'", "2 of its scripts are active"),
        ("DELETE FROM sieve_script WHERE account_id=1", "script version is 3"),
        ("UPDATE account SET script_version=0 WHERE id=1", "script version is 0"),
        ("UPDATE account SET script_version=9 WHERE id=1", "script version is 9"),
        ("UPDATE setting SET value='9' WHERE name='sieve_site_version'", "but 9 was given already"),
        ("UPDATE vacation_reply SET account_id=99", "vacation_reply has rows of an account"),
        ("UPDATE annotation SET mailbox_id=99", "mailbox 99 does not exist but has the annotation /shared/x"),
        ("UPDATE annotation SET viewer_id=99", "is account 99's"),
        ("UPDATE annotation SET mod_seq=1<<40", "is not given yet"),
        ("DELETE FROM flag_change", "is not noted"),
        ("UPDATE flag_change SET first_uid=9", "is not noted"),
        ("UPDATE flag_change SET mod_seq=1<<40", "cannot have been"),
        ("UPDATE mailbox SET flag_log_start=highest_mod_seq WHERE id=2", "cannot have been"),
        ("DELETE FROM mailbox WHERE id=2 AND account_id=1", "has no INBOX"),
        ("DELETE FROM mailbox WHERE id=2 AND account_id=1", "does not exist but has message"),
        ("DELETE FROM content WHERE id=8 AND account_id=1", "lost its content too early"),
        ("DELETE FROM content WHERE account_id=1 AND id=16", "no content of its size"),
        ("UPDATE message SET size=size+1 WHERE uid=8", "no content of its size"),
        ("UPDATE message SET flags=99 WHERE uid=8", "cannot be"),
        ("UPDATE message SET uid=1 WHERE uid=8", "was expunged"),
        ("UPDATE message SET content_id=16 WHERE uid=9", "is not known to be copied"),
        ("UPDATE content SET thread_id=id+1 WHERE id=16", "in a thread that began after it"),
        ("UPDATE thread_of_id SET thread_id=1<<40", "in a thread that cannot be"),
        ("DELETE FROM octets WHERE account_id=1 AND content_id=16", "lost its octets"),
        ("UPDATE octets SET header=x'00' WHERE account_id=1 AND content_id=16", "another length"),
        ("UPDATE octets SET body=x'00' WHERE account_id=1 AND content_id=16", "is not of"),
        ("UPDATE octets SET body=x'00' WHERE codec=1", "is not of"),
        (
            "UPDATE octets SET body=CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB) WHERE codec=1",
            "cannot be decompressed",
        ),
        (
            "UPDATE shared_body SET body=CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB)",
            "cannot be decompressed",
        ),
        ("UPDATE octets SET body=NULL WHERE codec=0", "lost its body"),
        ("DELETE FROM shared_body", "lost its body"),
        ("UPDATE octets SET blob_offset=1 WHERE codec=3", "too short"),
        ("UPDATE octets SET blob_id='aabbcc' WHERE codec=3", "lost its file"),
        ("PRAGMA foreign_keys", ""),
        ("DELETE FROM address WHERE account_id=1", "addresses of its own"),
    ],
)
def test_damage_is_found(damaged, damage, sentence):
    damaged.write_now(lambda tx: tx.all(damage))
    found = findings(damaged)
    if sentence:
        assert any(sentence in str(one) for one in found), found
        assert any(one.severity is Severity.DAMAGE for one in found)
    else:
        assert found == []


def test_litter_is_told_apart(damaged):
    damaged.write_now(lambda tx: tx.run("INSERT INTO shared_body VALUES ('x', 0, x'00')"))
    damaged.write_now(lambda tx: tx.run("UPDATE expunged SET content_id=0"))
    damaged.write_now(lambda tx: tx.run("INSERT INTO copied_content VALUES (1, 99)"))
    found = findings(damaged)
    assert found
    assert {one.severity for one in found} == {Severity.LITTER}
    assert any("shared body x" in str(one) for one in found)
    assert any("content 99 was copied and is gone" in str(one) for one in found)


def test_files_are_looked_for_only_when_asked(damaged):
    for _, path in list(damaged.blobs.listed(before=1e12)):
        path.unlink()
    assert damaged.read_now(verify) == []
    assert len(findings(damaged)) == 2


def test_a_check_that_cannot_be_carried_out_is_a_finding(damaged):
    whole = damaged.read_now(verify)

    def run(fn):
        run.calls += 1
        if run.calls == 2:
            raise DatabaseDamaged("The database is damaged (a page); run `postino verify`")
        return damaged.read_now(fn)

    run.calls = 0
    found = verify_in_pieces(run, damaged.blobs)
    assert whole == []
    assert [str(one) for one in found] == [
        "damage: the check of accounts could not be carried out: The database is damaged (a page)"
    ]
    run.calls = 99
    assert verify_in_pieces(run, damaged.blobs) == []
