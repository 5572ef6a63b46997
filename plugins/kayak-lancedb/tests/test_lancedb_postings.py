"""Postings in LanceDB: the promises of the conformance suite, and what is particular to its tables."""

from __future__ import annotations

import kayak
import pytest
from kayak.testing import PostingsConformance


class TestPostings(PostingsConformance):
    examples = 9

    @pytest.fixture
    def store(self, tmp_path):
        with kayak.open_store("lancedb", path=tmp_path) as store:
            yield store

    @pytest.fixture
    def reopen(self, tmp_path):
        def reopen(store):
            store.close()
            return kayak.open_store("lancedb", path=tmp_path)

        return reopen
