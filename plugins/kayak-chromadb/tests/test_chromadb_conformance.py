"""The store keeps every promise of Kayak's conformance suite, in memory, in a folder and on a server."""

from __future__ import annotations

import uuid

import pytest
from chroma_servers import own_client
from kayak.testing import StoreConformance
from kayak_chromadb.plugin import open_chroma_store


class TestInMemory(StoreConformance):
    @pytest.fixture
    def store(self):
        with open_chroma_store(path=":memory:") as store:
            yield store


class TestFolder(StoreConformance):
    examples = 10  # each is dozens of synchronised writes

    @pytest.fixture
    def store(self, tmp_path):
        with open_chroma_store(path=tmp_path / "chroma") as store:
            yield store

    @pytest.fixture
    def reopen(self, tmp_path):
        def reopen(store):
            store.close()
            return open_chroma_store(path=tmp_path / "chroma")

        return reopen


class ServerConformance(StoreConformance):
    examples = 8  # each is dozens of requests

    @pytest.fixture
    def arguments(self, chroma_server):
        return {**chroma_server.arguments, "collection_name": f"conformance-{uuid.uuid4().hex}"}

    @pytest.fixture
    def store(self, arguments):
        with open_chroma_store(**arguments) as store:
            yield store

    @pytest.fixture
    def reopen(self, arguments):
        def reopen(store):
            store.close()
            return open_chroma_store(**arguments)

        return reopen


class TestServer(ServerConformance):
    pass


@pytest.mark.containers
class TestContainer(ServerConformance):
    @pytest.fixture
    def arguments(self, chroma_container):
        return {**chroma_container.arguments, "collection_name": f"conformance-{uuid.uuid4().hex}"}


class TestOwnClient(StoreConformance):
    examples = 4  # the server's suite has tried more

    @pytest.fixture
    def client(self, chroma_server):
        with own_client(chroma_server) as client:
            yield client

    @pytest.fixture
    def name(self):
        return f"own-{uuid.uuid4().hex}"

    @pytest.fixture
    def store(self, client, name):
        with open_chroma_store(client=client, collection_name=name) as store:
            yield store

    @pytest.fixture
    def reopen(self, client, name):
        def reopen(store):
            store.close()
            return open_chroma_store(client=client, collection_name=name)

        return reopen
