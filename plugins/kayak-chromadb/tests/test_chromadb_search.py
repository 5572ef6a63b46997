"""Candidates by pooled vectors, large selections, and records as other tools see them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import chromadb
import kayak
import numpy as np
import pytest
from kayak_chromadb import store as store_module
from kayak_chromadb.plugin import open_chroma_store
from kayak_chromadb.records import pooled
from kayak_chromadb.store import ChromaLateStore

DIM = 16


@pytest.fixture
def store() -> Iterator[ChromaLateStore]:
    with open_chroma_store(path=":memory:") as store:
        yield store


def scattered(count: int) -> kayak.LateDocuments:
    random = np.random.default_rng(3)
    matrices = [random.standard_normal((4, DIM)) + random.standard_normal(DIM) for _ in range(count)]
    return kayak.documents([f"d{n}" for n in range(count)], matrices)


def test_scores_are_cosines_of_pooled_vectors(store: ChromaLateStore) -> None:
    documents = scattered(40)
    store.upsert(documents)
    query = kayak.query(np.random.default_rng(4).standard_normal((5, DIM)))
    found = store.search_candidates(query, k=40)
    expected = {
        doc_id: float(pooled(matrix) @ pooled(query.as_vector_matrix()))
        for doc_id, matrix in zip(documents.doc_ids, documents.token_matrices, strict=True)
    }
    assert {hit.doc_id: hit.score for hit in found.hits} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("values", [3e38, 1e-44, 0.0])
def test_extreme_vectors_are_pooled_within_float32(store: ChromaLateStore, values: float) -> None:
    store.upsert(kayak.documents(["a", "b"], [np.full((3, DIM), values), np.full((1, DIM), -values)]))
    found = store.search_candidates(kayak.query(np.full((1, DIM), 1.0)), k=2)
    assert sorted(hit.score for hit in found.hits) == pytest.approx([-1, 1] if values else [0, 0], abs=1e-5)


def test_what_the_index_leaves_out_is_compared_and_said(store: ChromaLateStore) -> None:
    """An HNSW graph over equal vectors falls apart, and gives fewer than were asked for."""
    count = 1_000
    store.upsert(kayak.documents([f"d{n}" for n in range(count)], [np.ones((1, DIM))] * count))
    query = kayak.query(np.ones((1, DIM)))
    found = store.search_candidates(query, k=count)
    assert len({hit.doc_id for hit in found.hits}) == count
    assert any("left out" in note for note in found.profile.notes)
    some = [f"d{n}" for n in range(0, count, 2)]
    assert set(store.search_candidates(query, k=count, doc_ids=[*some, "unknown"]).candidate_doc_ids) == set(some)


def test_more_ids_than_one_request_takes(store: ChromaLateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MOST_ROWS", 7)
    store.upsert(scattered(30), metadata=[{"n": n} for n in range(30)])
    query = kayak.query(np.random.default_rng(4).standard_normal((5, DIM)))
    ids = [f"d{n}" for n in range(29, -1, -1)]
    everything = store.search_candidates(query, k=10)
    assert store.search_candidates(query, k=10, doc_ids=ids).candidate_doc_ids == everything.candidate_doc_ids
    assert store.load_index(doc_ids=ids).doc_ids == tuple(ids)
    assert store.load_index(doc_ids=ids, where={"n": {"$lt": 3}}).doc_ids == ("d2", "d1", "d0")
    assert store.stats().total_vector_count == 120


def test_reading_keeps_batches_small(store: ChromaLateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_FIRST_READ_ROWS", 2)
    monkeypatch.setattr(store_module, "_READ_BYTES", 800)  # three documents of 256 bytes
    monkeypatch.setattr(store_module, "_WRITE_BYTES", 1_000)
    store.upsert(scattered(11))
    sizes = [batch.document_count for batch in store.read_batches(kayak.StoreSelection())]
    assert sizes == [2, 3, 3, 3]


def test_a_native_plan_reads_only_its_candidates(store: ChromaLateStore) -> None:
    documents = scattered(50)
    store.upsert(documents)
    query = kayak.query(documents.token_matrices[17])
    result = kayak.search_with_plan(query, store, kayak.store_native_search_plan(3, 10))
    assert result.hits[0].doc_id == "d17"
    assert result.stage2.document_count == 10
    exact = kayak.search(query, documents.pack(), k=3)
    assert result.hits[0].score == pytest.approx(exact[0].score)


def test_other_tools_see_plain_records() -> None:
    """Text, plain metadata and a unit vector: what Chroma's own queries work on."""
    with chromadb.EphemeralClient() as client:
        name = f"c-{uuid.uuid4().hex}"
        with open_chroma_store(client=client, collection_name=name) as store:
            batch = kayak.documents(["a"], [np.ones((2, 4))], texts=["thin wings"])
            store.upsert(batch, metadata=[{"year": 1959}])
            collection = client.get_collection(name, embedding_function=None)
            found = collection.get(where={"year": 1959}, include=["documents", "embeddings", "metadatas"])
            assert found["documents"] == ["thin wings"]
            assert found["metadatas"][0]["year"] == 1959
            assert np.linalg.norm(found["embeddings"][0]) == pytest.approx(1)
