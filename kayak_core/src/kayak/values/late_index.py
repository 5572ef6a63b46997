"""`LateIndex`: documents to score, as a sequence of immutable blocks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np

import kayak  # the lazy public namespace: methods that only forward to a public function go through it
from kayak.errors import EmptySelectionError, InvalidInputError, InvalidTypeError
from kayak.typing import (
    DocIdsInput,
    DocOffsetsInput,
    Float32Matrix,
    Float32Vector,
    Int64Vector,
    TokenMatrixInput,
    TokenValuesInput,
)
from kayak.values.artifacts import IndexOrigin
from kayak.values.backend_names import NUMPY_REFERENCE_BACKEND
from kayak.values.blocks import IndexBlock, IndexSlice, check_offsets, gathered_block, offsets_from_counts
from kayak.values.coerce import (
    as_numeric_array,
    document_ids,
    flat_matrix,
    float32_matrix,
    non_negative_int,
    optional_texts,
    string_tuple,
)
from kayak.values.conversion import converted_block
from kayak.values.element_types import VECTOR_DTYPES, check_vector_dtype
from kayak.values.late_query import LateQuery
from kayak.values.layouts import (
    FLAT_LAYOUT_DIM,
    HYBRID_FLAT_DIM128_LAYOUT,
    INDEX_LAYOUTS,
    PACKED_LAYOUT,
    check_layout,
)
from kayak.values.prepared import Prepared, PreparedArtifacts
from kayak.values.scores import LateScores, SearchHit


@attrs.frozen(eq=False, repr=False, slots=False)
class LateIndex:
    """An ordered collection of documents, each a group of token vectors, that queries are scored against.

    Build one with `documents(...).pack()`, `kayak.packed_index(...)` or `store.load_index()`. An index never
    changes; its vectors may lie in memory maps, and selections share them.

    Attributes:
        doc_ids: the documents, in index order (the order in which equal scores are ranked).
        slices: where the vectors lie. Executors read these; see `kayak.IndexSlice`.
        layout: "packed" or "hybrid_flat_dim128".
        doc_texts: one text (or None) a document; None where no document has one or texts were not loaded.
        origin: where the documents are stored, if the store keeps artifacts beside them; else None.
    """

    doc_ids: tuple[str, ...]
    slices: tuple[IndexSlice, ...]
    layout: str = PACKED_LAYOUT
    doc_texts: tuple[str | None, ...] | None = None
    origin: IndexOrigin | None = None
    _prepared: PreparedArtifacts = attrs.field(factory=PreparedArtifacts, init=False)

    @classmethod
    def from_packed(
        cls,
        doc_ids: DocIdsInput,
        doc_offsets: DocOffsetsInput,
        token_vectors: TokenMatrixInput,
        *,
        doc_texts: Sequence[str | None] | None = None,
    ) -> LateIndex:
        """Build a packed index from offsets and one matrix; see `kayak.packed_index`."""
        return cls._from_matrix(
            doc_ids, doc_offsets, float32_matrix(token_vectors, "token_vectors"), PACKED_LAYOUT, doc_texts
        )

    @classmethod
    def from_hybrid_flat_dim128(
        cls,
        doc_ids: DocIdsInput,
        doc_offsets: DocOffsetsInput,
        token_values: TokenValuesInput,
        *,
        doc_texts: Sequence[str | None] | None = None,
    ) -> LateIndex:
        """Build a flat index from offsets and one buffer; see `kayak.hybrid_flat_dim128_index`."""
        matrix = flat_matrix(token_values, FLAT_LAYOUT_DIM, "token_values")
        return cls._from_matrix(doc_ids, doc_offsets, matrix, HYBRID_FLAT_DIM128_LAYOUT, doc_texts)

    @classmethod
    def _from_matrix(
        cls,
        doc_ids: DocIdsInput,
        doc_offsets: DocOffsetsInput,
        matrix: Float32Matrix,
        layout: str,
        doc_texts: Sequence[str | None] | None,
    ) -> LateIndex:
        ids = document_ids(doc_ids)
        raw = as_numeric_array(doc_offsets, "doc_offsets")
        if raw.ndim != 1 or raw.dtype.kind not in "iu":
            raise InvalidTypeError(
                f"doc_offsets must be one axis of integers, got shape {raw.shape} of dtype {raw.dtype}"
            )
        offsets = np.array(raw, dtype=np.int64)
        check_offsets(offsets, len(ids), matrix.shape[0])
        offsets.flags.writeable = False
        rows = np.arange(len(ids), dtype=np.int64)
        texts = optional_texts(doc_texts, ids, "doc_texts")
        return cls(ids, (IndexSlice(IndexBlock(offsets, matrix), None, rows),), layout, texts)

    @property
    def document_count(self) -> int:
        """Number of documents."""
        return len(self.doc_ids)

    @property
    def vector_dim(self) -> int:
        """Dimension of each token vector."""
        return self.slices[0].block.vector_dim

    @property
    def vector_dtype(self) -> str:
        """Stored element type, "float32", "float16" or "int8"; of blocks that differ, the coarsest."""
        return max((part.block.vector_dtype for part in self.slices), key=VECTOR_DTYPES.index)

    @cached_property
    def counts(self) -> Int64Vector:
        """Number of token vectors of each document, read-only int64 in index order."""
        counts = np.empty(self.document_count, dtype=np.int64)
        for part in self.slices:
            counts[part.rows] = part.counts
        counts.flags.writeable = False
        return counts

    @cached_property
    def vector_counts(self) -> tuple[int, ...]:
        """Number of token vectors of each document."""
        return tuple(self.counts.tolist())

    @cached_property
    def total_vector_count(self) -> int:
        """Number of token vectors of all documents."""
        return int(self.counts.sum())

    @cached_property
    def vector_byte_size(self) -> int:
        """Bytes that a full scan of the vectors reads."""
        return sum(part.byte_size for part in self.slices)

    @cached_property
    def doc_offsets(self) -> Int64Vector:
        """Offsets of the documents in `as_packed_token_matrix()`: documents + 1, read-only int64."""
        return offsets_from_counts(self.counts)

    @property
    def token_vectors(self) -> Float32Matrix | None:
        """The packed matrix of a packed index; None in the flat layout (see `as_packed_token_matrix`)."""
        return self.as_packed_token_matrix() if self.layout == PACKED_LAYOUT else None

    @property
    def token_values(self) -> Float32Vector | None:
        """The flat buffer of a hybrid_flat_dim128 index; None in the packed layout."""
        return self.as_flat_token_values() if self.layout == HYBRID_FLAT_DIM128_LAYOUT else None

    def as_packed_token_matrix(self) -> Float32Matrix:
        """Return all token vectors in index order, read-only float32 of shape (token vectors, dimension).

        One float32 block in order is returned as it is; anything else is consolidated into a copy, once.

        Raises:
            StoreCorruptError: stored vectors do not match their checksum.
        """
        return self._packed_matrix

    @cached_property
    def _packed_matrix(self) -> Float32Matrix:
        first = self.slices[0]
        in_order = len(self.slices) == 1 and first.positions is None
        if in_order and bool((first.rows == np.arange(self.document_count)).all()):
            first.block.verify()
            offsets = first.block.offsets
            matrix = first.block.float32_rows(slice(int(offsets[0]), int(offsets[-1]))).view()
        else:
            matrix = gathered_block(self.slices, float32=True).float32_rows(slice(None))
        matrix.flags.writeable = False
        return matrix

    def as_flat_token_values(self) -> Float32Vector:
        """Return all values in index order as one read-only float32 axis of token vectors × 128.

        Raises:
            InvalidInputError: the dimension is not 128.
            StoreCorruptError: stored vectors do not match their checksum.
        """
        check_layout(HYBRID_FLAT_DIM128_LAYOUT, INDEX_LAYOUTS, self.vector_dim, "index")
        return self.as_packed_token_matrix().reshape(-1)

    def document_token_matrix(self, document_index: int) -> Float32Matrix:
        """Return one document's token vectors, read-only float32 of shape (token vectors, dimension).

        Raises:
            InvalidTypeError: the index is no integer.
            InvalidInputError: there is no such document.
            StoreCorruptError: stored vectors do not match their checksum.
        """
        number = non_negative_int(document_index, "document_index")
        if number >= self.document_count:
            raise InvalidInputError(f"document_index {number} is out of range for {self.document_count} documents")
        for part in self.slices:
            member = np.flatnonzero(part.rows == number)
            if len(member):
                return part.block.document(int(member[0] if part.positions is None else part.positions[member[0]]))
        raise InvalidInputError(f"no slice holds document {number}; the index was built inconsistently")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {doc_id: number for number, doc_id in enumerate(self.doc_ids)}

    def numbers_of(self, doc_ids: Iterable[str]) -> Int64Vector:
        """Return the document numbers of the given ids, int64, in the given order.

        Raises:
            InvalidTypeError: ids that are not strings.
            InvalidInputError: an id that is not in the index.
        """
        ids = string_tuple(doc_ids, "doc_ids")
        try:
            return np.array([self._numbers[doc_id] for doc_id in ids], dtype=np.int64)
        except KeyError as error:
            raise InvalidInputError(
                f"document id {error.args[0]!r} is not in this index of {self.document_count} documents"
            ) from error

    def select(self, doc_ids: DocIdsInput) -> LateIndex:
        """Return an index of the given documents, in the given order, over the same memory.

        Raises:
            InvalidTypeError: ids that are not strings.
            InvalidInputError: an unknown or repeated id.
            EmptySelectionError: no id is given.
        """
        ids = document_ids(doc_ids)
        if not ids:
            raise EmptySelectionError("select() needs at least one document id, got none")
        return self.take(self.numbers_of(ids))

    def take(self, numbers: Int64Vector) -> LateIndex:
        """Return an index of the documents with the given distinct numbers, in that order, over the same memory."""
        slice_of, member_of = self._places
        slices = []
        for number, part in enumerate(self.slices):
            rows = np.flatnonzero(slice_of[numbers] == number)
            if len(rows):
                members = member_of[numbers[rows]]
                order = np.argsort(members, kind="stable")  # as they lie in the block
                slices.append(part.take(members[order], rows[order]))
        chosen = numbers.tolist()
        texts = None if self.doc_texts is None else tuple(self.doc_texts[i] for i in chosen)
        origin = None if self.origin is None else self.origin.take(numbers)
        return LateIndex(tuple(self.doc_ids[i] for i in chosen), tuple(slices), self.layout, texts, origin)

    @cached_property
    def _places(self) -> tuple[Int64Vector, Int64Vector]:
        """The number of each document's slice, and its number within that slice: found once, as windows are many."""
        slice_of = np.empty(self.document_count, dtype=np.int64)
        member_of = np.empty(self.document_count, dtype=np.int64)
        for number, part in enumerate(self.slices):
            slice_of[part.rows] = number
            member_of[part.rows] = np.arange(len(part.rows))
        return slice_of, member_of

    def to_layout(self, layout: str) -> LateIndex:
        """Return this index in another layout, sharing the vectors.

        Raises:
            InvalidInputError: the layout is unknown, or flat with a dimension other than 128.
        """
        check_layout(layout, INDEX_LAYOUTS, self.vector_dim, "index")
        return self if layout == self.layout else attrs.evolve(self, layout=layout)

    def to_vector_dtype(self, vector_dtype: str) -> LateIndex:
        """Return this index with its vectors stored in another element type, in memory.

        Scores are then exact over the rounded vectors. Beyond float32, "float16" takes half the bytes and "int8" a
        quarter: codes from -127 to 127 and one float32 scale a token vector, see `IndexBlock.scales`.

        Raises:
            InvalidInputError: an unknown element type, or a value that float16 cannot hold.
            StoreCorruptError: stored vectors do not match their checksum.
        """
        wanted = check_vector_dtype(vector_dtype)
        if all(part.block.vector_dtype == wanted for part in self.slices):
            return self
        block = converted_block(gathered_block(self.slices), wanted, self.doc_ids, "use another vector_dtype")
        rows = np.arange(self.document_count, dtype=np.int64)
        return LateIndex(self.doc_ids, (IndexSlice(block, None, rows),), self.layout, self.doc_texts)

    def with_texts(self, doc_texts: Sequence[str | None] | None) -> LateIndex:
        """Return this index with other texts, sharing the vectors.

        Raises:
            InvalidTypeError: a text is no string.
            InvalidInputError: not one text a document.
        """
        return attrs.evolve(self, doc_texts=optional_texts(doc_texts, self.doc_ids, "doc_texts"))

    def prepare(self, key: Hashable, build: Callable[[], Any]) -> Prepared:
        """Return what `build` computes for this index, computing it once and keeping it with the index.

        Candidate generators keep their precomputed structures here. Safe from several threads: others wait.

        Args:
            key: names the artifact, with every parameter that it depends on.
            build: computes it; called at most once a key.

        Returns:
            The value, the seconds that building took, and whether it was built by this call.
        """
        return self._prepared.get(key, build)

    def maxsim(self, query: LateQuery, *, backend: str = NUMPY_REFERENCE_BACKEND) -> LateScores:
        """Score every document; see `kayak.maxsim`."""
        return kayak.maxsim(query, self, backend=backend)

    def search(self, query: LateQuery, *, k: int, backend: str = NUMPY_REFERENCE_BACKEND) -> tuple[SearchHit, ...]:
        """Return the `k` best documents by exact MaxSim; see `kayak.search`."""
        return kayak.search(query, self, k=k, backend=backend)

    def generate_candidates(
        self,
        query: LateQuery,
        generator: kayak.CandidateGenerator,
        *,
        k: int,
        backend: str = NUMPY_REFERENCE_BACKEND,
    ) -> kayak.CandidateStageResult:
        """Run stage 1 alone; see `kayak.generate_candidates`."""
        return kayak.generate_candidates(query, self, generator, k=k, backend=backend)

    def search_with_plan(
        self, query: LateQuery, *, plan: kayak.SearchPlan, backend: str = NUMPY_REFERENCE_BACKEND
    ) -> kayak.SearchPlanResult:
        """Run a staged plan; see `kayak.search_with_plan`."""
        return kayak.search_with_plan(query, self, plan, backend=backend)

    def __len__(self) -> int:
        return self.document_count

    def __repr__(self) -> str:
        return (
            f"LateIndex({self.document_count} documents, {self.total_vector_count} vectors × {self.vector_dim} "
            f"{self.vector_dtype}, layout={self.layout!r}, {len(self.slices)} block"
            f"{'s' if len(self.slices) != 1 else ''})"
        )


def packed_index(
    doc_ids: DocIdsInput,
    doc_offsets: DocOffsetsInput,
    token_vectors: TokenMatrixInput,
    *,
    doc_texts: Sequence[str | None] | None = None,
) -> LateIndex:
    """Build a packed index from offsets and one matrix of token vectors.

    Args:
        doc_ids: unique, non-empty ids.
        doc_offsets: documents + 1 integers; document i owns rows `doc_offsets[i]` to `doc_offsets[i + 1]`.
        token_vectors: shape (token vectors, dimension), finite; copied as float32.
        doc_texts: one text a document.

    Raises:
        InvalidTypeError: ids or texts that are not strings, values that are not numeric, offsets not integers.
        InvalidInputError: offsets that do not split the rows into non-empty documents, misaligned lengths,
            repeated ids, values that are not finite.
    """
    return LateIndex.from_packed(doc_ids, doc_offsets, token_vectors, doc_texts=doc_texts)


def hybrid_flat_dim128_index(
    doc_ids: DocIdsInput,
    doc_offsets: DocOffsetsInput,
    token_values: TokenValuesInput,
    *,
    doc_texts: Sequence[str | None] | None = None,
) -> LateIndex:
    """Build a flat index from offsets (in vectors) and one axis of token vectors × 128 values.

    Raises:
        InvalidTypeError: ids or texts that are not strings, values that are not numeric, offsets not integers.
        InvalidInputError: a length that is no multiple of 128, offsets that do not fit, misaligned lengths,
            repeated ids, values that are not finite.
    """
    return LateIndex.from_hybrid_flat_dim128(doc_ids, doc_offsets, token_values, doc_texts=doc_texts)
