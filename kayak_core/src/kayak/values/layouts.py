"""The storage layouts that queries and indexes name explicitly."""

from __future__ import annotations

from typing import Final

from kayak.errors import InvalidInputError

NESTED_LAYOUT: Final = "nested"
"""A query as a matrix of shape (token vectors, dimension)."""

FLAT_DIM128_LAYOUT: Final = "flat_dim128"
"""A query as one flat buffer of token vectors × 128 values."""

PACKED_LAYOUT: Final = "packed"
"""An index as offsets and token matrices of shape (token vectors, dimension)."""

HYBRID_FLAT_DIM128_LAYOUT: Final = "hybrid_flat_dim128"
"""An index as offsets and flat buffers of token vectors × 128 values."""

QUERY_LAYOUTS: Final = (NESTED_LAYOUT, FLAT_DIM128_LAYOUT)
INDEX_LAYOUTS: Final = (PACKED_LAYOUT, HYBRID_FLAT_DIM128_LAYOUT)
FLAT_LAYOUT_DIM: Final = 128


def check_layout(layout: str, known: tuple[str, ...], vector_dim: int, what: str) -> str:
    """Return `layout` if it is one of `known` and fits the dimension.

    Raises:
        InvalidInputError: the name is unknown, or a flat layout is asked for a dimension other than 128.
    """
    if layout not in known:
        raise InvalidInputError(f"unknown {what} layout {layout!r}; expected one of {', '.join(known)}")
    if layout in (FLAT_DIM128_LAYOUT, HYBRID_FLAT_DIM128_LAYOUT) and vector_dim != FLAT_LAYOUT_DIM:
        raise InvalidInputError(
            f"layout {layout!r} holds vectors of dimension {FLAT_LAYOUT_DIM}, but this {what} has dimension "
            f"{vector_dim}; use layout {known[0]!r}"
        )
    return layout
