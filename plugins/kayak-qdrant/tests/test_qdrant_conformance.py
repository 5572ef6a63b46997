"""The store keeps every promise of Kayak's conformance suite: in memory, in a folder, and on a server."""

from __future__ import annotations

import pytest
from kayak.testing import StoreConformance
from kayak_qdrant.plugin import open_qdrant_store


class TestMemory(StoreConformance):
    @pytest.fixture
    def store(self):
        with open_qdrant_store(path=":memory:") as store:
            yield store


class TestFolder(StoreConformance):
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "qdrant"

    @pytest.fixture
    def store(self, path):
        with open_qdrant_store(path=path) as store:
            yield store

    @pytest.fixture
    def reopen(self, path):
        def reopen(store):
            store.close()
            return open_qdrant_store(path=path)

        return reopen
