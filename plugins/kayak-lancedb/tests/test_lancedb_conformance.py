"""The store keeps every promise of Kayak's conformance suite, on a real LanceDB table."""

from __future__ import annotations

import pytest
from kayak.testing import StoreConformance
from kayak_lancedb.store import LanceDBLateStore


class TestLanceDBStore(StoreConformance):
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "late.lancedb"

    @pytest.fixture
    def store(self, path):
        with LanceDBLateStore(path=path) as store:
            yield store

    @pytest.fixture
    def reopen(self, path):
        def reopen(store):
            store.close()
            return LanceDBLateStore(path=path)

        return reopen
