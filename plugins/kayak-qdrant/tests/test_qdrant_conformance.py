"""The store keeps every promise of Kayak's conformance suite, wherever Qdrant runs."""

from __future__ import annotations

import pytest
from kayak.testing import StoreConformance
from kayak_qdrant.plugin import open_qdrant_store
from qdrant_client import QdrantClient


class TestMemory(StoreConformance):
    @pytest.fixture
    def store(self):
        with open_qdrant_store(path=":memory:") as store:
            yield store


class TestFolder(StoreConformance):
    @pytest.fixture
    def arguments(self, tmp_path):
        return {"path": tmp_path / "qdrant"}

    @pytest.fixture
    def store(self, arguments):
        with open_qdrant_store(**arguments) as store:
            yield store

    @pytest.fixture
    def reopen(self, arguments):
        def reopen(store):
            store.close()
            return open_qdrant_store(**arguments)

        return reopen


class TestGrpc(TestFolder):
    """The gRPC transport over a real connection, answered by the in-process engine."""

    @pytest.fixture
    def arguments(self, shared_loopback, collection_name):
        return shared_loopback.arguments(collection_name=collection_name)


@pytest.mark.containers
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
class TestServer(TestFolder):
    """A real server over gRPC."""

    prefer_grpc = True

    @pytest.fixture
    def arguments(self, server_arguments, collection_name):
        yield {**server_arguments, "collection_name": collection_name, "prefer_grpc": self.prefer_grpc}
        client = QdrantClient(
            url=server_arguments["url"], api_key=server_arguments.get("api_key"), check_compatibility=False
        )
        client.delete_collection(collection_name)
        client.close()


class TestServerOverHttp(TestServer):
    """A real server over HTTP alone."""

    prefer_grpc = False
