"""Postings in Qdrant: the promises of the conformance suite, wherever Qdrant runs."""

from __future__ import annotations

import kayak
import numpy as np
import pytest
from kayak.testing import PostingsConformance
from kayak_qdrant import codebooks, reading
from kayak_qdrant.plugin import open_qdrant_store
from qdrant_client import QdrantClient, models


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


def book(seed: int = 0) -> kayak.Codebook:
    return kayak.Codebook(np.random.default_rng(seed).standard_normal((5, 4)))


def write(store: kayak.LateStore, *doc_ids: str) -> None:
    store.upsert(kayak.documents(list(doc_ids), np.ones((len(doc_ids), 2, 4))))


def postings(seen: kayak.UnpostedDocuments, term: int = 0) -> kayak.DocumentPostings:
    count = seen.documents.document_count
    return kayak.DocumentPostings(
        seen.documents.doc_ids, seen.revisions, np.arange(count + 1), np.full(count, term, np.int32)
    )


@pytest.mark.parametrize("moment", ["set_payload", "update_vectors", "scroll"])
@pytest.mark.parametrize("change", ["replaced", "deleted", "posted"])
def test_a_server_takes_no_terms_of_what_changes_between_two_requests(loopback, monkeypatch, moment, change):
    """Whatever another writer does between the requests of a write, no document has terms of other vectors."""
    with open_qdrant_store(**loopback.arguments()) as store, open_qdrant_store(**loopback.arguments()) as other:
        write(store, "a", "b")
        codebook = book()
        store.write_codebook(codebook)
        seen = next(iter(store.unposted_documents(codebook.identity)))
        original = getattr(loopback.engine, moment)
        changes = {
            "replaced": lambda: write(other, "a"),
            "deleted": lambda: other.delete(["a"]),
            "posted": lambda: other.write_postings(codebook.identity, postings(seen, term=3)),
        }
        pending = [change]

        def changed_first(*arguments, **options):
            if pending:
                loopback._lock.release()  # the other writer's requests are answered meanwhile
                try:
                    changes[pending.pop()]()
                finally:
                    loopback._lock.acquire()
            return original(*arguments, **options)

        monkeypatch.setattr(loopback.engine, moment, changed_first)
        store.write_postings(codebook.identity, postings(seen))
        monkeypatch.undo()
        unposted = [doc_id for each in store.unposted_documents(codebook.identity) for doc_id in each.documents.doc_ids]
        records, _ = loopback.engine.scroll(store._connection.collection_name, with_payload=True, with_vectors=True)
        for record in records:
            terms = record.vector["terms"].indices if "terms" in record.vector else []
            if record.payload["id"] not in unposted:
                assert terms in ([0], [3])
                assert record.payload["posted"] == codebook.identity
        if change == "replaced":
            assert unposted in (["a"], ["a", "b"])
        for each in store.unposted_documents(codebook.identity):
            assert store.write_postings(codebook.identity, postings(each)) == each.documents.document_count
        assert store.postings_stats().unposted_document_count == 0


def test_a_collection_without_sparse_vectors_is_refused():
    client = QdrantClient(":memory:")
    params = models.VectorParams(
        size=4,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
    )
    client.create_collection("late_documents", vectors_config={"tokens": params})
    with open_qdrant_store(client=client, collection_name="late_documents") as store:
        write(store, "a")
        with pytest.raises(kayak.StoreSchemaError, match=r"no sparse vectors named 'terms'.*copy_store"):
            store.write_codebook(book())
    client.close()


def test_a_collection_whose_codebook_would_have_too_long_a_name_is_refused():
    with open_qdrant_store(path=":memory:", collection_name="n" * 250) as store:
        write(store, "a")
        with pytest.raises(kayak.InvalidInputError, match="shorter collection_name"):
            store.write_codebook(book())


def test_large_codebooks_are_kept_in_parts_and_damage_is_noticed(monkeypatch):
    monkeypatch.setattr(codebooks, "_PART_BYTES", 30)
    with open_qdrant_store(path=":memory:") as store:
        write(store, "a")
        for seed in (0, 1):
            store.write_codebook(book(seed))
            assert store.read_codebook().identity == book(seed).identity
        client, name = store._connection.client, f"{store._connection.collection_name}-kayak-codebook"
        assert client.count(name).count == -(-len(book().data) // 30) + 1
        client.delete(
            name, models.FilterSelector(filter=models.Filter(must=[reading.field_is("of", book(1).identity)]))
        )
        with pytest.raises(kayak.StoreCorruptError, match="codebook"):
            store.read_codebook()


def test_a_codebook_that_is_replaced_while_it_is_read_is_read_again(monkeypatch):
    with open_qdrant_store(path=":memory:") as store:
        write(store, "a")
        store.write_codebook(book(0))
        shelf = store.postings._codebooks
        parts = shelf._parts
        seeds = [1]

        def replaced_first(identity):
            if seeds:
                store.write_codebook(book(seeds.pop()))
            return parts(identity)

        monkeypatch.setattr(shelf, "_parts", replaced_first)
        assert store.read_codebook().identity == book(1).identity
        seeds += [2, 3, 4]
        with pytest.raises(kayak.StoreBusyError, match="replaced 3 times"):
            store.read_codebook()
