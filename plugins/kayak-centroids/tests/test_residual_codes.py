"""Residual codes: packing, what they stand for, scores against float64, and the operator that reads them."""

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
from kayak_centroids import ResidualMaxsim, centroid_search_plan
from kayak_centroids.bits import pack, packed_width, unpack
from kayak_centroids.codes import IndexCodes
from kayak_centroids.numpy_kernels import NumpyCentroidKernels
from kayak_centroids.residual_scores import level_equal_documents, residual_scores
from kayak_centroids.residuals import ResidualQuantiser

Matrix = npt.NDArray[Any]
EXECUTOR = kayak.find_executor(kayak.NUMPY_REFERENCE_BACKEND)


def topical(seed: int, count: int, dim: int = 24, *, noise: float = 0.8, longest: int = 12) -> list[Matrix]:
    """Documents of a few topics each, as texts have; unit vectors."""
    themes = np.random.default_rng(99).standard_normal((40, dim))
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(count):
        chosen = themes[rng.integers(0, 40, int(rng.integers(1, longest + 1)))]
        vectors = chosen + noise * rng.standard_normal(chosen.shape)
        documents.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return documents


def index_of(matrices: Sequence[Matrix]) -> kayak.LateIndex:
    return kayak.documents([f"d{i}" for i in range(len(matrices))], list(matrices)).pack()


def window_of(index: kayak.LateIndex, vectors: Matrix) -> kayak.CandidateWindow:
    found = kayak.generate_candidates(
        kayak.query(vectors), index, kayak.exact_full_scan_candidate_generator(), k=index.document_count
    )
    return kayak.CandidateWindow(found, lambda: found.select_index(index), index)


def codes_of(index: kayak.LateIndex, **parameters: Any) -> IndexCodes:
    codes = ResidualMaxsim(**parameters).prepare(index, EXECUTOR).value
    assert isinstance(codes, IndexCodes)
    return codes


def decoded(codes: IndexCodes, number: int) -> Matrix:
    """What the codes of a document stand for, in float64, component by component."""
    quantiser, found = codes.quantiser, codes.document(number)
    width, bits = packed_width(quantiser.dim, quantiser.bits), quantiser.bits
    vectors = np.empty((len(found.scales), quantiser.dim))
    for row in range(len(vectors)):
        for component in range(quantiser.dim):
            place, byte = divmod(component, width)
            level = (int(found.packed[row, byte]) >> (place * bits)) % (1 << bits)
            vectors[row, component] = float(quantiser.lowest[component]) + level * float(quantiser.steps[component])
        vectors[row] += quantiser.centroids[found.centroids[row]].astype(np.float64)
        vectors[row] *= float(found.scales[row])
    return vectors


@given(st.integers(0, 2**31), st.sampled_from([2, 4]), st.integers(1, 40), st.integers(0, 5))
def test_packing_and_unpacking_at_any_dimension(seed: int, bits: int, dim: int, count: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 1 << bits, (count, dim), dtype=np.uint8)
    packed = pack(levels, bits)
    assert packed.shape == (count, -(-dim * bits // 8))
    for dtype in (np.uint8, np.float32):
        found = np.empty((count, dim), dtype=dtype)
        unpack(packed, bits, found)
        np.testing.assert_array_equal(found, levels)
    # Bits that hold no number are 0, so equal vectors have equal bytes.
    assert int(np.unpackbits(packed).sum()) == int(np.unpackbits(levels).sum())


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([2, 4]),
    st.integers(1, 33),
    st.integers(1, 30),
    st.integers(1, 7),
    st.sampled_from([1.0, 1e-3, 40.0]),
)
def test_scores_are_maxsim_of_the_decoded_vectors(
    seed: int, bits: int, dim: int, count: int, length: int, size: float
) -> None:
    index = index_of([size * matrix for matrix in topical(seed, count, dim)])
    codes = codes_of(index, residual_bits=bits, n_centroids=1 + seed % 9, seed=seed % 5)
    asked = np.random.default_rng(seed + 1).standard_normal((length, dim)).astype(np.float32)
    numbers = np.random.default_rng(seed + 2).permutation(count)[: 1 + count // 2].astype(np.int64)
    scores, read = residual_scores(asked, codes, numbers)
    for score, number in zip(scores.tolist(), numbers.tolist(), strict=True):
        products = asked.astype(np.float64) @ decoded(codes, number).T
        found = codes.document(number)
        quantiser = codes.quantiser
        parts = np.abs(quantiser.centroids).max() + np.abs(quantiser.lowest) + 15 * quantiser.steps
        magnitude = (np.abs(asked) @ parts).sum() * float(found.scales.max())
        assert abs(score - products.max(axis=1).sum()) <= 1e-5 * magnitude
    vectors = sum(index.vector_counts[number] for number in numbers)
    assert read == vectors * (packed_width(dim, bits) + 2 + 4) + codes.quantiser.byte_size


@pytest.mark.parametrize(("bits", "error"), [(2, 0.12), (4, 0.012)])
def test_decoded_vectors_are_near_and_of_the_same_length(bits: int, error: float) -> None:
    """The best equally spaced levels leave 0.119 or 0.0115 of the variance of a normal distribution (Max 1960)."""
    matrices = topical(3, 500, 40, longest=20)
    rng = np.random.default_rng(1)
    lengths = [rng.uniform(0.5, 9.0, (len(matrix), 1)) for matrix in matrices]
    index = index_of([length * matrix for length, matrix in zip(lengths, matrices, strict=True)])
    codes = codes_of(index, residual_bits=bits, n_centroids=20)
    residual, missed = 0.0, 0.0
    for number, (matrix, length) in enumerate(zip(matrices, lengths, strict=True)):
        found = decoded(codes, number)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1, keepdims=True), length, rtol=1e-5)
        np.testing.assert_allclose(codes.quantiser.decode(codes.document(number)), found, atol=1e-5)
        centroids = codes.quantiser.centroids[codes.document(number).centroids]
        residual += float(((matrix - centroids) ** 2).sum())
        missed += float(((matrix - found / length) ** 2).sum())
        cosines = np.einsum("ij,ij->i", matrix, found / length)
        assert codes.fit[number] == pytest.approx(cosines.mean(), abs=1e-5)
    assert missed < 1.1 * error * residual


def test_levels_of_four_bits_nest_no_worse_than_those_of_two() -> None:
    index = index_of(topical(4, 200))
    two, four = (codes_of(index, residual_bits=bits).fit for bits in (2, 4))
    assert (four >= two).mean() > 0.99
    assert four.mean() > 0.99 > two.mean() > 0.9


def test_equal_seeds_give_equal_codes_and_others_do_not() -> None:
    matrices = topical(5, 60)
    first, again, other = (codes_of(index_of(matrices), n_centroids=10, seed=seed) for seed in (1, 1, 2))
    assert first.parts[0].codes.content == again.parts[0].codes.content
    assert first.parts[0].codes.content != other.parts[0].codes.content


def test_vectors_that_are_special() -> None:
    """No length, the centroid itself, a corpus of one vector, one component, half precision."""
    index = index_of([np.zeros((2, 3)), np.tile([[2.0, 0, 0]], (5, 1)), np.array([[0, -3.0, 0]])])
    codes = codes_of(index)
    for number in range(3):
        np.testing.assert_allclose(decoded(codes, number), index.document_token_matrix(number), atol=1e-6)
        assert codes.fit[number] == pytest.approx(1.0)
    single = index_of([np.array([[0.25]])])
    assert residual_scores(np.ones((1, 1), np.float32), codes_of(single), np.zeros(1, np.int64))[0] == pytest.approx(
        0.25
    )
    block = kayak.IndexBlock(np.array([0, 2]), np.array([[1, 0], [0, 1]], dtype=np.float16))
    half = kayak.LateIndex(("a",), (kayak.IndexSlice(block, None, np.zeros(1, np.int64)),))
    np.testing.assert_allclose(decoded(codes_of(half), 0), np.eye(2), atol=1e-6)


def test_many_centroids_are_numbered_in_four_bytes() -> None:
    codes = codes_of(index_of(topical(1, 5)))
    assert codes.quantiser.number_type == np.uint16
    many = np.eye(2, dtype=np.float32)[np.zeros((1 << 16) + 1, dtype=np.int64)]
    quantiser = ResidualQuantiser(4, many, np.zeros(2, np.float32), np.ones(2, np.float32))
    assert quantiser.number_type == np.uint32
    assert quantiser.bytes_a_vector == 1 + 4 + 4


def test_equal_documents_keep_window_order_in_any_place() -> None:
    twin, others = topical(6, 1, 20, longest=9)[0], topical(7, 90, 20)
    matrices = [*others[:30], twin, *others[30:77], twin, *others[77:], twin]
    index = index_of(matrices)
    plan = kayak.SearchPlan(
        kayak.exact_full_scan_candidate_generator(),
        ResidualMaxsim(n_centroids=5),
        kayak.none_stage3_verifier_operator(),
        93,
        93,
    )
    for seed in range(5):
        asked = np.random.default_rng(seed).standard_normal((3, 20))
        hits = kayak.search_with_plan(kayak.query(asked), index, plan).hits
        ranks = [[hit.doc_id for hit in hits].index(doc_id) for doc_id in ("d30", "d78", "d92")]
        assert ranks == [ranks[0], ranks[0] + 1, ranks[0] + 2]


def test_long_documents_and_queries_are_scored_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(topical(8, 40, longest=30))
    codes = codes_of(index)
    asked = np.random.default_rng(0).standard_normal((5, 24)).astype(np.float32)
    numbers = np.arange(40)[::-1].copy()
    whole, _ = residual_scores(asked, codes, numbers)
    monkeypatch.setattr("kayak_centroids.residual_scores._GROUP_VECTORS", 7)
    monkeypatch.setattr("kayak_centroids.residual_scores._QUERY_VECTORS", 2)
    pieces, _ = residual_scores(asked, codes, numbers)
    np.testing.assert_allclose(pieces, whole, rtol=1e-5, atol=1e-6)


def test_a_plan_names_its_scores_and_reads_little() -> None:
    matrices = topical(9, 300, 64, noise=0.5)
    index = index_of(matrices)
    overlap, exact_bytes, read = 0, 0, 0
    approximate = centroid_search_plan(10, 100, residual_bits=4)
    rescored = centroid_search_plan(10, 100, residual_bits=2, rescore_k=25)
    exact = centroid_search_plan(10, 100)
    for number in range(20):
        query = kayak.query(matrices[number] + 0.1)
        result = kayak.search_with_plan(query, index, approximate)
        expected = kayak.search_with_plan(query, index, exact)
        assert result.reference_score_kind == "residual_score"
        assert expected.reference_score_kind == "exact_score"
        assert "scores are approximate (residual_score)" in result.stage2.notes
        assert result.candidate_index is None
        overlap += len({hit.doc_id for hit in result.hits} & {hit.doc_id for hit in expected.hits})
        assert (result.stage2.preparation_seconds > 0.0) == (number == 0)
        assert "4-bit residual codes of" in (result.stage2.preparation or "")
        exact_bytes += expected.stage2.bytes_read
        read += int(result.stage2.notes[1].split()[-2])
        again = kayak.search_with_plan(query, index, rescored)
        assert again.reference_score_kind == "exact_score"
        assert "scores are exact MaxSim (exact_score) of the 25 best by their codes" in again.stage2.notes
        known = dict(zip(expected.reference_scores.doc_ids, expected.reference_scores.values.tolist(), strict=True))
        assert len(again.reference_scores) == 25
        for doc_id, score in zip(again.reference_scores.doc_ids, again.reference_scores.values.tolist(), strict=True):
            assert score == pytest.approx(known[doc_id], abs=1e-5)
        assert again.stage2.materialized_artifacts[0].document_count == 25
        assert again.stage2.executor == kayak.NUMPY_REFERENCE_BACKEND
        order = [
            doc_id for doc_id in again.candidate_stage.candidate_doc_ids if doc_id in again.reference_scores.doc_ids
        ]
        assert list(again.reference_scores.doc_ids) == order
    assert overlap >= 180
    codes = codes_of(index)
    assert read - 20 * codes.quantiser.byte_size < 0.2 * exact_bytes


def test_at_least_what_is_returned_is_rescored() -> None:
    index = index_of(topical(10, 50))
    plan = centroid_search_plan(8, 20, residual_bits=2, rescore_k=1)
    result = kayak.search_with_plan(kayak.query(np.ones((2, 24))), index, plan)
    assert len(result.hits) == len(result.reference_scores) == 8
    exact = kayak.maxsim(kayak.query(np.ones((2, 24))), index)
    for hit in result.hits:
        assert hit.score == pytest.approx(exact.values[int(hit.doc_id[1:])], abs=1e-5)


def test_operators_share_codes_whatever_they_rescore() -> None:
    index = index_of(topical(11, 40))
    assert ResidualMaxsim().prepare(index, EXECUTOR).built_now
    assert not ResidualMaxsim(rescore_k=5).prepare(index, EXECUTOR).built_now
    assert ResidualMaxsim(residual_bits=2).prepare(index, EXECUTOR).built_now
    assert ResidualMaxsim(seed=3).prepare(index, EXECUTOR).built_now


def test_reports_describe_codes() -> None:
    index = index_of(topical(12, 80, 32))
    report = kayak_centroids.prepare_codes(index, ResidualMaxsim(residual_bits=2, n_centroids=16))
    assert report.built_now
    assert (report.residual_bits, report.centroid_count, report.document_count) == (2, 16, 80)
    assert report.bytes_a_vector == 8 + 2 + 4
    assert report.vector_count == index.total_vector_count
    assert report.vector_byte_size == 128 * index.total_vector_count
    assert report.vector_count * report.bytes_a_vector < report.byte_size < report.vector_byte_size
    assert 0.9 < report.mean_cosine < 1.0
    assert not kayak_centroids.prepare_codes(index, ResidualMaxsim(residual_bits=2, n_centroids=16)).built_now


def test_scores_out_of_range_are_refused() -> None:
    index = index_of([np.full((2, 3), 1e38), np.ones((1, 3))])
    window = window_of(index, np.full((1, 3), 1e-3))
    with pytest.raises(kayak.ScoreOverflowError, match="residual codes"):
        ResidualMaxsim().refine(kayak.query([[9.0, 9.0, 9.0]]), window, k=1, executor=EXECUTOR)
    quantiser = codes_of(index).quantiser  # a length past the range, in a document that comes later
    longer, _ = quantiser.encode(np.full((1, 3), 3e38, np.float32), NumpyCentroidKernels(quantiser.centroids))
    assert longer.scales[0] == np.inf


def test_windows_chosen_inside_a_store_are_refused() -> None:
    index = index_of(topical(13, 4))
    window = window_of(index, np.ones((1, 24)))
    with pytest.raises(kayak.InvalidInputError, match="dimension"):
        ResidualMaxsim().refine(kayak.query(np.ones((1, 3))), window, k=1, executor=EXECUTOR)
    inside = kayak.CandidateWindow(window.candidates, window.load)
    with pytest.raises(kayak.UnsupportedOperationError, match="chose the window inside a store"):
        ResidualMaxsim().refine(kayak.query(np.ones((1, 24))), inside, k=1, executor=EXECUTOR)


@pytest.mark.parametrize("bits", [0, 3, 8, "4", True, 4.0])
def test_other_bits_are_refused(bits: Any) -> None:
    with pytest.raises(kayak.InvalidInputError, match="residual_bits must be 2 or 4"):
        ResidualMaxsim(residual_bits=bits)


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(kayak.InvalidInputError, match="rescore_k must be ≥ 1"):
        ResidualMaxsim(rescore_k=0)
    with pytest.raises(kayak.InvalidTypeError, match="rescore_k must be an integer"):
        ResidualMaxsim(rescore_k="20")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(kayak.InvalidInputError, match="n_centroids must be ≥ 1"):
        ResidualMaxsim(n_centroids=0)
    with pytest.raises(kayak.InvalidInputError, match="without residual_bits"):
        centroid_search_plan(1, 2, rescore_k=2)
    with pytest.raises(kayak.InvalidInputError, match="pass one of them"):
        centroid_search_plan(1, 2, residual_bits=4, stage2_reference_operator=ResidualMaxsim())
    index = index_of(topical(14, 3))
    with pytest.raises(kayak.InvalidTypeError, match="expected a LateIndex, got str"):
        kayak_centroids.prepare_codes("index", ResidualMaxsim())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(kayak.InvalidTypeError, match="expected a ResidualMaxsim, got CentroidInteraction"):
        kayak_centroids.prepare_codes(index, ResidualMaxsim().centroids)  # type: ignore[arg-type]  # wrong on purpose


def test_equal_documents_get_one_score_however_a_product_rounds() -> None:
    matrices = topical(15, 12, longest=4)
    index = index_of([*matrices, matrices[3], matrices[5], matrices[3]])
    codes = codes_of(index, n_centroids=6)
    numbers = np.array([14, 0, 3, 5, 13, 12, 1])
    scores = np.array([1.0, 9.0, 1.0000001, 2.0, 2.0000002, 0.9999999, 9.0], dtype=np.float32)
    level_equal_documents(scores, codes, numbers)
    assert scores.tolist() == [1.0, 9.0, 1.0, 2.0, 2.0, 1.0, 9.0]


def test_it_is_found_by_its_kind() -> None:
    operator = kayak.open_stage_operator("residual_maxsim", residual_bits=2, rescore_k=7)
    assert operator == ResidualMaxsim(residual_bits=2, rescore_k=7)


def test_a_plan_builds_one_set_of_centroids() -> None:
    plan = kayak_centroids.centroid_search_plan(5, 10, residual_bits=4, n_centroids=8, seed=3)
    operator, generator = plan.stage2_reference_operator, plan.candidate_generator
    assert isinstance(operator, kayak_centroids.ResidualMaxsim)
    assert isinstance(generator, kayak_centroids.CentroidInteraction)
    assert operator.centroids.build_parameters == generator.build_parameters
    assert kayak_centroids.ResidualMaxsim().centroids == kayak_centroids.CentroidInteraction()
