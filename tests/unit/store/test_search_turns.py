"""One account's long searches leave threads for everybody else's."""

import asyncio
import threading

from postino.core.search import BodyContains
from postino.store import search as search_module
from postino.store.search import search_mailbox
from tests.support.stored import LIMITS, inbox_of, make_accounts


def test_an_account_with_many_long_searches_does_not_hold_up_another(store, monkeypatch):
    ann, bob = make_accounts(store, "ann", "bob")
    may_end = threading.Event()
    running: list[int] = []
    most: list[int] = []

    class SlowForAnn:
        def __init__(self, run, account_id, *rest):
            self.account_id = account_id

        def run(self, criterion):
            if self.account_id == ann:
                running.append(1)
                most.append(len(running))
                assert may_end.wait(10)
                running.pop()
            return [self.account_id]

    monkeypatch.setattr(search_module, "TextSearch", SlowForAnn)

    async def searches():
        def look(account):
            return search_mailbox(store, account, inbox_of(store, account), BodyContains("x"), LIMITS)

        anns = [asyncio.ensure_future(look(ann)) for _ in range(6)]
        try:
            # All four threads would be taken otherwise.
            assert await asyncio.wait_for(look(bob), 5) == [bob]
            assert not any(each.done() for each in anns)
        finally:
            may_end.set()
        assert await asyncio.gather(*anns) == [[ann]] * 6

    asyncio.run(searches())
    assert max(most) <= 2
    assert not store.searching
