"""The store keeps every promise of Kayak's conformance suite, connected and searching in each way."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from kayak.testing import StoreConformance
from kayak_pgvector.store import PgvectorLateStore
from pg_server import NoServerError, container_url


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


@pytest.fixture(scope="module")
def container():
    try:
        with container_url() as url:
            yield url
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.mark.containers
class TestInAContainer(StoreConformance):
    """The same on a server in a container, with a pinned image."""

    examples = 10

    @pytest.fixture
    def store(self, container, table_name):
        with PgvectorLateStore(dsn=container, table_name=table_name) as store:
            yield store

    @pytest.fixture
    def table_name(self):
        return f"test_{uuid.uuid4().hex}"

    @pytest.fixture
    def reopen(self, container, table_name):
        def reopen(store):
            store.close()
            return PgvectorLateStore(dsn=container, table_name=table_name)

        return reopen
