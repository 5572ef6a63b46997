"""Centroid postings in databases: the candidates of an in-memory computation, kept up to date, and rescored exactly."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kayak
import kayak_centroids
import numpy as np
import numpy.typing as npt
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "kayak-pgvector" / "tests"))
from pg_server import NoServerError, postgres_url

Matrix = npt.NDArray[Any]
Opener = Callable[[], Any]
DIM = 16
MAKING = kayak_centroids.centroid_interaction_candidate_generator(n_probe=4, n_centroids=40)
GENERATOR = kayak_centroids.centroid_postings_candidate_generator(n_probe=4)
THEMES = np.random.default_rng(99).standard_normal((80, DIM))


def topical(seed: int, count: int) -> list[Matrix]:
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(count):
        vectors = THEMES[rng.integers(0, 80, int(rng.integers(2, 9)))]
        vectors = vectors + 0.3 * rng.standard_normal(vectors.shape)
        documents.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return documents


def upsert(store: kayak.LateStore, seed: int, first: int, count: int) -> None:
    numbers = range(first, first + count)
    rows = [{"even": number % 2 == 0, "number": number} for number in numbers]
    store.upsert(kayak.documents([f"d{number}" for number in numbers], topical(seed, count)), metadata=rows)


QUERY = kayak.query(topical(7, 1)[0])


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    try:
        with postgres_url() as url:
            yield url
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["pgvector", "qdrant", "lancedb"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Open the same data again; what was opened before is closed first."""
    arguments: dict[str, Any] = {"path": tmp_path / "store"}
    if request.param == "pgvector":
        import psycopg

        url = request.getfixturevalue("server_url")
        arguments = {"dsn": url, "table_name": "postings"}
        with psycopg.connect(url) as connection:
            for suffix in ("", "_kayak", "_kayak_codebook", "_kayak_postings", "_kayak_pending"):
                connection.execute(f"DROP TABLE IF EXISTS postings{suffix}")
    opened: list[kayak.LateStore] = []

    def again() -> kayak.LateStore:
        while opened:
            opened.pop().close()
        opened.append(kayak.open_store(request.param, **arguments))
        return opened[0]

    yield again
    while opened:
        opened.pop().close()


@pytest.fixture
def store(reopen: Opener) -> Any:
    store = reopen()
    upsert(store, 0, 0, 150)
    return store


def terms_in_memory(store: Any) -> tuple[Matrix, dict[str, set[int]]]:
    """The store's centroids, and the nearest ones of each document's vectors."""
    centroids = store.read_codebook().vectors
    held = {
        doc_id: set((matrix @ centroids.T).argmax(axis=1).tolist())
        for batch in store.documents()
        for doc_id, matrix in zip(batch.doc_ids, batch.token_matrices, strict=True)
    }
    return centroids, held


def expected_scores(store: Any) -> dict[str, float]:
    """The declared score, computed in memory; of documents that hold a probed centroid."""
    centroids, held = terms_in_memory(store)
    scores: dict[str, float] = {}
    imputed = 7 if store.capabilities().postings == "max" else 4  # ranks from 0: 2 · n_probe, or n_probe + 1
    for similarities in QUERY.as_vector_matrix() @ centroids.T:
        order = np.argsort(-similarities, kind="stable")
        gain = {c: float(similarities[c] - similarities[order[imputed]]) for c in order[:4].tolist()}
        for doc_id, terms in held.items():
            gains = [gain[c] for c in terms & gain.keys()]
            if gains:
                total = max(gains) if store.capabilities().postings == "max" else sum(gains)
                scores[doc_id] = scores.get(doc_id, 0.0) + total
    return scores


def candidates(store: Any, k: int = 40, **selection: Any) -> kayak.CandidateStageResult:
    return GENERATOR.generate_in_store(QUERY, store, k=k, **selection)


def test_candidates_are_those_of_the_computation_in_memory(store: Any) -> None:
    report = kayak_centroids.store_centroids(store, MAKING)
    assert report.built_now
    assert (report.document_count, report.unassigned_count, report.rebuild_reason) == (150, 0, None)
    scores = expected_scores(store)
    assert report.posting_count == sum(map(len, terms_in_memory(store)[1].values()))
    everything = candidates(store, 150)
    assert set(everything.candidate_doc_ids) == scores.keys()
    if store.capabilities().postings != "bm25":
        found = {hit.doc_id: hit.score for hit in everything.hits}
        assert found == pytest.approx(scores, rel=1e-4)
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    assert len(set(candidates(store, 40).candidate_doc_ids) & set(ranked[:40])) >= 30
    even = candidates(store, 150, where={"even": True})
    assert set(even.candidate_doc_ids) == {doc_id for doc_id in scores if int(doc_id[1:]) % 2 == 0}
    ids = ranked[10:20]
    assert set(candidates(store, 150, doc_ids=ids).candidate_doc_ids) == set(ids)
    assert set(candidates(store, 5, doc_ids=ids, where={"number": {"$gte": 0}}).candidate_doc_ids) <= set(ids)


def test_a_plan_brings_back_candidates_only_and_scores_them_exactly(store: Any) -> None:
    kayak_centroids.store_centroids(store, MAKING)
    plan = kayak_centroids.centroid_postings_plan(5, 60, n_probe=4)
    result = kayak.search_with_plan(QUERY, store, plan)
    assert result.load_profile is None
    assert result.candidate_index is not None
    assert result.candidate_index.document_count == result.candidate_stage.profile.output_hit_count <= 60
    assert result.candidate_stage.profile.stage_name == "centroid_postings"
    assert "40 centroids" in str(result.candidate_stage.profile.preparation)
    exact = kayak.search(QUERY, store.load_index(), k=5)
    assert result.hits[0] == exact[0]
    chosen = kayak.search_with_plan(QUERY, store, plan, where={"even": False})
    assert all(int(hit.doc_id[1:]) % 2 for hit in chosen.hits)


def test_what_was_written_since_is_a_candidate_and_then_posted(store: Any, reopen: Opener) -> None:
    kayak_centroids.store_centroids(store, MAKING)
    upsert(store, 7, 150, 1)  # the query's own document
    upsert(store, 2, 0, 3)
    store.delete(["d5"])
    best = kayak.search(QUERY, store.load_index(), k=1)[0]
    assert best.doc_id == "d150"
    result = kayak.search_with_plan(QUERY, store, kayak_centroids.centroid_postings_plan(1, 20))
    assert result.hits[0] == best
    assert any("4 selected documents have no postings" in note for note in result.candidate_stage.profile.notes)
    assert "d5" not in candidates(store, 150).candidate_doc_ids
    again = reopen()
    report = kayak_centroids.store_centroids(again, MAKING)
    assert not report.built_now
    assert (report.document_count, report.unassigned_count) == (150, 0)
    assert report.posting_count < 40
    found = candidates(again, 150)
    assert set(found.candidate_doc_ids) == expected_scores(again).keys()
    assert not any("no postings" in note for note in found.profile.notes)


def test_a_rebuild_replaces_the_centroids_also_for_those_who_search(store: Any) -> None:
    kayak_centroids.store_centroids(store, MAKING)
    candidates(store)
    other = kayak_centroids.centroid_interaction_candidate_generator(n_centroids=30, seed=3)
    with pytest.raises(kayak.InvalidInputError, match="rebuild=True"):
        kayak_centroids.store_centroids(store, other)
    report = kayak_centroids.store_centroids(store, other, rebuild=True)
    assert report.built_now
    assert report.centroid_count == len(store.read_codebook().vectors) == 30
    assert set(candidates(store, 150).candidate_doc_ids) == expected_scores(store).keys()


def test_growth_and_drift_are_reported(store: Any) -> None:
    report = kayak_centroids.store_centroids(store, MAKING)
    assert 0.5 < report.mean_cosine <= 1.0
    rng = np.random.default_rng(5)
    odd = rng.standard_normal((8, 3, DIM))
    store.upsert(kayak.documents([f"odd{i}" for i in range(8)], odd / np.linalg.norm(odd, axis=2, keepdims=True)))
    drifted = kayak_centroids.store_centroids(store, MAKING)
    assert "has fallen" in str(drifted.rebuild_reason)
    upsert(store, 8, 200, 500)
    assert "has grown" in str(kayak_centroids.store_centroids(store, MAKING).rebuild_reason)


def test_without_centroids_the_error_says_how_to_make_them(reopen: Opener) -> None:
    store = reopen()
    with pytest.raises(kayak.UnsupportedOperationError, match="store_centroids"):
        candidates(store)
    with pytest.raises(kayak.EmptySelectionError):
        kayak_centroids.store_centroids(store, MAKING)
    upsert(store, 0, 0, 5)
    with pytest.raises(kayak.UnsupportedOperationError, match="store_centroids"):
        candidates(store)
    kayak_centroids.store_centroids(store, MAKING)
    with pytest.raises(kayak.InvalidInputError, match="dimension 3"):
        GENERATOR.generate_in_store(kayak.query([[1.0, 0.0, 0.0]]), store, k=2)
    store.write_codebook(kayak.Codebook(np.ones((2, DIM)), {"kind": "other"}))
    with pytest.raises(kayak.StoreVersionError, match="'other'"):
        kayak_centroids.store_centroids(store, MAKING)
    assert kayak_centroids.store_centroids(store, MAKING, rebuild=True).document_count == 5


def test_other_corpora_are_refused() -> None:
    with kayak.MemoryLateStore() as store:
        with pytest.raises(kayak.UnsupportedOperationError, match="keeps no postings"):
            candidates(store)
        upsert(store, 0, 0, 2)
        with pytest.raises(kayak.UnsupportedOperationError, match="is a LateIndex"):
            kayak.generate_candidates(QUERY, store.load_index(), GENERATOR, k=2)
    assert kayak.open_candidate_generator("centroid_postings", n_probe=3).n_probe == 3
    with pytest.raises(kayak.InvalidInputError):
        kayak_centroids.centroid_postings_candidate_generator(n_probe=0)


def test_somebody_else_who_replaces_the_centroids_is_noticed(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kayak_centroids.store_centroids(store, MAKING)
    candidates(store)
    seeds = iter(range(100))

    def replaced_first(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            book = store.read_codebook()
            store.write_codebook(kayak.Codebook(book.vectors, {**book.facts, "replaced": next(seeds)}))
            return method(*arguments, **options)

        return call

    for name, use in (
        ("search_postings", lambda: candidates(store)),
        ("write_postings", lambda: kayak_centroids.store_centroids(store, MAKING)),
    ):
        upsert(store, 3, 0, 2)
        with monkeypatch.context() as patched:
            patched.setattr(store, name, replaced_first(getattr(store, name)))
            with pytest.raises(kayak.StoreBusyError, match="replaced"):
                use()
    kayak_centroids.store_centroids(store, MAKING)
    assert set(candidates(store, 150).candidate_doc_ids) == expected_scores(store).keys()
