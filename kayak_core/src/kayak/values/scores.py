"""`LateScores` and `SearchHit`: what scoring returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np

from kayak.errors import InvalidInputError, MissingDependencyError
from kayak.typing import Float32Vector
from kayak.values.coerce import as_numeric_array, non_negative_int, string_tuple, to_float32
from kayak.values.ranking import top_positions


@attrs.frozen
class SearchHit:
    """One document of a ranking.

    Attributes:
        doc_id: the document's id.
        score: its score; higher is better. For exact MaxSim the sum over query vectors of the best dot product.
    """

    doc_id: str
    score: float


@attrs.frozen(eq=False, repr=False)
class LateScores:
    """One score a document, in index order.

    Attributes:
        backend: name of the executor that computed the scores.
        doc_ids: the documents, in index order.
        values: read-only float32, shape (documents,).
        query_vector_count: number of query token vectors behind each score, where known.
    """

    backend: str
    doc_ids: tuple[str, ...]
    values: Float32Vector
    query_vector_count: int | None = None

    @classmethod
    def from_values(
        cls, backend: str, doc_ids: Iterable[str], values: Any, *, query_vector_count: int | None = None
    ) -> LateScores:
        """Build scores from aligned ids and values.

        Raises:
            InvalidTypeError: ids are not strings or values not numeric.
            InvalidInputError: the lengths differ.
        """
        ids = string_tuple(doc_ids, "doc_ids")
        array = to_float32(as_numeric_array(values, "scores"))
        if array.shape != (len(ids),):
            raise InvalidInputError(f"scores of shape {array.shape} do not align with {len(ids)} doc_ids")
        array.flags.writeable = False
        return cls(backend, ids, array, query_vector_count)

    def numpy(self) -> Float32Vector:
        """Return the values as a read-only float32 array of shape (documents,)."""
        return self.values

    def torch(self) -> Any:
        """Return the values as a float32 torch tensor of shape (documents,), a copy.

        Raises:
            MissingDependencyError: torch is not installed.
        """
        try:
            import torch
        except ImportError as error:
            raise MissingDependencyError(
                "LateScores.torch() needs PyTorch; install it with `pip install torch`, or use .numpy()"
            ) from error
        return torch.from_numpy(self.values.copy())

    def topk(self, k: int) -> tuple[SearchHit, ...]:
        """Return the `k` best documents, best first; equal scores keep index order.

        Returns all documents where there are fewer than `k`.

        Raises:
            InvalidTypeError: `k` is no integer.
            InvalidInputError: `k` is negative.
        """
        best = top_positions(self.values, non_negative_int(k, "k"))
        ids = map(self.doc_ids.__getitem__, best.tolist())
        return tuple(map(SearchHit, ids, self.values[best].tolist()))

    def normalized(self) -> LateScores:
        """Return the scores divided by the number of query token vectors.

        With unit vectors the result lies in [-1, 1], whatever the length of the query.

        Raises:
            InvalidInputError: the scores do not carry a query vector count.
        """
        if not self.query_vector_count:
            raise InvalidInputError(
                "these scores carry no query_vector_count; scores from kayak.maxsim do, "
                "or pass query_vector_count= to LateScores.from_values"
            )
        return LateScores.from_values(
            self.backend,
            self.doc_ids,
            self.values / np.float32(self.query_vector_count),
            query_vector_count=self.query_vector_count,
        )

    def __len__(self) -> int:
        return len(self.doc_ids)

    def __repr__(self) -> str:
        return f"LateScores({len(self.doc_ids)} documents, backend={self.backend!r})"
