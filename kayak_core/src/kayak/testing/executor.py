"""`ExecutorConformance`: what every executor of exact MaxSim promises."""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kayak.contracts import BackendInfo, Executor, score_index
from kayak.errors import ScoreOverflowError
from kayak.testing.oracles import as_blocks, assert_exact, exact_scores
from kayak.testing.suite import ConformanceSuite
from kayak.testing.threads import run_together
from kayak.typing import Float32Matrix, Int64Vector
from kayak.values import INDEX_LAYOUTS, QUERY_LAYOUTS, IndexBlock, documents, query_batch
from kayak.values.blocks import offsets_from_counts
from kayak.values.conversion import converted_block
from kayak.values.element_types import VECTOR_DTYPES

DIMENSIONS = (1, 2, 7, 64, 96, 128, 200, 384)
LONG_DOCUMENT = 3_000
FORK_SECONDS = 60
Matrices = Sequence[Float32Matrix]


class ExecutorConformance(ConformanceSuite):
    """What every executor promises. Subclass it and give the fixture `executor`.

    Scores are compared with float64 arithmetic: the error may be 1e-5 of the sum of the magnitudes involved.

    Attributes:
        batch_tolerance: how far a query's scores may depend on the other queries of its batch and on the place of a
            document in its block, relative to the magnitudes involved; 0.0 demands equality to the bit. The order of
            documents must not depend on them in any case.
    """

    batch_tolerance: ClassVar[float] = 0.0

    def test_describes_itself(self, executor: Executor) -> None:
        """The executor follows the protocol, and its description names it and known layouts."""
        assert isinstance(executor, Executor)
        info = executor.backend_info()
        assert isinstance(info, BackendInfo)
        assert info.name == executor.name
        assert info.available, f"the executor under test cannot run here: {info.availability_reason}"
        assert info.availability_reason
        assert set(info.query_layouts) <= set(QUERY_LAYOUTS)
        assert set(info.index_layouts) <= set(INDEX_LAYOUTS)
        assert set(VECTOR_DTYPES) >= set(info.vector_dtypes) >= {"float32"}

    def test_result_is_float32_queries_by_documents(self, executor: Executor) -> None:
        """The result is float32 of shape (queries, documents), also for one of each."""
        for queries, docs in ((1, 1), (3, 1), (1, 5), (3, 5)):
            found = _score(executor, _matrices(1, [2] * queries, 8), _block(_matrices(2, [3] * docs, 8)))
            assert found.dtype == np.float32
            assert found.shape == (queries, docs)

    @pytest.mark.parametrize("dim", DIMENSIONS)
    def test_random_ragged_shapes(self, executor: Executor, dim: int) -> None:
        """Scores of random ragged queries and documents agree with float64 arithmetic, for every dimension."""

        @self.settings(examples=max(5, self.examples // 3))
        @given(
            st.integers(0, 2**32 - 1),
            st.lists(st.integers(1, 40), min_size=1, max_size=4),
            st.lists(st.integers(1, 30), min_size=1, max_size=40),
        )
        def check(seed: int, query_lengths: list[int], lengths: list[int]) -> None:
            queries, docs = _matrices(seed, query_lengths, dim), _matrices(seed + 1, lengths, dim)
            _assert_scores(executor, queries, docs)

        check()

    def test_float16_documents(self, executor: Executor) -> None:
        """float16 blocks score as the float32 values that they stand for."""
        for dim in (5, 128):
            docs = [m.astype(np.float16).astype(np.float32) for m in _matrices(3, [1, 7, 40, 2, 1, 19], dim)]
            queries = _matrices(4, [3, 32], dim)
            found = _score(executor, queries, _block(docs, dtype="float16"))
            for row, matrix in zip(found, queries, strict=True):
                assert_exact(row, matrix, docs)

    @pytest.mark.parametrize("scale", [1e-40, 1.0, 1e17])
    def test_int8_documents(self, executor: Executor, scale: float) -> None:
        """int8 blocks score as codes × scales: by the executor if it takes them, else decoded for it.

        Each token vector has a scale of its own, so the greatest code need not belong to the best vector.
        """
        generator = np.random.default_rng(35)
        for dim in (1, 5, 128, 200):
            docs = _matrices(3, [1, 7, 40, 2, 1, 300], dim)
            docs = [m * (scale * generator.uniform(0.01, 10, (len(m), 1))).astype(np.float32) for m in docs]
            docs += [docs[1], np.zeros((3, dim), dtype=np.float32)]
            index = documents([f"{n}" for n in range(len(docs))], docs).pack().to_vector_dtype("int8")
            queries = _matrices(4, [3, 32], dim)
            block = index.slices[0].block
            assert block.scales is not None
            decoded = block.vectors.astype(np.float64) * block.scales[:, np.newaxis]
            values = [decoded[a:b] for a, b in pairwise(block.offsets.tolist())]
            for row, matrix in zip(score_index(executor, query_batch(queries), index), queries, strict=True):
                assert_exact(row, matrix, values)
                assert row[1] == row[6], "equal documents of int8 score differently"
            some = index.take(np.array([5, 0, 2]))
            for row, matrix in zip(score_index(executor, query_batch(queries), some), queries, strict=True):
                assert_exact(row, matrix, [values[5], values[0], values[2]])

    @pytest.mark.parametrize("dtype", VECTOR_DTYPES)
    def test_positions(self, executor: Executor, dtype: str) -> None:
        """`positions` chooses documents, in any order; none gives no column, one gives one."""
        _needs_dtype(executor, dtype)
        block = _block(_matrices(5, [4, 1, 9, 2, 30, 3], 16), dtype=dtype)
        queries = _matrices(6, [5, 2], 16)
        everything = _score(executor, queries, block)
        for chosen in ([4], [5, 0, 3], [3, 2, 1], list(range(6)), list(range(5, -1, -1)), [1, 5]):
            found = _score(executor, queries, block, np.array(chosen, dtype=np.int64))
            self._assert_same(found, everything[:, chosen], block, queries, chosen)
        nothing = _score(executor, queries, block, np.empty(0, dtype=np.int64))
        assert nothing.shape == (2, 0)

    def test_long_documents(self, executor: Executor) -> None:
        """A document of thousands of vectors scores right beside short ones, wherever its best vector stands."""
        generator = np.random.default_rng(7)
        docs = _matrices(7, [2, LONG_DOCUMENT, 1, LONG_DOCUMENT + 777, 3], 32)
        queries = _matrices(8, [4, 64], 32)
        for matrix in (docs[1], docs[3]):
            for row in (0, len(matrix) - 1, int(generator.integers(len(matrix)))):
                matrix[row] *= 20
        _assert_scores(executor, queries, docs)

    def test_equal_documents_score_equally(self, executor: Executor) -> None:
        """Equal documents get scores equal to the bit, wherever they stand, so that ties keep index order."""
        for dim in (3, 64, 128, 200):
            twin = _matrices(9, [5], dim)[0]
            docs = _matrices(10, [1, 12, 3, 5, 2, 64, 1, 8], dim)
            block = _block([twin, *docs[:3], twin, *docs[3:], twin, twin])
            found = _score(executor, _matrices(11, [7, 1, 32], dim), block)
            for row in found[:, [0, 4, 10, 11]]:
                assert len(set(row.tolist())) == 1, f"equal documents of dimension {dim} score {row.tolist()}"

    def test_negative_similarities(self, executor: Executor) -> None:
        """Where every dot product is negative the greatest of them counts; padding must not win with zero."""
        queries = [np.abs(m) for m in _matrices(12, [3, 17], 48)]
        docs = [-np.abs(m) for m in _matrices(13, [1, 5, 33, 2, 9], 48)]
        assert (_score(executor, queries, _block(docs)) < 0).all()
        _assert_scores(executor, queries, docs)

    def test_repeated_query_vectors_count_each_time(self, executor: Executor) -> None:
        """Query vectors are summed as often as they occur, and zero vectors add nothing."""
        (matrix,) = _matrices(14, [4], 24)
        docs = _matrices(15, [3, 8], 24)
        _assert_scores(executor, [np.vstack([matrix, matrix, np.zeros_like(matrix)]), matrix], docs)

    @pytest.mark.parametrize("scale", [1e-40, 1e-22, 1e-12, 1e12, 1e17])
    def test_magnitudes(self, executor: Executor, scale: float) -> None:
        """Huge vectors and subnormal ones score right as long as the score itself fits float32."""
        queries = _matrices(16, [3, 9], 40)
        docs = [(m * scale).astype(np.float32) for m in _matrices(17, [2, 11, 1], 40)]
        _assert_scores(executor, queries, docs)
        balanced = [(m / scale).astype(np.float32) for m in queries] if scale > 1e-30 else queries
        _assert_scores(executor, balanced, docs)

    def test_overflow_shows(self, executor: Executor) -> None:
        """A score beyond float32 comes out infinite, so that `score_index` raises instead of ranking by it."""
        index = documents(["a", "b"], [[[3e38, 3e38]], [[1.0, 1.0]]]).pack()
        with pytest.raises(ScoreOverflowError):
            score_index(executor, query_batch([[[3e38, 3e38]]]), index)

    def test_batch_equals_single_queries(self, executor: Executor) -> None:
        """A query's scores do not depend on the other queries of its batch."""
        queries = _matrices(18, [3, 1, 32, 7, 128, 2], 96)
        docs = _matrices(19, [5, 1, 40, 2, 13, 9, 1, 21], 96)
        block = _block(docs)
        together = _score(executor, queries, block)
        for number, matrix in enumerate(queries):
            alone = _score(executor, [matrix], block)
            self._assert_same(together[number : number + 1], alone, block, [matrix], list(range(len(docs))))

    def test_blocks_equal_one_block(self, executor: Executor) -> None:
        """An index spread over several blocks scores as the packed one."""
        docs = _matrices(20, [3, 1, 8, 2, 30], 64)
        packed = documents([f"{n}" for n in range(5)], docs).pack()
        batch = query_batch(_matrices(21, [4, 12], 64))
        spread = score_index(executor, batch, as_blocks(packed))
        queries = [q.as_vector_matrix() for q in batch.queries]
        self._assert_same(spread, score_index(executor, batch, packed), _block(docs), queries, list(range(5)))

    def test_runs_are_identical(self, executor: Executor) -> None:
        """Equal calls give equal bits."""
        queries, block = _matrices(22, [32, 5], 128), _block(_matrices(23, [60, 1, 200, 7] * 10, 128))
        first = _score(executor, queries, block)
        for _ in range(5):
            assert first.tobytes() == _score(executor, queries, block).tobytes()

    def test_threads(self, executor: Executor) -> None:
        """Several threads may score at once, and get what one thread gets."""
        queries = [_matrices(seed, [32, 3], 64) for seed in range(24, 28)]
        block = _block(_matrices(28, [50, 1, 120, 7] * 8, 64))
        expected = [_score(executor, batch, block).tobytes() for batch in queries]

        def repeat(number: int) -> set[bytes]:
            return {_score(executor, queries[number], block).tobytes() for _ in range(8)}

        found = run_together([lambda number=number: repeat(number) for number in range(4)])  # type: ignore[misc]
        assert found == [{result} for result in expected]

    @pytest.mark.skipif(sys.platform == "win32", reason="fork exists on POSIX only")
    def test_fork(self, executor: Executor) -> None:
        """A forked child scores as its parent did: no lock or thread pool is left hanging."""
        queries, block = _matrices(29, [32], 128), _block(_matrices(30, [80] * 50, 128))
        expected = _score(executor, queries, block)
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=lambda: theirs.send(_score(executor, queries, block).tobytes()))
        with warnings.catch_warnings():
            # Python 3.12 warns of forking beside other threads, such as those of the BLAS: that is the test.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        try:
            assert ours.poll(FORK_SECONDS), "the forked child gave no answer"
            assert ours.recv() == expected.tobytes()
        finally:
            child.kill()
            child.join()

    def test_leaves_its_input_alone(self, executor: Executor) -> None:
        """Queries, offsets and documents are read only; the executor works on read-only memory and changes none."""
        queries, docs = _matrices(31, [3, 8], 64), _matrices(32, [5, 1, 70], 64)
        block = _block(docs)
        for array in (block.vectors, block.offsets):
            array.flags.writeable = False
        vectors, offsets = _packed(queries)
        vectors.flags.writeable = False
        before = vectors.tobytes(), offsets.tobytes(), block.vectors.tobytes(), block.offsets.tobytes()
        found = executor.maxsim(vectors, offsets, block, None)
        assert before == (vectors.tobytes(), offsets.tobytes(), block.vectors.tobytes(), block.offsets.tobytes())
        assert not np.shares_memory(found, vectors)

    @pytest.mark.parametrize("dtype", VECTOR_DTYPES)
    def test_memory_maps(self, executor: Executor, tmp_path: Path, dtype: str) -> None:
        """Documents may lie in a read-only memory map, at an offset that is no multiple of the item size.

        int8 codes lie there between their scales, so that neither is contiguous.
        """
        _needs_dtype(executor, dtype)
        plain = _block(_matrices(33, [5, 1, 40, 9], 41), dtype=dtype)
        docs = [plain.document(number) for number in range(4)]
        fields: list[tuple[str, Any, Any]] = [("vectors", plain.vectors.dtype, 41), ("scale", np.float32, 1)]
        row = np.dtype(fields if plain.scales is not None else fields[:1])
        rows = np.empty(len(plain.vectors), dtype=row)
        rows["vectors"] = plain.vectors
        if plain.scales is not None:
            rows["scale"] = plain.scales[:, np.newaxis]
        queries = _matrices(34, [6, 2], 41)
        for offset in (0, 64, 3):
            path = tmp_path / f"{offset}.bin"
            path.write_bytes(b"\0" * offset + rows.tobytes())
            mapped: Any = np.memmap(path, dtype=row, mode="r", offset=offset, shape=len(rows))
            scales = None if plain.scales is None else mapped["scale"][:, 0]
            block = IndexBlock(plain.offsets, mapped["vectors"], None, scales)
            for scores, matrix in zip(_score(executor, queries, block), queries, strict=True):
                assert_exact(scores, matrix, docs)
            some = np.array([3, 1], dtype=np.int64)
            for scores, matrix in zip(_score(executor, queries, block, some), queries, strict=True):
                assert_exact(scores, matrix, [docs[3], docs[1]])

    def _assert_same(
        self, found: Float32Matrix, expected: Float32Matrix, block: IndexBlock, queries: Matrices, chosen: list[int]
    ) -> None:
        assert found.shape == expected.shape
        for mine, theirs, matrix in zip(found, expected, queries, strict=True):
            _, allowed = exact_scores(matrix, [block.document(number) for number in chosen])
            limit = self.batch_tolerance * allowed / 1e-5
            difference = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
            assert (difference <= limit).all(), f"scores {mine.tolist()} and {theirs.tolist()} should be the same"
            order = [np.argsort(-scores, kind="stable").tolist() for scores in (mine, theirs)]
            assert order[0] == order[1], "the order of documents differs"


def _matrices(seed: int, lengths: Sequence[int], dim: int) -> list[Float32Matrix]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal((length, dim), dtype=np.float32) for length in lengths]


def _packed(matrices: Matrices) -> tuple[Float32Matrix, Int64Vector]:
    return np.concatenate(matrices), offsets_from_counts(np.array([len(m) for m in matrices], dtype=np.int64))


def _block(docs: Matrices, *, dtype: str = "float32") -> IndexBlock:
    vectors, offsets = _packed(docs)
    return converted_block(IndexBlock(offsets, vectors), dtype, (), "")


def _needs_dtype(executor: Executor, vector_dtype: str) -> None:
    if vector_dtype == "int8" and vector_dtype not in executor.backend_info().vector_dtypes:
        pytest.skip("the executor does not take int8 (backend_info().vector_dtypes); Kayak decodes for it")


def _score(
    executor: Executor, queries: Matrices, block: IndexBlock, positions: Int64Vector | None = None
) -> Float32Matrix:
    return executor.maxsim(*_packed(queries), block, positions)


def _assert_scores(executor: Executor, queries: Matrices, docs: Matrices) -> None:
    found = _score(executor, queries, _block(docs))
    assert found.shape == (len(queries), len(docs))
    for row, matrix in zip(found, queries, strict=True):
        assert_exact(row, matrix, docs)
