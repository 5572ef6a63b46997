"""The built-in stores keep every promise of the conformance suite."""

from __future__ import annotations

import kayak
import pytest
from kayak.testing import StoreConformance


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self):
        with kayak.MemoryLateStore() as store:
            yield store


@pytest.mark.parametrize("vector_dtype", ["float32", "float16", "int8"])
class TestDirectoryStore(StoreConformance):
    @pytest.fixture
    def folder(self, tmp_path, vector_dtype):
        return {"path": tmp_path / "store", "vector_dtype": vector_dtype}

    @pytest.fixture
    def store(self, folder):
        with kayak.open_store("kayak", **folder) as store:
            yield store

    @pytest.fixture
    def reopen(self, folder):
        def reopen(store):
            store.close()
            return kayak.open_store("kayak", path=folder["path"])

        return reopen
