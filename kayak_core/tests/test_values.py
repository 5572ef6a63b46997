"""Queries, batches, documents and indexes: what they accept, share, refuse and say."""

from __future__ import annotations

import copy
import sys

import kayak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kayak.testing.strategies import doc_ids, token_matrices

EYE = np.eye(2, dtype=np.float32)


class TestQuery:
    def test_copies_and_freezes(self) -> None:
        source = np.eye(3, dtype=np.float32)
        query = kayak.query(source, text="hello")
        source[:] = 7
        matrix = query.as_vector_matrix()
        assert matrix.tolist() == np.eye(3).tolist()
        assert not matrix.flags.writeable
        assert (query.shape, query.vector_count, query.vector_dim, len(query)) == ((3, 3), 3, 3, 3)
        assert (query.layout, query.text) == ("nested", "hello")
        assert query.token_values is None
        assert query.token_vectors is matrix
        assert repr(query) == "LateQuery(3 vectors × 3, layout='nested', text='hello')"

    def test_flat_layout_round_trip(self) -> None:
        values = np.arange(256, dtype=np.float32)
        query = kayak.flat_query_dim128(values, text="t")
        assert query.layout == "flat_dim128"
        assert query.token_vectors is None
        assert query.token_values is not None
        assert query.token_values.tolist() == values.tolist()
        nested = query.to_layout("nested")
        assert nested.shape == (2, 128)
        assert nested.text == "t"
        assert np.shares_memory(nested.as_vector_matrix(), query.as_flat_values())
        assert nested.to_layout("flat_dim128").as_flat_values().tolist() == values.tolist()

    def test_with_text_shares_vectors(self) -> None:
        query = kayak.query(EYE)
        other = query.with_text("x")
        assert (query.text, other.text) == (None, "x")
        assert other.as_vector_matrix() is query.as_vector_matrix()

    @pytest.mark.parametrize(
        ("value", "error", "message"),
        [
            (np.zeros((0, 2)), kayak.InvalidInputError, "query has no token vectors (shape (0, 2))"),
            (np.zeros((2, 0)), kayak.InvalidInputError, "query has vectors of dimension 0"),
            (np.zeros(3), kayak.InvalidInputError, "2-D matrix of shape (vectors, dimension), got shape (3,)"),
            ([[1.0, 2.0], [3.0]], kayak.InvalidInputError, "query is ragged"),
            ([[1.0, np.nan]], kayak.InvalidInputError, "NaN, infinity or a value beyond the range of float32"),
            ([[1.0], [np.inf]], kayak.InvalidInputError, "in token vector 1"),
            ([[1e300]], kayak.InvalidInputError, "beyond the range of float32"),
            ("words", kayak.InvalidTypeError, "got str"),
            (None, kayak.InvalidTypeError, "got NoneType"),
            ([["a"]], kayak.InvalidTypeError, "must hold real numbers"),
            (np.array([[1j]]), kayak.InvalidTypeError, "dtype complex128"),
            (np.array([[True]]), kayak.InvalidTypeError, "dtype bool"),
            (np.ma.masked_equal([[1.0, 2.0]], 2.0), kayak.InvalidInputError, "masked entries"),
        ],
    )
    def test_refuses(self, value: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            kayak.query(value)  # type: ignore[arg-type]
        assert message in str(caught.value)

    def test_refuses_a_text_that_is_no_string(self) -> None:
        with pytest.raises(TypeError, match="query text must be a string or None, got int"):
            kayak.query(EYE, text=3)  # type: ignore[arg-type]

    def test_flat_refusals(self) -> None:
        with pytest.raises(ValueError, match=r"one axis of vectors × 128 values, got shape \(100,\)"):
            kayak.flat_query_dim128(np.zeros(100))
        with pytest.raises(ValueError, match="holds vectors of dimension 128, but this query has dimension 2"):
            kayak.query(EYE).as_flat_values()
        with pytest.raises(ValueError, match="unknown query layout 'packed'; expected one of nested, flat_dim128"):
            kayak.query(EYE).to_layout("packed")

    @given(
        arrays(
            st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint64]),
            (3, 4),
            elements=st.integers(0, 100),
        )
    )
    def test_any_real_dtype_becomes_float32(self, array: np.ndarray) -> None:
        matrix = kayak.query(array).as_vector_matrix()
        assert matrix.dtype == np.float32
        assert matrix.tolist() == array.astype(np.float32).tolist()

    def test_masked_array_without_masked_entries(self) -> None:
        assert kayak.query(np.ma.masked_array(EYE)).shape == (2, 2)


class TestForeignArrays:
    def test_dlpack_only_objects(self) -> None:
        class Exporter:
            def __init__(self, array: np.ndarray) -> None:
                self._array = array

            def __dlpack__(self, **kwargs: object) -> object:
                return self._array.__dlpack__(**kwargs)

            def __dlpack_device__(self) -> tuple[int, int]:
                return self._array.__dlpack_device__()

        assert kayak.query(Exporter(EYE)).as_vector_matrix().tolist() == EYE.tolist()  # type: ignore[arg-type]

    def test_ml_dtypes_bfloat16(self) -> None:
        ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
        assert kayak.query(EYE.astype(ml_dtypes.bfloat16)).as_vector_matrix().tolist() == EYE.tolist()

    def test_torch_tensors(self) -> None:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        for tensor in (
            torch.eye(2),
            torch.eye(2, dtype=torch.bfloat16),
            torch.eye(2, dtype=torch.float16),
            torch.eye(2, requires_grad=True),
        ):
            assert kayak.query(tensor).as_vector_matrix().tolist() == EYE.tolist()
            assert kayak.documents(["a"], [tensor]).token_matrices[0].tolist() == EYE.tolist()
        scores = kayak.maxsim(kayak.query(EYE), kayak.documents(["a"], [EYE]).pack())
        assert scores.torch().tolist() == [2.0]


class TestBatch:
    def test_ragged_queries(self) -> None:
        batch = kayak.query_batch([EYE, kayak.query([[1.0, 0.0]], text="x"), np.ones((3, 2))])
        assert (batch.batch_size, len(batch), batch.vector_dim) == (3, 3, 2)
        assert batch.vector_counts == (2, 1, 3)
        assert batch.layouts == ("nested",) * 3
        assert batch.offsets.tolist() == [0, 2, 3, 6]
        assert batch.packed_vectors.shape == (6, 2)
        assert [query.text for query in batch] == [None, "x", None]
        assert batch[1].text == "x"
        assert repr(batch) == "LateQueryBatch(3 queries, 6 vectors × 2)"
        flat = kayak.query_batch([np.ones((1, 128))]).to_layout("flat_dim128")
        assert flat.layouts == ("flat_dim128",)

    @pytest.mark.parametrize(
        ("value", "error", "message"),
        [
            ([], ValueError, "at least one query, got none"),
            ([EYE, np.eye(3)], ValueError, "query 1 of the batch has dimension 3, but query 0 has 2"),
            ([EYE, np.zeros((0, 2))], ValueError, "query 1 of the batch has no token vectors"),
            (kayak.query(EYE), TypeError, "got one LateQuery; use [query]"),
        ],
    )
    def test_refuses(self, value: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            kayak.query_batch(value)  # type: ignore[arg-type]
        assert message in str(caught.value)

    def test_from_queries_refuses_matrices(self) -> None:
        with pytest.raises(TypeError, match="query 0 of the batch must be a LateQuery, got ndarray"):
            kayak.LateQueryBatch.from_queries([EYE])  # type: ignore[list-item]


class TestDocuments:
    def test_one_copy_shared_with_the_index(self) -> None:
        source = [np.eye(2, dtype=np.float32), np.ones((3, 2), dtype=np.float32)]
        documents = kayak.documents(["a", "b"], source, texts=["x", None])
        source[0][:] = 9
        assert documents.token_matrices[0].tolist() == EYE.tolist()
        index = documents.pack()
        assert np.shares_memory(index.as_packed_token_matrix(), documents.token_matrices[1])
        assert (documents.document_count, documents.total_vector_count, documents.vector_dim) == (2, 5, 2)
        assert (documents.doc_ids, documents.texts, documents.vector_counts) == (("a", "b"), ("x", None), (2, 3))
        assert not documents.token_matrices[0].flags.writeable
        assert len(documents) == 2
        assert repr(documents) == "LateDocuments(2 documents, 5 vectors × 2, with texts)"

    def test_texts_of_none_are_no_texts(self) -> None:
        assert kayak.documents(["a"], [EYE], texts=[None]).texts is None
        assert kayak.documents(["a"], [EYE]).with_texts(["t"]).texts == ("t",)

    def test_a_three_dimensional_array(self) -> None:
        assert kayak.documents(["a", "b"], np.ones((2, 3, 4))).vector_counts == (3, 3)

    def test_take(self) -> None:
        documents = kayak.documents(["a", "b", "c"], [EYE, [[1, 2]], EYE], texts=["x", "y", "z"])
        part = documents.take([2, 1])
        assert (part.doc_ids, part.texts, part.vector_counts) == (("c", "b"), ("z", "y"), (2, 1))
        assert part.token_matrices[1].tolist() == [[1, 2]]
        assert part.metadata is None

    def test_to_layout(self) -> None:
        index = kayak.documents(["a"], [np.ones((1, 128))]).to_layout("hybrid_flat_dim128")
        assert index.layout == "hybrid_flat_dim128"

    @pytest.mark.parametrize(
        ("ids", "matrices", "error", "message"),
        [
            (["a", "a"], [EYE, EYE], ValueError, "document id 'a' is given twice (positions 0 and 1)"),
            (["a", ""], [EYE, EYE], ValueError, "doc_ids[1] is empty"),
            (["a", 3], [EYE, EYE], TypeError, "doc_ids[1] must be a string, got int 3"),
            ("ab", [EYE, EYE], TypeError, "doc_ids must be a sequence of strings, got one str; use ['ab']"),
            (3, [EYE], TypeError, "doc_ids must be a sequence of strings, got int"),
            (["\ud800"], [EYE], ValueError, "holds a lone surrogate"),
            (["a"], [EYE, EYE], ValueError, "2 token matrices for 1 doc_ids"),
            ([], [], ValueError, "at least one document, got none"),
            (["a"], None, TypeError, "must be a sequence of matrices, got NoneType"),
            (
                ["a", "b"],
                [EYE, np.eye(3)],
                ValueError,
                "document 'b' has vectors of dimension 3, but document 'a' has 2",
            ),
            (["a", "b"], [EYE, np.zeros((0, 2))], ValueError, "document 'b' has no token vectors"),
            (["a", "b"], [EYE, [1.0, 2.0]], ValueError, "document 'b' must be a 2-D matrix"),
            (["a", "b"], [EYE, [[1.0, 2.0], [3.0]]], ValueError, "document 'b' is ragged"),
            (["a", "b"], [EYE, [[0, 1], [np.nan, 2]]], ValueError, "document 'b' holds NaN"),
            (["a", "b"], [EYE, [[0, 1], [np.nan, 2]]], ValueError, "in token vector 1"),
            (["a", "b"], [EYE, [[1e39, 2]]], ValueError, "document 'b' holds NaN, infinity or a value beyond"),
            (["a", "b"], [EYE, "text"], TypeError, "document 'b' must be an array"),
        ],
    )
    def test_refuses(self, ids: object, matrices: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            kayak.documents(ids, matrices)  # type: ignore[arg-type]
        assert message in str(caught.value)
        assert isinstance(caught.value, kayak.KayakError)

    @pytest.mark.parametrize(
        ("texts", "error", "message"),
        [
            (["x"], ValueError, "texts has 1 entries for 2 documents"),
            (["x", 3], TypeError, "the text of document 'b' must be a string, got int"),
            ("xy", TypeError, "texts must be a sequence of strings, got one str"),
            (["x", "\udfff"], ValueError, "the text of document 'b' holds a lone surrogate"),
        ],
    )
    def test_refuses_texts(self, texts: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            kayak.documents(["a", "b"], [EYE, EYE], texts=texts)  # type: ignore[arg-type]
        assert message in str(caught.value)

    def test_string_subclasses_become_plain_ids(self) -> None:
        ids = kayak.documents([np.str_("a")], [EYE]).doc_ids
        assert ids == ("a",)
        assert type(ids[0]) is str

    @given(st.data())
    def test_any_ids_and_matrices_round_trip(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(doc_ids(), min_size=1, max_size=5, unique=True))
        matrices = [data.draw(token_matrices(dim=3)) for _ in ids]
        documents = kayak.documents(ids, matrices)
        index = documents.pack()
        assert index.doc_ids == tuple(ids)
        for number, matrix in enumerate(matrices):
            assert documents.token_matrices[number].tobytes() == matrix.tobytes()
            assert index.document_token_matrix(number).tobytes() == matrix.tobytes()


class TestIndex:
    def test_packed_index(self) -> None:
        index = kayak.packed_index(["a", "b"], [0, 1, 3], [[1, 0], [0, 1], [1, 1]], doc_texts=["x", "y"])
        assert (index.document_count, index.total_vector_count, index.vector_dim, len(index)) == (2, 3, 2, 2)
        assert index.vector_counts == (1, 2)
        assert index.doc_offsets.tolist() == [0, 1, 3]
        assert index.doc_texts == ("x", "y")
        assert (index.layout, index.vector_dtype, index.vector_byte_size) == ("packed", "float32", 24)
        assert index.token_values is None
        assert index.token_vectors is index.as_packed_token_matrix()
        assert index.document_token_matrix(1).tolist() == [[0, 1], [1, 1]]
        assert repr(index) == "LateIndex(2 documents, 3 vectors × 2 float32, layout='packed', 1 block)"

    def test_hybrid_flat_index(self) -> None:
        values = np.arange(384, dtype=np.float32)
        index = kayak.hybrid_flat_dim128_index(["a", "b"], [0, 1, 3], values)
        assert index.token_vectors is None
        assert index.token_values is not None
        assert index.token_values.tolist() == values.tolist()
        packed = index.to_layout("packed")
        assert packed.as_packed_token_matrix().shape == (3, 128)
        assert packed.to_layout("packed") is packed
        assert np.shares_memory(packed.as_packed_token_matrix(), index.as_flat_token_values())

    @pytest.mark.parametrize(
        ("offsets", "error", "message"),
        [
            ([0, 3], ValueError, "doc_offsets has 2 entries for 2 documents; expected documents + 1"),
            ([1, 2, 3], ValueError, "must run from 0 to the number of token vectors (3), got 1 to 3"),
            ([0, 1, 2], ValueError, "got 0 to 2"),
            ([0, 0, 3], ValueError, "gives document 0 no token vectors"),
            ([0, 4, 3], ValueError, "gives document 1 no token vectors"),
            ([0.0, 1.0, 3.0], TypeError, "one axis of integers, got shape (3,) of dtype float64"),
            ([[0, 1, 3]], TypeError, "got shape (1, 3)"),
        ],
    )
    def test_refuses_offsets(self, offsets: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            kayak.packed_index(["a", "b"], offsets, np.ones((3, 2)))  # type: ignore[arg-type]
        assert message in str(caught.value)

    def test_selection_shares_memory_and_keeps_the_given_order(self) -> None:
        index = kayak.documents(["a", "b", "c"], [EYE, [[1, 2]], 2 * EYE], texts=["x", "y", "z"]).pack()
        part = index.select(["c", "a"])
        assert (part.doc_ids, part.doc_texts, part.vector_counts) == (("c", "a"), ("z", "x"), (2, 2))
        assert part.slices[0].block is index.slices[0].block
        assert part.as_packed_token_matrix().tolist() == [[2, 0], [0, 2], [1, 0], [0, 1]]
        again = part.select(["a"])
        assert again.document_token_matrix(0).tolist() == EYE.tolist()
        assert index.with_texts(None).select(["b"]).doc_texts is None

    def test_selection_refusals(self) -> None:
        index = kayak.documents(["a", "b"], [EYE, EYE]).pack()
        with pytest.raises(ValueError, match="document id 'z' is not in this index of 2 documents"):
            index.select(["z"])
        with pytest.raises(kayak.EmptySelectionError, match="at least one document id, got none"):
            index.select([])
        with pytest.raises(ValueError, match="document_index 2 is out of range for 2 documents"):
            index.document_token_matrix(2)
        with pytest.raises(ValueError, match="document_index must be ≥ 0, got -1"):
            index.document_token_matrix(-1)
        with pytest.raises(TypeError, match="document_index must be an integer ≥ 0, got str 'a'"):
            index.document_token_matrix("a")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="unknown index layout 'nested'"):
            index.to_layout("nested")
        with pytest.raises(ValueError, match="but this index has dimension 2; use layout 'packed'"):
            index.to_layout("hybrid_flat_dim128")

    def test_several_blocks_consolidate_in_index_order(self) -> None:
        first = kayak.documents(["a", "b"], [EYE, [[5, 5]]]).block
        second = kayak.documents(["c", "d"], [[[7, 7]], 3 * EYE]).block
        index = kayak.LateIndex(
            ("d", "b", "c"),
            (
                kayak.IndexSlice(second, np.array([1, 0]), np.array([0, 2])),
                kayak.IndexSlice(first, np.array([1]), np.array([1])),
            ),
        )
        assert index.vector_counts == (2, 1, 1)
        assert index.as_packed_token_matrix().tolist() == [[3, 0], [0, 3], [5, 5], [7, 7]]
        assert index.document_token_matrix(2).tolist() == [[7, 7]]
        hits = kayak.search(kayak.query([[1.0, 1.0]]), index, k=3)
        assert [(hit.doc_id, hit.score) for hit in hits] == [("c", 14.0), ("b", 10.0), ("d", 3.0)]
        assert "2 blocks" in repr(index)

    def test_float16_blocks_upcast(self) -> None:
        block = kayak.IndexBlock(np.array([0, 2]), EYE.astype(np.float16))
        index = kayak.LateIndex(("a",), (kayak.IndexSlice(block, None, np.array([0])),))
        assert (index.vector_dtype, index.vector_byte_size) == ("float16", 8)
        assert index.as_packed_token_matrix().dtype == np.float32
        mixed = kayak.LateIndex(
            ("a", "b"),
            (
                kayak.IndexSlice(block, None, np.array([0])),
                kayak.IndexSlice(kayak.documents(["b"], [EYE]).block, None, np.array([1])),
            ),
        )
        assert (mixed.vector_dtype, mixed.vector_byte_size) == ("float16", 24)

    def test_an_inconsistent_index_is_reported(self) -> None:
        block = kayak.documents(["a"], [EYE]).block
        index = kayak.LateIndex(("a", "b"), (kayak.IndexSlice(block, None, np.array([0])),))
        with pytest.raises(ValueError, match="no slice holds document 1; the index was built inconsistently"):
            index.document_token_matrix(1)

    def test_artifacts_are_prepared_once_and_not_copied(self) -> None:
        index = kayak.documents(["a"], [EYE]).pack()
        first = index.prepare("key", object)
        second = index.prepare("key", object)
        assert first.value is second.value
        assert (first.built_now, second.built_now) == (True, False)
        assert second.elapsed_seconds == first.elapsed_seconds
        assert copy.deepcopy(index).prepare("key", lambda: 3).value == 3


class TestScores:
    def test_from_values(self) -> None:
        scores = kayak.LateScores.from_values("b", ["x", "y"], [1, 2.5], query_vector_count=2)
        assert scores.numpy().dtype == np.float32
        assert not scores.numpy().flags.writeable
        assert (len(scores), scores.backend) == (2, "b")
        assert scores.topk(1) == (kayak.SearchHit("y", 2.5),)
        assert scores.normalized().values.tolist() == [0.5, 1.25]
        assert repr(scores) == "LateScores(2 documents, backend='b')"

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match=r"scores of shape \(1,\) do not align with 2 doc_ids"):
            kayak.LateScores.from_values("b", ["x", "y"], [1])
        with pytest.raises(ValueError, match="carry no query_vector_count"):
            kayak.LateScores.from_values("b", ["x"], [1]).normalized()
        scores = kayak.LateScores.from_values("b", ["x"], [1])
        with pytest.raises(ValueError, match="k must be ≥ 0, got -1"):
            scores.topk(-1)
        with pytest.raises(TypeError, match=r"k must be an integer ≥ 0, got float 1\.5"):
            scores.topk(1.5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="got bool True"):
            scores.topk(True)

    def test_torch_missing_is_explained(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(kayak.MissingDependencyError, match="pip install torch"):
            kayak.LateScores.from_values("b", ["x"], [1]).torch()

    @given(st.lists(st.integers(-3, 3), max_size=30), st.integers(0, 40))
    def test_topk_is_a_stable_sort(self, values: list[int], k: int) -> None:
        ids = [str(number) for number in range(len(values))]
        hits = kayak.LateScores.from_values("b", ids, np.array(values, dtype=np.float32)).topk(k)
        expected = sorted(range(len(values)), key=lambda number: (-values[number], number))[:k]
        assert [hit.doc_id for hit in hits] == [str(number) for number in expected]
        assert [hit.score for hit in hits] == [values[number] for number in expected]
