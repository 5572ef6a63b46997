"""`LateQuery`: the token vectors of one query, with an explicit layout."""

from __future__ import annotations

import attrs

from kayak.typing import Float32Matrix, Float32Vector, TokenMatrixInput, TokenValuesInput
from kayak.values.coerce import flat_matrix, float32_matrix, optional_text
from kayak.values.layouts import (
    FLAT_DIM128_LAYOUT,
    FLAT_LAYOUT_DIM,
    NESTED_LAYOUT,
    QUERY_LAYOUTS,
    check_layout,
)


@attrs.frozen(eq=False, repr=False)
class LateQuery:
    """The token vectors of one query.

    Build one with `kayak.query(matrix)` or `kayak.flat_query_dim128(values)`. The vectors are a read-only
    float32 copy of what was given; they need not have unit norm.

    Attributes:
        layout: "nested" (a matrix) or "flat_dim128" (one flat buffer of dimension 128).
        text: the query's text, needed only by operators that read text.
    """

    _matrix: Float32Matrix
    layout: str = NESTED_LAYOUT
    text: str | None = None

    @classmethod
    def from_vectors(cls, token_vectors: TokenMatrixInput, *, text: str | None = None) -> LateQuery:
        """Build a nested query from a matrix of shape (token vectors, dimension).

        Raises:
            InvalidTypeError: the values are not numeric, or the text is no string.
            InvalidInputError: the matrix is not 2-D, is empty, ragged or not finite.
        """
        return cls(float32_matrix(token_vectors, "query"), NESTED_LAYOUT, optional_text(text, "query text"))

    @classmethod
    def from_flat_values(
        cls, token_values: TokenValuesInput, *, vector_dim: int = FLAT_LAYOUT_DIM, text: str | None = None
    ) -> LateQuery:
        """Build a flat query from one axis of token vectors × 128 values.

        Raises:
            InvalidTypeError: the values are not numeric, or the text is no string.
            InvalidInputError: `vector_dim` is not 128, or the length is no positive multiple of it.
        """
        check_layout(FLAT_DIM128_LAYOUT, QUERY_LAYOUTS, vector_dim, "query")
        matrix = flat_matrix(token_values, vector_dim, "flat query")
        return cls(matrix, FLAT_DIM128_LAYOUT, optional_text(text, "query text"))

    @property
    def vector_count(self) -> int:
        """Number of token vectors."""
        return int(self._matrix.shape[0])

    @property
    def vector_dim(self) -> int:
        """Dimension of each token vector."""
        return int(self._matrix.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(token vectors, dimension)."""
        return self.vector_count, self.vector_dim

    @property
    def token_vectors(self) -> Float32Matrix | None:
        """The matrix of a nested query; None in the flat layout (see `as_vector_matrix`)."""
        return self._matrix if self.layout == NESTED_LAYOUT else None

    @property
    def token_values(self) -> Float32Vector | None:
        """The flat buffer of a flat query; None in the nested layout (see `as_flat_values`)."""
        return self._matrix.reshape(-1) if self.layout == FLAT_DIM128_LAYOUT else None

    def as_vector_matrix(self) -> Float32Matrix:
        """Return the read-only float32 matrix of shape (token vectors, dimension), whatever the layout."""
        return self._matrix

    def as_flat_values(self) -> Float32Vector:
        """Return the values as one read-only float32 axis of token vectors × 128.

        Raises:
            InvalidInputError: the dimension is not 128.
        """
        check_layout(FLAT_DIM128_LAYOUT, QUERY_LAYOUTS, self.vector_dim, "query")
        return self._matrix.reshape(-1)

    def to_layout(self, layout: str) -> LateQuery:
        """Return this query in another layout, sharing the vectors.

        Raises:
            InvalidInputError: the layout is unknown, or flat with a dimension other than 128.
        """
        check_layout(layout, QUERY_LAYOUTS, self.vector_dim, "query")
        return attrs.evolve(self, layout=layout)

    def with_text(self, text: str | None) -> LateQuery:
        """Return this query with another text, sharing the vectors."""
        return attrs.evolve(self, text=optional_text(text, "query text"))

    def __len__(self) -> int:
        return self.vector_count

    def __repr__(self) -> str:
        text = "" if self.text is None else f", text={self.text!r:.60}"
        return f"LateQuery({self.vector_count} vectors × {self.vector_dim}, layout={self.layout!r}{text})"


def query(token_vectors: TokenMatrixInput, *, text: str | None = None) -> LateQuery:
    """Build a query from its token vectors.

    Args:
        token_vectors: shape (token vectors ≥ 1, dimension), finite; NumPy, torch, DLPack or nested lists.
        text: the query's text, where a later stage reads it.

    Returns:
        A nested `LateQuery` over a read-only float32 copy.

    Raises:
        InvalidTypeError: the values are not numeric, or the text is no string.
        InvalidInputError: the matrix is not 2-D, is empty, ragged or not finite.
    """
    return LateQuery.from_vectors(token_vectors, text=text)


def flat_query_dim128(token_values: TokenValuesInput, *, text: str | None = None) -> LateQuery:
    """Build a flat query from one axis of token vectors × 128 values.

    Raises:
        InvalidTypeError: the values are not numeric, or the text is no string.
        InvalidInputError: the length is no positive multiple of 128, or a value is not finite.
    """
    return LateQuery.from_flat_values(token_values, vector_dim=FLAT_LAYOUT_DIM, text=text)
