"""Document metadata: validation, copying and the JSON form that stores keep.

A metadata row maps top-level string keys to JSON values. Rows are copied and checked once, where they enter
Kayak; everything behind that point may rely on plain `dict`, `list`, `str`, `int`, `float`, `bool`, `None`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from kayak.contracts.json_values import BINARY_TYPES, JsonCopier, short_repr
from kayak.errors import FilterError, InvalidInputError
from kayak.typing import MetadataRowsInput

__all__ = ["metadata_from_json", "metadata_json", "normalize_metadata_rows"]


def _row_subject(doc_ids: Sequence[str] | None, row: int) -> str:
    return f"metadata[{row}]" if doc_ids is None else f"metadata of document {short_repr(doc_ids[row])}"


def normalize_metadata_rows(
    metadata: MetadataRowsInput, *, document_count: int, doc_ids: Sequence[str] | None = None
) -> tuple[dict[str, Any], ...] | None:
    """Check one metadata row a document and copy the rows into plain JSON types.

    Args:
        metadata: One mapping a document, in the order of the documents, or None for no metadata at all. A row
            that is None means the same as an empty one.
        document_count: How many rows there must be.
        doc_ids: The documents' ids, aligned with the rows; only used to name a document in an error.

    Returns:
        One `dict` a document that shares no object with the input, or None where `metadata` is None. Keys
        keep their order, tuples become lists, NumPy scalars and subclasses become the built-in type.

    Raises:
        InvalidInputError: `metadata` is not a sequence, or not as long as there are documents.
        FilterError: A row is not a mapping, has a key that is not a string or starts with `$`, or holds a
            value that JSON cannot (NaN, infinity, an integer outside 64 bits, text that is not UTF-8, another
            type, more than 32 levels, a cycle). The message names the document and the key.
    """
    if metadata is None:
        return None
    if isinstance(metadata, Mapping):
        raise InvalidInputError(
            "`metadata` is one mapping, but must be a sequence with one mapping per document. For a single "
            "document, write [metadata]; for a mapping by id, write [metadata[i] for i in doc_ids]."
        )
    if isinstance(metadata, (str, *BINARY_TYPES)) or not isinstance(metadata, Sequence):
        raise InvalidInputError(
            f"`metadata` has the type {type(metadata).__name__}, but must be a sequence (list or tuple) with "
            "one mapping per document."
        )
    if len(metadata) != document_count:
        raise InvalidInputError(
            f"`metadata` has {len(metadata)} rows for {document_count} documents. Give one row per document, "
            "in the same order; use None for a document without metadata."
        )
    rows: list[dict[str, Any]] = []
    for position, row in enumerate(metadata):
        subject = partial(_row_subject, doc_ids, position)
        if row is not None and not isinstance(row, Mapping):
            raise FilterError(
                f"{subject()} has the type {type(row).__name__}, but must be a mapping with string keys, or None."
            )
        rows.append({} if row is None else JsonCopier(subject, reserved_keys=True).copy(row))
    return tuple(rows)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def metadata_json(row: Mapping[str, Any]) -> str:
    """Return a row from `normalize_metadata_rows` as compact JSON text.

    Keys keep their order. `metadata_from_json` returns an identical row: -0.0, 1.0 and 1 stay what they are.
    """
    return _ENCODER.encode(row)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's pairs as a dict; JSON itself would let the last of two equal keys win."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice")
    return result


def metadata_from_json(text: str) -> dict[str, Any]:
    """Return the row that `metadata_json` wrote, or that another program wrote as a JSON object.

    Raises:
        FilterError: The text is not JSON, not an object, or breaks a rule of `normalize_metadata_rows`.
    """
    try:
        row = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise FilterError(
            f"A metadata row is not valid JSON ({error}): {short_repr(text)}. It should be one JSON object."
        ) from error
    if not isinstance(row, dict):
        raise FilterError(f"A metadata row is not a JSON object: {short_repr(text)}. Write key-value pairs.")
    return JsonCopier(lambda: "metadata row", reserved_keys=True).copy(row)  # type: ignore[no-any-return]
