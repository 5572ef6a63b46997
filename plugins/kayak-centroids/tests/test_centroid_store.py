"""Structures kept beside a store's documents: found again, extended, merged, refused where they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kayak
import kayak_centroids
import numpy as np
import numpy.typing as npt
import pytest
from kayak_centroids import CentroidInteraction, store_centroids
from kayak_centroids.stored import artifact_name

Matrix = npt.NDArray[Any]
DIM = 16
GENERATOR = CentroidInteraction(n_probe=4, n_centroids=40)
NAME = artifact_name(GENERATOR.build_parameters)


def topical(seed: int, count: int, *, noise: float = 0.4) -> list[Matrix]:
    themes = np.random.default_rng(99).standard_normal((80, DIM)) / np.sqrt(DIM)
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(count):
        vectors = themes[rng.integers(0, 80, int(rng.integers(2, 9)))]
        vectors = vectors + noise / np.sqrt(DIM) * rng.standard_normal(vectors.shape)
        documents.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return documents


def upsert(store: kayak.LateStore, seed: int, first: int, count: int) -> None:
    ids = [f"d{i}" for i in range(first, first + count)]
    store.upsert(
        kayak.documents(ids, topical(seed, count)), metadata=[{"even": i % 2 == 0} for i in range(first, first + count)]
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[kayak.DirectoryLateStore]:
    with kayak.DirectoryLateStore(tmp_path / "store") as store:
        upsert(store, 0, 0, 200)
        yield store


def found(index: kayak.LateIndex, seed: int = 7, k: int = 50) -> kayak.CandidateStageResult:
    query = kayak.query(topical(seed, 1)[0])
    return kayak.generate_candidates(query, index, GENERATOR, k=k)


def test_what_is_stored_is_used_and_gives_what_was_built(store: kayak.DirectoryLateStore) -> None:
    built = found(store.load_index())
    assert "the store keeps no centroids of these parameters" in built.profile.notes[1]
    report = store_centroids(store, GENERATOR)
    assert report.built_now
    assert report.document_count == 200
    assert report.rebuild_reason is None
    with kayak.DirectoryLateStore(store.path, read_only=True) as again:
        taken = found(again.load_index())
    assert "the store keeps centroids and lists of 200 of 200 documents" in taken.profile.notes
    np.testing.assert_array_equal(taken.scores.values, built.scores.values)
    assert taken.hits == built.hits
    assert taken.profile.preparation == built.profile.preparation
    # What opening read is the structure, not the vectors.
    assert taken.profile.bytes_read < built.profile.bytes_read
    assert not store_centroids(store, GENERATOR).built_now
    other = kayak.generate_candidates(
        kayak.query(topical(7, 1)[0]), store.load_index(), CentroidInteraction(seed=5), k=5
    )
    assert "the store keeps no centroids of these parameters" in " ".join(other.profile.notes)


def test_documents_written_since_are_assigned_and_then_kept(store: kayak.DirectoryLateStore) -> None:
    store_centroids(store, GENERATOR)
    upsert(store, 1, 200, 10)
    upsert(store, 2, 0, 5)
    index = store.load_index()
    attached = found(index)
    assert "15 documents were assigned to the stored centroids" in " ".join(attached.profile.notes)
    assert "195 of 210 documents" in " ".join(attached.profile.notes)
    report = store_centroids(store, GENERATOR)
    assert not report.built_now
    kept = found(store.load_index())
    assert "210 of 210 documents" in " ".join(kept.profile.notes)
    assert "were assigned" not in " ".join(kept.profile.notes)
    np.testing.assert_array_equal(kept.scores.values, attached.scores.values)
    # The definition: the same centroids, every document assigned to them.
    packed = kayak.packed_index(index.doc_ids, index.doc_offsets, index.as_packed_token_matrix())
    query = kayak.query(topical(7, 1)[0]).as_vector_matrix().astype(np.float64)
    centroids = store.artifacts.read(NAME)[0].arrays["centroids"].astype(np.float64)
    for number in range(0, packed.document_count, 7):
        held = (packed.document_token_matrix(number).astype(np.float64) @ centroids.T).argmax(axis=1)
        similarities = query @ centroids.T
        ranked = np.argsort(-similarities, axis=1, kind="stable")
        probed = [set(row[:4].tolist()) & set(held.tolist()) for row in ranked]
        best = [
            max([row[order[:8][-1]], *(row[c] for c in some)])
            for row, order, some in zip(similarities, ranked, probed, strict=True)
        ]
        assert kept.scores.values[number] == pytest.approx(sum(best), abs=1e-5)


def test_deleted_and_replaced_documents_are_gone(store: kayak.DirectoryLateStore) -> None:
    store_centroids(store, GENERATOR)
    store.delete([f"d{i}" for i in range(0, 200, 2)])
    index = store.load_index()
    result = found(index, k=200)
    assert set(result.candidate_doc_ids) == {f"d{i}" for i in range(1, 200, 2)}
    assert "100 of 100 documents" in " ".join(result.profile.notes)
    store.delete([f"d{i}" for i in range(1, 60, 2)])  # now more than half of what is listed is gone
    store_centroids(store, GENERATOR)
    lists = store.artifacts.read(NAME)[1]
    assert len(lists.arrays["keys"]) == 70
    assert (
        found(store.load_index(), k=3).candidate_doc_ids
        == tuple(doc_id for doc_id in result.candidate_doc_ids if int(doc_id[1:]) > 59)[:3]
    )


def test_filters_and_ids_use_what_is_stored(store: kayak.DirectoryLateStore) -> None:
    store_centroids(store, GENERATOR)
    plan = kayak.SearchPlan(
        GENERATOR,
        kayak.exact_late_interaction_stage2_reference_operator(),
        kayak.none_stage3_verifier_operator(),
        20,
        20,
    )
    query = kayak.query(topical(7, 1)[0])
    everything = found(store.load_index(), k=200)
    result = kayak.search_with_plan(query, store, plan, where={"even": True})
    assert "100 of 100 documents" in " ".join(result.candidate_stage.profile.notes)
    even = tuple(doc_id for doc_id in everything.candidate_doc_ids if int(doc_id[1:]) % 2 == 0)
    assert result.candidate_stage.candidate_doc_ids == even[:20]
    result = kayak.search_with_plan(query, store, plan, doc_ids=["d9", "d3"])
    assert set(result.candidate_stage.candidate_doc_ids) == {"d3", "d9"}


def test_many_small_upserts_stay_few_pieces_and_lose_little(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        upsert(store, 0, 0, 400)
        store_centroids(store, GENERATOR)
        for number in range(60):
            upsert(store, 100 + number, 400 + 10 * number, 10)
            report = store_centroids(store, GENERATOR)
            assert not report.built_now
        parts = store.artifacts.read(NAME)
        assert len(parts) <= 8
        assert sum(len(part.arrays["keys"]) for part in parts[1:]) == 1000
        extended = store.load_index()
        fresh = kayak.packed_index(extended.doc_ids, extended.doc_offsets, extended.as_packed_token_matrix())

        def recall(index: kayak.LateIndex) -> float:
            overlap = 0
            for seed in range(60):
                query = kayak.query(topical(1000 + seed, 1)[0])
                best = {hit.doc_id for hit in kayak.search(query, index, k=10)}
                overlap += len(best & set(found(index, 1000 + seed, k=100).candidate_doc_ids))
            return overlap / 600

        assert recall(extended) >= recall(fresh) - 0.02


def test_centroids_that_no_longer_serve_are_reported(store: kayak.DirectoryLateStore) -> None:
    store_centroids(store, GENERATOR)
    upsert(store, 1, 200, 700)
    reason = store_centroids(store, GENERATOR).rebuild_reason
    assert reason is not None
    assert "has grown from" in reason
    report = store_centroids(store, GENERATOR, rebuild=True)
    assert report.built_now
    assert report.rebuild_reason is None
    rng = np.random.default_rng(3)
    strange = [
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in rng.standard_normal((900, 5, DIM))
    ]
    store.upsert(kayak.documents([f"s{i}" for i in range(900)], strange))
    report = store_centroids(store, GENERATOR)
    assert report.rebuild_reason is not None
    assert "mean cosine" in report.rebuild_reason


def test_damage_is_an_error_and_a_rebuild_repairs_it(store: kayak.DirectoryLateStore) -> None:
    store_centroids(store, GENERATOR)
    expected = found(store.load_index()).hits
    for file in (store.path / "artifacts").iterdir():
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    with kayak.DirectoryLateStore(store.path) as again:
        with pytest.raises(kayak.StoreCorruptError, match="does not match its checksum"):
            found(again.load_index())
        with pytest.raises(kayak.StoreCorruptError):
            store_centroids(again, GENERATOR)
        store_centroids(again, GENERATOR, rebuild=True)
        assert found(again.load_index()).hits == expected


def test_another_format_is_refused(store: kayak.DirectoryLateStore) -> None:
    store.artifacts.write(NAME, [kayak.ArtifactPart({"format": 2}, {})])
    with pytest.raises(kayak.StoreVersionError, match="has format 2"):
        found(store.load_index())
    with pytest.raises(kayak.StoreVersionError, match="rebuild=True"):
        store_centroids(store, GENERATOR)
    assert store_centroids(store, GENERATOR, rebuild=True).built_now
    assert "200 of 200" in " ".join(found(store.load_index()).profile.notes)


def test_stores_that_keep_nothing_say_so() -> None:
    with kayak.open_store("memory") as store:
        upsert(store, 0, 0, 20)
        with pytest.raises(kayak.UnsupportedOperationError, match="keeps no structures beside its documents"):
            store_centroids(store, GENERATOR)
        assert len(found(store.load_index()).profile.notes) == 1


def test_empty_closed_and_read_only_stores(store: kayak.DirectoryLateStore, tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "empty") as empty, pytest.raises(kayak.EmptySelectionError):
        store_centroids(empty, GENERATOR)
    with (
        kayak.DirectoryLateStore(store.path, read_only=True) as reader,
        pytest.raises(kayak.UnsupportedOperationError, match="read_only"),
    ):
        store_centroids(reader, GENERATOR)
    index = store.load_index()
    store.close()
    assert "the store is closed" in " ".join(found(index).profile.notes)


def test_batches_over_several_pieces(store: kayak.DirectoryLateStore) -> None:
    store_centroids(store, GENERATOR)
    upsert(store, 1, 200, 30)
    index = store.load_index()
    plan = kayak_centroids.centroid_search_plan(5, 20, n_probe=4, n_centroids=40)
    queries = [topical(seed, 1)[0] for seed in (7, 8, 9)]
    for vectors, together in zip(
        queries, kayak.search_batch_with_plan(kayak.query_batch(queries), index, plan), strict=True
    ):
        assert together.hits == kayak.search_with_plan(kayak.query(vectors), index, plan).hits
