"""The store keeps every promise of Kayak's conformance suite, connected and searching in each way."""

from __future__ import annotations

import psycopg
import pytest
from kayak.testing import StoreConformance


class TestExactCandidates(StoreConformance):
    @pytest.fixture
    def store(self, open_store):
        return open_store()

    @pytest.fixture
    def reopen(self, open_store):
        def reopen(store):
            store.close()
            return open_store()

        return reopen


class TestPooledCandidates(StoreConformance):
    examples = 10

    @pytest.fixture
    def store(self, open_store):
        return open_store(candidates="pooled")

    @pytest.fixture
    def reopen(self, open_store):
        def reopen(store):
            store.close()
            return open_store(candidates="pooled")

        return reopen


class TestOneConnection(StoreConformance):
    examples = 10

    @pytest.fixture
    def connection(self, server_url):
        with psycopg.connect(server_url) as connection:
            yield connection

    @pytest.fixture
    def store(self, open_store, connection):
        return open_store(connection=connection)

    @pytest.fixture
    def reopen(self, open_store, connection):
        def reopen(store):
            store.close()
            return open_store(connection=connection)

        return reopen
