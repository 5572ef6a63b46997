"""`LateQueryBatch`: several ragged queries of one dimension."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate

import attrs
import numpy as np

import kayak  # the lazy public namespace: methods that only forward to a public function go through it
from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.typing import Float32Matrix, Int64Vector, QueryBatchInput
from kayak.values.backend_names import NUMPY_REFERENCE_BACKEND
from kayak.values.coerce import float32_matrix
from kayak.values.late_index import LateIndex
from kayak.values.late_query import LateQuery
from kayak.values.scores import LateScores, SearchHit


@attrs.frozen(eq=False, repr=False, slots=False)
class LateQueryBatch:
    """Queries that are scored together, in one pass over the documents.

    Queries may have different numbers of token vectors; they share one dimension.

    Attributes:
        queries: the queries, in order.
    """

    queries: tuple[LateQuery, ...]

    @classmethod
    def from_inputs(cls, token_vectors: QueryBatchInput) -> LateQueryBatch:
        """Build a batch from token matrices or `LateQuery` objects.

        Raises:
            InvalidTypeError: one query instead of a sequence, or a value that is not numeric.
            InvalidInputError: no query, a malformed matrix (the message names its position), or mixed dimensions.
        """
        if isinstance(token_vectors, LateQuery):
            raise InvalidTypeError("query_batch expects a sequence of queries, got one LateQuery; use [query]")
        queries = [
            item if isinstance(item, LateQuery) else LateQuery(float32_matrix(item, f"query {position} of the batch"))
            for position, item in enumerate(token_vectors)
        ]
        return cls.from_queries(queries)

    @classmethod
    def from_queries(cls, queries: Iterable[LateQuery]) -> LateQueryBatch:
        """Build a batch from `LateQuery` objects.

        Raises:
            InvalidTypeError: an element is no `LateQuery`.
            InvalidInputError: no query, or mixed dimensions.
        """
        items = tuple(queries)
        if not items:
            raise InvalidInputError("a query batch needs at least one query, got none")
        for position, item in enumerate(items):
            if not isinstance(item, LateQuery):
                raise InvalidTypeError(
                    f"query {position} of the batch must be a LateQuery, got {type(item).__name__}; "
                    "use kayak.query_batch for matrices"
                )
            if item.vector_dim != items[0].vector_dim:
                raise InvalidInputError(
                    f"query {position} of the batch has dimension {item.vector_dim}, but query 0 has "
                    f"{items[0].vector_dim}; one batch holds one dimension"
                )
        return cls(items)

    @property
    def batch_size(self) -> int:
        """Number of queries."""
        return len(self.queries)

    @property
    def vector_counts(self) -> tuple[int, ...]:
        """Number of token vectors of each query."""
        return tuple(query.vector_count for query in self.queries)

    @property
    def vector_dim(self) -> int:
        """Dimension that all queries share."""
        return self.queries[0].vector_dim

    @property
    def layouts(self) -> tuple[str, ...]:
        """Layout of each query."""
        return tuple(query.layout for query in self.queries)

    @cached_property
    def offsets(self) -> Int64Vector:
        """Row offsets into `packed_vectors`: batch size + 1 ascending int64."""
        return np.array([0, *accumulate(self.vector_counts)], dtype=np.int64)  # few values: faster than cumsum

    @cached_property
    def packed_vectors(self) -> Float32Matrix:
        """All queries' token vectors one below the other, float32, shape (Σ vectors, dimension)."""
        if len(self.queries) == 1:
            return self.queries[0].as_vector_matrix()
        return np.concatenate([query.as_vector_matrix() for query in self.queries])

    def to_layout(self, layout: str) -> LateQueryBatch:
        """Return the batch with every query in `layout`.

        Raises:
            InvalidInputError: the layout is unknown, or flat with a dimension other than 128.
        """
        return LateQueryBatch(tuple(query.to_layout(layout) for query in self.queries))

    def maxsim(self, index: LateIndex, *, backend: str = NUMPY_REFERENCE_BACKEND) -> tuple[LateScores, ...]:
        """Score every document of `index` for each query; see `kayak.maxsim_batch`."""
        return kayak.maxsim_batch(self, index, backend=backend)

    def search(
        self, index: LateIndex, *, k: int, backend: str = NUMPY_REFERENCE_BACKEND
    ) -> tuple[tuple[SearchHit, ...], ...]:
        """Return each query's `k` best documents; see `kayak.search_batch`."""
        return kayak.search_batch(self, index, k=k, backend=backend)

    def __len__(self) -> int:
        return len(self.queries)

    def __iter__(self) -> Iterator[LateQuery]:
        return iter(self.queries)

    def __getitem__(self, position: int) -> LateQuery:
        return self.queries[position]

    def __repr__(self) -> str:
        return f"LateQueryBatch({self.batch_size} queries, {sum(self.vector_counts)} vectors × {self.vector_dim})"


def query_batch(token_vectors: QueryBatchInput) -> LateQueryBatch:
    """Build a batch of queries from token matrices or `LateQuery` objects; lengths may differ.

    Raises:
        InvalidTypeError: one query instead of a sequence, or a value that is not numeric.
        InvalidInputError: no query, a malformed matrix (the message names its position), or mixed dimensions.
    """
    return LateQueryBatch.from_inputs(token_vectors)
