"""Scores against their definition, what is built, who shares it, and inputs that are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kayak
import kayak_centroids
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kayak_centroids import CentroidInteraction, centroid_interaction_candidate_generator, centroid_search_plan
from kayak_centroids.tokens import stream_tokens

Matrix = npt.NDArray[Any]


def unit(matrix: Matrix) -> Matrix:
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(lengths > 0.0, lengths, 1.0)


def topical(seed: int, count: int, dim: int = 24, *, topics: int = 12, noise: float = 0.5) -> list[Matrix]:
    """Documents of a few topics each, as texts have."""
    rng = np.random.default_rng(seed)
    themes = unit(rng.standard_normal((topics, dim)))
    documents = []
    for _ in range(count):
        chosen = themes[rng.integers(0, topics, int(rng.integers(1, 12)))]
        documents.append(unit(chosen + noise / np.sqrt(dim) * rng.standard_normal(chosen.shape)))
    return documents


def index_of(matrices: Sequence[Matrix]) -> kayak.LateIndex:
    return kayak.documents([f"d{i}" for i in range(len(matrices))], list(matrices)).pack()


def by_definition(generator: CentroidInteraction, index: kayak.LateIndex, vectors: Matrix) -> npt.NDArray[np.float64]:
    """Centroid interaction with imputed similarities, one document and one query vector after the other."""
    executor = kayak.find_executor(kayak.NUMPY_REFERENCE_BACKEND)
    centroids = generator.prepare(index, executor).value.structure.centroids.astype(np.float64)
    scores = np.zeros(index.document_count)
    for number in range(index.document_count):
        held = {int(np.argmax(centroids @ vector)) for vector in index.document_token_matrix(number)}
        for vector in vectors.astype(np.float64):
            similarities = centroids @ vector
            ranked = np.argsort(-similarities, kind="stable")
            probed = ranked[: generator.n_probe]
            imputed = similarities[ranked[: 2 * generator.n_probe][-1]]
            scores[number] += max([imputed, *(similarities[c] for c in probed if int(c) in held)])
    return scores


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 9), st.integers(1, 30), st.integers(1, 6))
def test_scores_are_those_of_the_definition(seed: int, count: int, probes: int, centroids: int, length: int) -> None:
    index = index_of(topical(seed, count))
    generator = centroid_interaction_candidate_generator(n_probe=probes, n_centroids=centroids, seed=seed % 7)
    vectors = unit(np.random.default_rng(seed + 1).standard_normal((length, 24))).astype(np.float32)
    found = kayak.generate_candidates(kayak.query(vectors), index, generator, k=count)
    np.testing.assert_allclose(found.scores.values, by_definition(generator, index, vectors), atol=2e-5)


def test_a_plan_finds_the_exact_ranking_and_says_what_it_touched() -> None:
    index = index_of(topical(5, 400, topics=300))
    plan = centroid_search_plan(10, 60, n_probe=8, n_centroids=300)
    hits = 0
    for number in range(20):
        vectors = index.document_token_matrix(number) + 0.05
        query = kayak.query(vectors)
        result = kayak.search_with_plan(query, index, plan)
        exact = kayak.search(query, index, k=10)
        hits += len({hit.doc_id for hit in result.hits} & {hit.doc_id for hit in exact})
        profile = result.candidate_stage.profile
        assert profile.document_count == 400
        assert profile.query_vector_count == len(vectors)
        assert profile.executor is None  # NumPy's own arithmetic, not the executor's
        read, held = (int(word) for word in profile.notes[0].split() if word.isdigit())
        assert 0 < read < held * len(vectors)
        structure = plan.candidate_generator.prepare(index, kayak.find_executor("numpy_reference")).value.structure  # type: ignore[attr-defined]  # ours
        loaded = index.vector_byte_size if number == 0 else 0
        assert profile.bytes_read == structure.centroids.nbytes + 4 * read + loaded
        assert profile.preparation is not None
        assert f"{held} postings of 400 documents" in profile.preparation
        assert (profile.preparation_seconds > 0.0) == (number == 0)
    assert hits >= 175


def test_more_probes_read_more_and_find_more() -> None:
    index = index_of(topical(6, 600, noise=1.5, topics=60))
    queries = [kayak.query(index.document_token_matrix(i) + 0.1) for i in range(30)]
    exact = [kayak.search(query, index, k=10) for query in queries]

    def measured(probes: int) -> tuple[int, int]:
        generator = centroid_interaction_candidate_generator(n_probe=probes)
        found = [kayak.generate_candidates(query, index, generator, k=40) for query in queries]
        overlap = sum(
            len(set(one.candidate_doc_ids) & {hit.doc_id for hit in best})
            for one, best in zip(found, exact, strict=True)
        )
        return overlap, sum(one.profile.bytes_read for one in found[1:])

    few, many = measured(1), measured(12)
    assert many[0] > few[0]
    assert many[1] > few[1]


def test_a_plan_is_tuned_over_probes_and_windows() -> None:
    index = index_of(topical(16, 300, topics=60))
    queries = [kayak.query(index.document_token_matrix(i) + 0.02) for i in range(120)]
    generators = [centroid_interaction_candidate_generator(n_probe=probes, n_centroids=64) for probes in (1, 4, 16)]
    tuned = kayak.tune_plan(
        index, queries, recall_target=0.8, k=5, generators=generators, candidate_ks=(5, 20, 80, 160)
    )
    assert len(tuned.points) == 12
    assert tuned.plan is not None
    assert tuned.plan.candidate_generator in generators
    assert tuned.plan.candidate_k < 160
    chosen = [point for point in tuned.points if point.candidate_k == 20]
    few, some, many = (point.dot_products_per_query for point in chosen)
    lengths = sum(query.vector_count for query in queries) / len(queries)
    assert 64 * lengths * 0.8 < few < some < many  # centroids are compared by all, and more probes read more postings
    assert tuned.evaluation is not None


def test_equal_similarities_rank_by_the_lower_centroid() -> None:
    index = index_of([axis[np.newaxis] for axis in np.eye(8)])
    executor = kayak.find_executor(kayak.NUMPY_REFERENCE_BACKEND)
    prepared = CentroidInteraction(n_centroids=8).prepare(index, executor).value
    queries = np.array([np.zeros(8), np.eye(8)[2] + np.eye(8)[5], np.eye(8)[7]], dtype=np.float32)
    for count in (1, 3, 7, 8):
        probed, similarities = prepared.kernels.probe(queries, count)
        products = queries @ prepared.structure.centroids.T
        ranked = np.argsort(-products, axis=1, kind="stable")[:, :count]
        np.testing.assert_array_equal(probed, ranked)
        np.testing.assert_array_equal(similarities, np.take_along_axis(products, ranked, axis=1))


def test_equal_seeds_give_equal_centroids_and_others_do_not() -> None:
    matrices = topical(7, 80)
    executor = kayak.find_executor(kayak.NUMPY_REFERENCE_BACKEND)
    first, again, other = (
        CentroidInteraction(seed=seed, n_centroids=20).prepare(index_of(matrices), executor).value.structure
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.centroids, again.centroids)
    np.testing.assert_array_equal(first.parts[0].lists.documents, again.parts[0].lists.documents)
    assert not np.array_equal(first.centroids, other.centroids)


def test_generators_that_differ_in_probes_share_what_is_built() -> None:
    index = index_of(topical(8, 50))
    query = kayak.query(np.ones((2, 24)))
    kayak.generate_candidates(query, index, CentroidInteraction(n_probe=2), k=5)
    second = kayak.generate_candidates(query, index, CentroidInteraction(n_probe=3), k=5)
    assert second.profile.preparation_seconds == 0.0
    third = kayak.generate_candidates(query, index, CentroidInteraction(n_probe=3, seed=9), k=5)
    assert third.profile.preparation_seconds > 0.0


def test_lists_hold_each_document_once_in_order() -> None:
    index = index_of(topical(9, 120))
    executor = kayak.find_executor(kayak.NUMPY_REFERENCE_BACKEND)
    structure = CentroidInteraction(n_centroids=10).prepare(index, executor).value.structure
    lists = structure.parts[0].lists
    np.testing.assert_allclose(np.linalg.norm(structure.centroids, axis=1), 1.0, rtol=1e-5)
    for centroid in range(len(structure.centroids)):
        listed = lists.documents[lists.offsets[centroid] : lists.offsets[centroid + 1]]
        assert (np.diff(listed) > 0).all()
    nearest = [
        {int(i) for i in (index.document_token_matrix(n) @ structure.centroids.T).argmax(axis=1)} for n in range(120)
    ]
    assert sum(map(len, nearest)) == len(lists.documents)


def test_a_batch_gives_what_its_queries_give_alone() -> None:
    index = index_of(topical(10, 150))
    plan = centroid_search_plan(5, 20, n_probe=3)
    queries = [index.document_token_matrix(i) for i in (3, 9, 77)]
    results = kayak.search_batch_with_plan(kayak.query_batch(queries), index, plan)
    assert results[0].candidate_stage.profile.preparation_seconds > 0.0
    assert results[1].candidate_stage.profile.preparation_seconds == 0.0
    for vectors, result in zip(queries, results, strict=True):
        alone = kayak.search_with_plan(kayak.query(vectors), index, plan)
        assert [hit.doc_id for hit in result.hits] == [hit.doc_id for hit in alone.hits]
        np.testing.assert_allclose(result.candidate_stage.scores.values, alone.candidate_stage.scores.values, atol=1e-5)
        assert result.candidate_stage.profile.notes == alone.candidate_stage.profile.notes


def test_large_batches_are_scored_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(topical(10, 50))
    batch = kayak.query_batch([index.document_token_matrix(i) for i in range(7)])
    plan = centroid_search_plan(5, 20, n_probe=3)
    whole = kayak.search_batch_with_plan(batch, index, plan)
    monkeypatch.setattr("kayak_centroids.generator._BATCH_BYTES", 2 * 4 * 50)
    pieces = kayak.search_batch_with_plan(batch, index, plan)
    assert [result.hits for result in pieces] == [result.hits for result in whole]


def test_filters_and_ids_restrict_before_the_window_is_cut() -> None:
    matrices = topical(11, 90)
    with kayak.open_store("memory") as store:
        ids = [f"d{i}" for i in range(90)]
        store.upsert(kayak.documents(ids, matrices), metadata=[{"even": i % 2 == 0} for i in range(90)])
        plan = centroid_search_plan(10, 10, n_probe=4)
        query = kayak.query(matrices[1])
        result = kayak.search_with_plan(query, store, plan, where={"even": True})
        assert len(result.hits) == 10
        assert all(int(hit.doc_id[1:]) % 2 == 0 for hit in result.hits)
        result = kayak.search_with_plan(query, store, plan, doc_ids=["d5", "d1", "d80"])
        assert {hit.doc_id for hit in result.hits} == {"d5", "d1", "d80"}


def test_codes_are_decoded_before_they_are_compared() -> None:
    """An index of int8 is read as the values that its codes stand for, in every step."""
    rng = np.random.default_rng(31)
    matrices = [unit(rng.standard_normal((int(rng.integers(1, 20)), 16))) for _ in range(60)]
    small = kayak.documents([f"d{i}" for i in range(60)], matrices).pack().to_vector_dtype("int8")
    chosen = small.take(rng.permutation(60)[:50])
    for codes in (small, chosen):
        values = codes.to_vector_dtype("float32")
        for chunk in stream_tokens(codes):
            expected = [codes.document_token_matrix(number) for number in chunk.documents.tolist()]
            assert chunk.vectors.dtype == np.float32
            assert (chunk.vectors == np.concatenate(expected)).all()
        query = kayak.query(matrices[7])
        for generator in (CentroidInteraction(n_centroids=32, iterations=2), CentroidInteraction(n_centroids=900)):
            ours, theirs = (kayak.generate_candidates(query, each, generator, k=20) for each in (codes, values))
            assert ours.hits == theirs.hits
            assert ours.scores.values.tolist() == theirs.scores.values.tolist()


def test_blocks_of_many_chunks_and_half_precision() -> None:
    rng = np.random.default_rng(12)
    counts = rng.integers(1, 60, 5000)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    vectors = unit(rng.standard_normal((int(offsets[-1]), 8))).astype(np.float16)
    assert len(vectors) > 2 * (1 << 16)  # more than two chunks
    positions = np.flatnonzero(rng.random(5000) < 0.9)
    rows = rng.permutation(len(positions))
    index = kayak.LateIndex(
        tuple(f"d{i}" for i in range(len(positions))),
        (kayak.IndexSlice(kayak.IndexBlock(offsets, vectors), positions, rows),),
    )
    packed = kayak.packed_index(index.doc_ids, index.doc_offsets, index.as_packed_token_matrix())
    generator = CentroidInteraction(n_centroids=32, iterations=2)
    query = kayak.query(index.document_token_matrix(4))
    ours = kayak.generate_candidates(query, index, generator, k=50)
    theirs = kayak.generate_candidates(query, packed, generator, k=50)
    np.testing.assert_allclose(ours.scores.values, theirs.scores.values, atol=1e-5)
    assert ours.candidate_doc_ids == theirs.candidate_doc_ids


def test_documents_that_fit_badly_are_reported() -> None:
    dim = 32
    rng = np.random.default_rng(13)
    themes = unit(rng.standard_normal((8, dim)))
    usual = [unit(themes[rng.integers(0, 8, 30)] + 0.1 * rng.standard_normal((30, dim))) for _ in range(300)]
    strange = [unit(rng.standard_normal((30, dim))) for _ in range(3)]
    index = index_of([*usual, *strange])
    generator = CentroidInteraction(n_centroids=8)
    report = kayak_centroids.prepare_centroids(index, generator)
    assert set(report.tail_doc_ids) == {"d300", "d301", "d302"}
    assert report.mean_cosine > report.tail_threshold > 0.0
    assert report.built_now
    assert report.centroid_count == 8
    assert report.document_count == 303
    profile = kayak.generate_candidates(kayak.query(strange[0]), index, generator, k=3).profile
    assert any("3 of 303 documents fit the centroids badly" in note for note in profile.notes)
    again = kayak_centroids.prepare_centroids(index, generator)
    assert not again.built_now
    good = index_of(usual)
    assert kayak_centroids.prepare_centroids(good, generator).tail_doc_ids == ()
    assert len(kayak.generate_candidates(kayak.query(usual[0]), good, generator, k=3).profile.notes) == 1


def test_vectors_of_no_length_and_repeated_ones() -> None:
    index = index_of([np.zeros((3, 4)), np.tile([[1.0, 0, 0, 0]], (50, 1)), np.array([[0, 2.0, 0, 0]])])
    generator = CentroidInteraction(n_centroids=40)
    found = kayak.generate_candidates(kayak.query([[0, 1.0, 0, 0]]), index, generator, k=3)
    assert found.candidate_doc_ids[0] == "d2"
    executor = kayak.find_executor(kayak.NUMPY_REFERENCE_BACKEND)
    centroids = generator.prepare(index, executor).value.structure.centroids
    assert len(np.unique(centroids, axis=0)) == len(centroids) <= 3


def test_centroids_that_lose_their_members_move() -> None:
    # Half of the vectors are almost equal, so most first centroids start there and all but one of them lose.
    rng = np.random.default_rng(14)
    near = unit(np.array([1.0, 0, 0, 0, 0, 0]) + 1e-3 * rng.standard_normal((400, 6)))
    spread = unit(rng.standard_normal((400, 6)))
    index = index_of([*near.reshape(40, 10, 6), *spread.reshape(40, 10, 6)])
    report = kayak_centroids.prepare_centroids(index, CentroidInteraction(n_centroids=64, iterations=8))
    assert report.centroid_count == 64
    assert report.mean_cosine > 0.9


@pytest.mark.parametrize(("vectors", "centroids"), [(1, 4), (1_100_000, 4096), (2_980_000, 8192), (10**9, 131072)])
def test_the_number_of_centroids_follows_the_square_root(vectors: int, centroids: int) -> None:
    assert kayak_centroids.default_centroid_count(vectors) == centroids


@pytest.mark.parametrize("name", ["n_probe", "n_centroids", "seed", "iterations", "sample_per_centroid"])
def test_parameters_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(kayak.InvalidInputError, match=f"{name} must be ≥"):
        centroid_interaction_candidate_generator(**{name: -1})
    for wrong in (1.5, True, "8"):
        with pytest.raises(kayak.InvalidTypeError, match=f"{name} must be an integer"):
            centroid_interaction_candidate_generator(**{name: wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_preparation_names_what_it_was_given() -> None:
    index = index_of(topical(15, 5))
    with pytest.raises(kayak.InvalidTypeError, match="expected a LateIndex, got str"):
        kayak_centroids.prepare_centroids("index", CentroidInteraction())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(kayak.InvalidTypeError, match="expected a CentroidInteraction, got ExactFullScan"):
        kayak_centroids.prepare_centroids(index, kayak.exact_full_scan_candidate_generator())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(kayak.UnknownKindError):
        kayak_centroids.prepare_centroids(index, CentroidInteraction(), backend="abacus")


def test_it_is_found_by_its_kind() -> None:
    assert kayak.open_candidate_generator("centroid_interaction", n_probe=3) == CentroidInteraction(n_probe=3)
    with pytest.raises(AttributeError, match="no attribute 'plan'"):
        kayak_centroids.plan  # type: ignore[attr-defined]  # noqa: B018 - wrong on purpose
