"""Postings in Qdrant: the promises of the conformance suite, wherever Qdrant runs."""

from __future__ import annotations

import pytest
from kayak.testing import PostingsConformance
from kayak_qdrant.plugin import open_qdrant_store


class TestMemory(PostingsConformance):
    @pytest.fixture
    def store(self):
        with open_qdrant_store(path=":memory:") as store:
            yield store


class TestFolder(PostingsConformance):
    examples = 9

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
    """The requests that a server gets, over a real connection, answered by the in-process engine."""

    @pytest.fixture
    def arguments(self, shared_loopback, collection_name):
        return shared_loopback.arguments(collection_name=collection_name)


@pytest.mark.containers
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
class TestServer(TestFolder):
    """A real server over gRPC."""

    @pytest.fixture
    def arguments(self, server_arguments, collection_name):
        return {**server_arguments, "collection_name": collection_name, "prefer_grpc": True}
