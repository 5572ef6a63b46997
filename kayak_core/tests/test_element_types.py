"""int8 codes: how far they are from the values, and that nothing ever takes them for values."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import kayak
import kayak.contracts.executor
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kayak.builtin import numpy_maxsim
from kayak.contracts import score_index
from kayak.contracts.document_batches import rebatched
from kayak.errors import InvalidInputError
from kayak.testing.oracles import assert_exact, exact_scores
from kayak.testing.strategies import token_matrices
from kayak.values.element_types import decode_int8, encode_int8

LARGEST = float(np.finfo(np.float32).max)


def make(lengths: list[int], dim: int = 16, seed: int = 0) -> kayak.LateIndex:
    generator = np.random.default_rng(seed)
    matrices = [generator.standard_normal((length, dim), dtype=np.float32) for length in lengths]
    return kayak.documents([f"{n}" for n in range(len(lengths))], matrices).pack()


def values_of(index: kayak.LateIndex) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """Codes × scales in float64, without the code under test."""
    (part,) = index.slices
    assert part.block.scales is not None
    decoded = part.block.vectors.astype(np.float64) * part.block.scales[:, np.newaxis]
    return [decoded[a:b] for a, b in pairwise(part.block.offsets.tolist())]


@given(token_matrices(dim=5, magnitude=LARGEST), st.integers(-149, 0))
def test_a_value_is_decoded_within_half_a_scale(matrix: np.ndarray[Any, Any], exponent: int) -> None:
    for vectors in (matrix, (matrix * 2.0**exponent).astype(np.float32)):
        codes, scales = encode_int8(vectors)
        decoded = decode_int8(codes, scales)
        assert (codes.dtype, scales.dtype, decoded.dtype) == (np.int8, np.float32, np.float32)
        exact = vectors.astype(np.float64)
        assert (np.abs(decoded - exact) <= scales[:, np.newaxis].astype(np.float64) / 2 * (1 + 1e-12)).all()
        # Decoding never rounds, and the scale is hardly greater than it has to be.
        assert (decoded == codes.astype(np.float64) * scales[:, np.newaxis]).all()
        peaks = np.abs(exact).max(axis=1)
        assert (scales <= peaks / 127 * (1 + 2**-16) + 2.0**-149).all()
        assert ((scales == 0) == (peaks == 0)).all()
        assert not np.signbit(scales).any()
        assert codes.min() >= -127


@given(token_matrices(dim=5, magnitude=1e30, max_tokens=8))
def test_decoded_values_have_the_same_codes_again(matrix: np.ndarray[Any, Any]) -> None:
    normal = np.abs(matrix).max(axis=1) > 1e-35  # subnormal scales have fewer than 17 bits
    codes, scales = encode_int8(matrix)
    again, scales_again = encode_int8(decode_int8(codes, scales))
    assert (again[normal] == codes[normal]).all()
    assert (scales_again[normal] == scales[normal]).all()


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, 2.0**-149, -(2.0**-149), 2.0**-126, 1e-44, 0.0, -0.0])
def test_the_ends_of_float32(value: float) -> None:
    vectors = np.array([[value, 0.0, value / 2]], dtype=np.float32)
    codes, scales = encode_int8(vectors)
    decoded = decode_int8(codes, scales)
    assert np.isfinite(decoded).all()
    assert (np.abs(decoded.astype(np.float64) - vectors) <= scales.astype(np.float64) / 2).all()


@given(token_matrices(dim=4, max_tokens=12), token_matrices(dim=4, max_tokens=3))
def test_scores_are_off_by_what_rounding_allows(matrix: np.ndarray[Any, Any], asked: np.ndarray[Any, Any]) -> None:
    exact = kayak.documents(["a"], [matrix]).pack()
    rounded = exact.to_vector_dtype("int8")
    query = kayak.query(asked)
    (score,) = kayak.maxsim(query, exact).values.tolist()
    (found,) = kayak.maxsim(query, rounded).values.tolist()
    scales = rounded.slices[0].block.scales
    assert scales is not None
    # Each product is off by at most Σ_c |q_c| × scale / 2, and so is the greatest of them.
    bound = float(np.abs(asked.astype(np.float64)).sum() * scales.max() / 2)
    _, allowed = exact_scores(asked, [matrix])
    assert abs(found - score) <= bound + 3 * allowed[0]


def test_an_index_of_int8_is_a_quarter_and_exact_over_its_values() -> None:
    index = make([3, 1, 40, 7], dim=64)
    small = index.to_vector_dtype("int8")
    assert (index.vector_dtype, small.vector_dtype) == ("float32", "int8")
    assert small.vector_byte_size == 51 * (64 + 4)
    assert "× 64 int8" in repr(small)
    values = values_of(small)
    for matrix, found in zip(values, (small.document_token_matrix(n) for n in range(4)), strict=True):
        assert found.dtype == np.float32
        assert not found.flags.writeable
        assert (found == matrix).all()
    assert (small.as_packed_token_matrix() == np.concatenate(values)).all()
    assert (small.take(np.array([2, 0])).as_packed_token_matrix() == np.concatenate([values[2], values[0]])).all()
    query = kayak.query(np.eye(64, dtype=np.float32)[:5] - 0.25)
    assert_exact(np.array(kayak.maxsim(query, small).values), query.as_vector_matrix(), values)  # type: ignore[arg-type]
    assert small.to_vector_dtype("int8") is small
    back = small.to_vector_dtype("float32")
    assert back.vector_dtype == "float32"
    assert (back.as_packed_token_matrix() == small.as_packed_token_matrix()).all()
    assert back.origin is None


def test_other_element_types() -> None:
    index = make([2, 3])
    half = index.to_vector_dtype("float16")
    assert half.vector_dtype == "float16"
    matrix = index.as_packed_token_matrix()
    assert (half.as_packed_token_matrix() == matrix.astype(np.float16)).all()
    with pytest.raises(
        InvalidInputError, match=r"'1' has a value beyond ±65504 in token vector 0.*another vector_dtype"
    ):
        kayak.documents(["0", "1"], [[[1.0]], [[1e6]]]).pack().to_vector_dtype("float16")
    for wrong in ("int4", 8, None):
        with pytest.raises(InvalidInputError, match=r"unknown vector_dtype .*expected one of float32, float16, int8"):
            index.to_vector_dtype(wrong)  # type: ignore[arg-type]  # the mistake under test
    block = kayak.IndexBlock(np.array([0, 1, 2]), np.array([[1.0], [np.inf]], dtype=np.float32))
    with pytest.raises(InvalidInputError, match="document 'b' has a value that is not finite in token vector 0"):
        kayak.LateDocuments(("a", "b"), block).pack().to_vector_dtype("int8")


def test_mixed_blocks_take_the_coarsest_name_and_keep_their_values() -> None:
    whole = make([2, 3, 4])
    parts = [whole.take(np.array([n])).to_vector_dtype(name) for n, name in enumerate(("float16", "int8", "float32"))]
    rows = np.arange(3)
    slices = [attrs.evolve(part.slices[0], rows=rows[n : n + 1]) for n, part in enumerate(parts)]
    mixed = kayak.LateIndex(whole.doc_ids, tuple(slices))
    assert mixed.vector_dtype == "int8"
    assert (mixed.as_packed_token_matrix() == np.concatenate([p.as_packed_token_matrix() for p in parts])).all()
    assert mixed.to_vector_dtype("int8").vector_dtype == "int8"


CODES = np.ones((2, 3), dtype=np.int8)
OFFSETS = np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("vectors", "scales", "message"),
    [
        (CODES, None, r"int8 codes with their scales, got \|i1 without scales"),
        (CODES.astype(np.int16), np.ones(2, dtype=np.float32), "got <i2 with scales"),
        (CODES.astype(np.float32), np.ones(2, dtype=np.float32), "got <f4 with scales"),
        (CODES.astype(np.float64), None, "got <f8 without scales"),
        (CODES, np.ones(2), "scales must be float32 of shape .2,., one a token vector, got float64"),
        (CODES, np.ones(3, dtype=np.float32), r"got float32 of shape \(3,\)"),
    ],
)
def test_blocks_that_would_hold_no_values(vectors: Any, scales: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        kayak.IndexBlock(OFFSETS, vectors, None, scales)


@attrs.frozen
class FloatsOnly:
    """An executor that was written before int8, or does not want it."""

    takes: tuple[str, ...]
    seen: list[tuple[str, int]] = attrs.field(factory=list)
    name: str = "floats"

    def backend_info(self) -> kayak.BackendInfo:
        return kayak.BackendInfo(self.name, available=True, vector_dtypes=self.takes)

    def maxsim(self, vectors: Any, offsets: Any, block: kayak.IndexBlock, positions: Any) -> Any:
        self.seen.append((block.vector_dtype, block.document_count))
        return numpy_maxsim.maxsim_block(vectors, offsets, block.vectors, block.offsets, positions)


@pytest.mark.parametrize(("vector_dtype", "takes"), [("int8", ("float32", "float16")), ("float16", ("float32",))])
def test_executors_get_float32_for_what_they_do_not_take(
    monkeypatch: pytest.MonkeyPatch, vector_dtype: str, takes: tuple[str, ...]
) -> None:
    assert kayak.BackendInfo("x", available=True).vector_dtypes == ("float32", "float16")
    monkeypatch.setattr(kayak.contracts.executor, "_DECODED_BYTES", 4 * 16 * 10)
    index = make([4, 4, 30, 4, 5, 1, 1]).to_vector_dtype(vector_dtype)
    batch = kayak.query_batch([np.eye(16)[:3], np.eye(16)[5:6]])
    executor = FloatsOnly(takes)
    found = score_index(executor, batch, index)
    assert executor.seen == [("float32", n) for n in (2, 1, 3, 1)]
    matrices = [index.document_token_matrix(n) for n in range(7)]
    for row, query in zip(found, batch.queries, strict=True):
        assert_exact(row, query.as_vector_matrix(), matrices)
    some = index.take(np.array([6, 2, 0]))
    assert (score_index(executor, batch, some) == found[:, [6, 2, 0]]).all()
    assert {name for name, _ in executor.seen} == {"float32"}


def test_batches_and_copies_keep_codes_and_scales() -> None:
    block = make([2, 1, 3, 2, 1]).to_vector_dtype("int8").slices[0].block
    batch = kayak.LateDocuments(tuple("abcde"), block)
    assert [m.tolist() for m in batch.token_matrices] == [block.document(n).tolist() for n in range(5)]
    taken = batch.take([3, 0])
    assert taken.block.vector_dtype == "int8"
    assert (taken.token_matrices[0] == block.document(3)).all()
    pieces = list(rebatched([batch], 2))
    assert [piece.block.vector_dtype for piece in pieces] == ["int8"] * 3
    joined = list(rebatched(pieces, 5))
    assert (joined[0].block.vectors == block.vectors).all()
    assert (joined[0].block.scales == block.scales).all()
    exact = kayak.documents(["x"], [np.ones((1, 16), dtype=np.float32)])
    (mixed,) = rebatched([exact, batch], 6)  # a file of codes and one of values have float32 in common
    assert mixed.block.vector_dtype == "float32"
    assert (mixed.token_matrices[1] == block.document(0)).all()
    with kayak.MemoryLateStore() as store:
        store.upsert(batch)
        assert (store.load_index().document_token_matrix(2) == block.document(2)).all()


@pytest.mark.parametrize("invariant", [True, False])
def test_documents_with_equal_codes_and_other_scales_are_not_equal(
    monkeypatch: pytest.MonkeyPatch, invariant: bool
) -> None:
    # Where the BLAS does not round alike at every place, equal documents are looked for: scales count as well.
    monkeypatch.setattr(numpy_maxsim, "blas_is_position_invariant", lambda dim: invariant)
    one = np.random.default_rng(3).standard_normal((4, 8), dtype=np.float32)
    index = kayak.documents(list("abcd"), [one, one * 2, one, one * 2]).pack().to_vector_dtype("int8")
    scores = kayak.maxsim(kayak.query(one[:2]), index).values
    assert scores[0] == scores[2]
    assert scores[1] == scores[3]
    assert scores[1] == pytest.approx(2 * scores[0], rel=1e-4)


def test_every_stage_reads_values_and_says_what_it_read() -> None:
    index = make([6, 2, 9, 4], dim=32, seed=5).to_vector_dtype("int8")
    plain = index.to_vector_dtype("float32")
    query = kayak.query(np.random.default_rng(6).standard_normal((3, 32), dtype=np.float32))
    for plan in (kayak.exact_full_scan_search_plan(2), kayak.document_proxy_search_plan(2, 3)):
        small, exact = (kayak.search_with_plan(query, each, plan) for each in (index, plain))
        assert [(hit.doc_id, hit.score) for hit in small.hits] == [(hit.doc_id, hit.score) for hit in exact.hits]
        proxies = [result.candidate_stage.scores.values.tolist() for result in (small, exact)]
        assert proxies[0] == proxies[1]
        assert {profile.vector_dtype for profile in small.profiles} == {"int8", None}
        assert small.candidate_stage.profile.vector_dtype == "int8"
