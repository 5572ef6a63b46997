"""Postings in PostgreSQL: the promises of the conformance suite, and what is particular to the tables."""

from __future__ import annotations

import pytest
from kayak.testing import PostingsConformance


class TestPostings(PostingsConformance):
    @pytest.fixture
    def store(self, open_store):
        return open_store()

    @pytest.fixture
    def reopen(self, open_store):
        def reopen(store):
            store.close()
            return open_store()

        return reopen


class TestHostileNames(PostingsConformance):
    """Names that would be SQL if they were not quoted, at the greatest length."""

    examples = 3
    table_name = """a"b';%s--{x} """ + "n" * 31

    @pytest.fixture
    def store(self, open_store):
        return open_store(table_name=self.table_name)

    @pytest.fixture
    def reopen(self, open_store):
        def reopen(store):
            store.close()
            return open_store(table_name=self.table_name)

        return reopen
