"""Documents for store tests, and comparisons that see every bit of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from kayak.contracts import LateStore
from kayak.typing import Float32Matrix
from kayak.values import LateDocuments, LateIndex, documents
from kayak.values.element_types import INT8, decode_int8, encode_int8

DIMENSION = 4
"""Dimension of the vectors that the store suite writes, unless a test says otherwise."""


@attrs.frozen(eq=False)
class Row:
    """One document, as written or as read back.

    Attributes:
        doc_id: its id.
        vectors: float32, shape (token vectors, dimension).
        text: its text, or None.
        metadata: its metadata; empty where there is none.
    """

    doc_id: str
    vectors: Float32Matrix
    text: str | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)


def numbered_rows(count: int, *, version: int = 0, dim: int = DIMENSION, prefix: str = "doc-") -> list[Row]:
    """Return `count` documents of 1 to 3 vectors whose values, texts and metadata tell number and version.

    Every stored element type holds the values exactly, see `exact_vectors`.
    """
    return [
        Row(
            f"{prefix}{number}",
            exact_vectors(np.full((1 + number % 3, dim), version) + np.arange(dim) * (number + 1)),
            f"text {number} version {version}",
            {"number": number, "even": number % 2 == 0, "version": version},
        )
        for number in range(count)
    ]


def exact_vectors(values: npt.NDArray[Any]) -> Float32Matrix:
    """Return integers from 0 to 126 in place of the given ones, with a last component of 127.

    float16 holds small integers exactly, and so does int8 where the greatest is 127: then the scale is 1.
    """
    vectors: Float32Matrix = np.mod(values, 127).astype(np.float32)
    vectors[:, -1] = 127.0
    return vectors


def as_documents(rows: Sequence[Row]) -> LateDocuments:
    """Return rows as the batch that `upsert` takes, without their metadata."""
    return documents([row.doc_id for row in rows], [row.vectors for row in rows], texts=[row.text for row in rows])


def write(store: LateStore, rows: Sequence[Row]) -> None:
    """Upsert rows with their metadata."""
    store.upsert(as_documents(rows), metadata=[dict(row.metadata) for row in rows])


def clear(store: LateStore) -> None:
    """Delete every document."""
    ids = [doc_id for batch in store.documents() for doc_id in batch.doc_ids]
    if ids:
        store.delete(ids)


def stored(store: LateStore, **selection: Any) -> list[Row]:
    """Return the selected documents of a store, as `documents()` exports them, in its order."""
    return [row for batch in store.documents(**selection) for row in batch_rows(batch)]


def batch_rows(batch: LateDocuments) -> list[Row]:
    """Return the rows of an exported batch."""
    texts = batch.texts or (None,) * batch.document_count
    metadata = batch.metadata or ({},) * batch.document_count
    return [Row(*parts) for parts in zip(batch.doc_ids, batch.token_matrices, texts, metadata, strict=True)]


def index_rows(index: LateIndex) -> list[Row]:
    """Return the rows of an index; an index carries no metadata."""
    texts = index.doc_texts or (None,) * index.document_count
    return [
        Row(doc_id, index.document_token_matrix(number), text)
        for number, (doc_id, text) in enumerate(zip(index.doc_ids, texts, strict=True))
    ]


def ids_of(rows: Iterable[Row]) -> list[str]:
    """Return the ids of rows, in order."""
    return [row.doc_id for row in rows]


def as_kept(matrix: Float32Matrix, vector_dtype: str) -> Float32Matrix:
    """Return the values that a store of an element type keeps for the given ones."""
    if vector_dtype == INT8:
        return decode_int8(*encode_int8(matrix))
    return matrix.astype(vector_dtype).astype(np.float32)


def assert_same_vectors(found: Float32Matrix, expected: Float32Matrix, doc_id: str) -> None:
    """Require equal shapes and equal bits: -0.0 is not 0.0."""
    assert found.shape == expected.shape, f"{doc_id!r} has shape {found.shape}, written as {expected.shape}"
    assert found.dtype == np.float32, f"{doc_id!r} came back as {found.dtype}"
    same = np.ascontiguousarray(found).view(np.uint32) == np.ascontiguousarray(expected).view(np.uint32)
    assert same.all(), (
        f"{doc_id!r} holds {found[~same][0]!r} where {expected[~same][0]!r} was written (first of "
        f"{int((~same).sum())} values)"
    )


def assert_same_json(found: Any, expected: Any, where: str) -> None:
    """Require equal JSON values of equal types: 1 is neither 1.0 nor True."""
    assert type(found) is type(expected), f"{where} is {found!r}, written as {expected!r}"
    if isinstance(expected, dict):
        assert sorted(found) == sorted(expected), f"{where} has keys {sorted(found)}, written {sorted(expected)}"
        for key, value in expected.items():
            assert_same_json(found[key], value, f"{where}[{key!r}]")
    elif isinstance(expected, list):
        assert len(found) == len(expected), f"{where} is {found!r}, written as {expected!r}"
        for number, value in enumerate(expected):
            assert_same_json(found[number], value, f"{where}[{number}]")
    else:
        assert found == expected, f"{where} is {found!r}, written as {expected!r}"


def assert_same_rows(
    found: Sequence[Row], expected: Sequence[Row], *, ordered: bool = True, metadata: bool = True
) -> None:
    """Require the same documents: ids, vectors to the bit, texts and metadata."""
    if not ordered:
        found = sorted(found, key=lambda row: row.doc_id)
        expected = sorted(expected, key=lambda row: row.doc_id)
    assert ids_of(found) == ids_of(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert_same_vectors(mine.vectors, theirs.vectors, theirs.doc_id)
        assert mine.text == theirs.text, f"the text of {theirs.doc_id!r} is {mine.text!r}, not {theirs.text!r}"
        if metadata:
            assert_same_json(dict(mine.metadata), dict(theirs.metadata), f"metadata of {theirs.doc_id!r}")
