"""The store keeps every promise of Kayak's conformance suite."""

from __future__ import annotations

import kayak
import pytest
from kayak.testing import StoreConformance


class TestSqlite3Store(StoreConformance):
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "documents.sqlite"

    @pytest.fixture
    def store(self, path):
        with kayak.open_store("sqlite3", path=path) as store:
            yield store

    @pytest.fixture
    def reopen(self, path):
        def reopen(store):
            store.close()
            return kayak.open_store("sqlite3", path=path)

        return reopen
