"""Blocks in another element type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from kayak.errors import InvalidInputError
from kayak.values.blocks import IndexBlock
from kayak.values.coerce import first_non_finite_row
from kayak.values.element_types import FLOAT16, INT8, encode_int8


def converted_block(block: IndexBlock, vector_dtype: str, doc_ids: Sequence[str], otherwise: str) -> IndexBlock:
    """Return the block in another element type; the block itself where it has that type already.

    Codes and scales of int8 are kept as they are, so that copying never rounds twice.

    Args:
        block: verified; its documents lie one below the other from row 0 and fill it.
        vector_dtype: a checked element type.
        doc_ids: ids of its documents, for the message.
        otherwise: what else to do about a value that float16 cannot hold.

    Raises:
        InvalidInputError: a value beyond the range of float16, or for int8 one that is not finite; the message names
            the document.
    """
    if block.vector_dtype == vector_dtype:
        return block
    values = block.float32_rows(slice(None))
    if vector_dtype == INT8:
        _check_finite(values, block, doc_ids, "that is not finite", "")
        codes, scales = encode_int8(values)
        return attrs.evolve(block, vectors=codes, scales=scales, guard=None)
    if vector_dtype != FLOAT16:
        return attrs.evolve(block, vectors=values, scales=None, guard=None)
    with np.errstate(over="ignore"):  # reported below
        halves = values.astype(np.float16)
    remedy = f", which vector_dtype 'float16' cannot hold; scale the vectors, or {otherwise}"
    _check_finite(halves, block, doc_ids, "beyond ±65504", remedy)
    return attrs.evolve(block, vectors=halves, scales=None, guard=None)


def _check_finite(
    values: npt.NDArray[Any], block: IndexBlock, doc_ids: Sequence[str], problem: str, remedy: str
) -> None:
    row = first_non_finite_row(values)
    if row is not None:
        number = int(np.searchsorted(block.offsets, row, side="right")) - 1
        vector = row - int(block.offsets[number])
        raise InvalidInputError(f"document {doc_ids[number]!r} has a value {problem} in token vector {vector}{remedy}")
