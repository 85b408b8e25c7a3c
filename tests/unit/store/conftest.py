import pytest

from postino.store.store import open_store
from tests.support.stored import findings


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path, first=True)
    yield store
    try:
        assert findings(store) == []
    finally:
        store.close_now()
