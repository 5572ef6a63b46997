"""Documents as Weaviate objects, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Protocol
from uuid import UUID, uuid5

import kayak
import numpy as np
from weaviate.classes.data import DataObject

from kayak_weaviate.filters import TERMS
from kayak_weaviate.terms import document_terms

DOC_ID: Final = "doc_id"
TEXT: Final = "text"
METADATA: Final = "metadata"
VECTOR_COUNT: Final = "vector_count"

_NAMESPACE: Final = UUID("6b8f7c0e-3d0a-5f5e-9c59-1d6a7f0b2e44")


class WeaviateObject(Protocol):
    """What is used of an object that the client returns."""

    @property
    def uuid(self) -> UUID:
        """The object's id in Weaviate."""

    @property
    def properties(self) -> Any:
        """The properties that were asked for; a missing one is absent or None."""

    @property
    def vector(self) -> Any:
        """Vectors by name."""


def object_uuid(doc_id: str) -> UUID:
    """Return the id that a document has in Weaviate: a version 5 UUID of its own id."""
    return uuid5(_NAMESPACE, doc_id)


def data_object(document: kayak.StoredDocument, vector_name: str) -> DataObject[dict[str, Any], None]:
    """Return a document as the object that is sent."""
    properties: dict[str, Any] = {
        DOC_ID: document.doc_id,
        METADATA: kayak.metadata_json(document.metadata),
        TERMS: document_terms(document),
        VECTOR_COUNT: int(document.vectors.shape[0]),
    }
    if document.text is not None:
        properties[TEXT] = document.text
    # Lists pack several times faster than arrays in the client, and hold every float32 exactly.
    return DataObject(properties, object_uuid(document.doc_id), {vector_name: document.vectors.tolist()})


def read_doc_id(found: WeaviateObject) -> str:
    """Return a document's own id.

    Raises:
        StoreCorruptError: the object was not written by Kayak.
    """
    doc_id = found.properties.get(DOC_ID)
    if not isinstance(doc_id, str) or object_uuid(doc_id) != UUID(int=found.uuid.int):
        raise kayak.StoreCorruptError(
            f"the object {found.uuid} has the document id {doc_id!r:.80}, which does not belong to its UUID, so "
            "something other than Kayak wrote it; delete the object, or keep other data in another collection"
        )
    return doc_id


def read_metadata_row(found: WeaviateObject) -> dict[str, Any]:
    """Return a document's metadata, a fresh object.

    Raises:
        StoreCorruptError: they are no JSON object.
    """
    text = found.properties.get(METADATA)
    try:
        row = json.loads(text if isinstance(text, str) else "null")
    except ValueError as error:
        raise _damaged(found, METADATA, text) from error
    if not isinstance(row, dict):
        raise _damaged(found, METADATA, text)
    return row


def read_matrix(found: WeaviateObject, vector_name: str) -> kayak.typing.Float32Matrix:
    """Return a document's token vectors, float32 of shape (token vectors, dimension).

    Raises:
        StoreCorruptError: the object has no multi-vector of that name.
    """
    rows = found.vector.get(vector_name)
    if not rows or not isinstance(rows[0], list):
        raise _damaged(found, f"vector {vector_name!r}", rows)
    return np.array(rows, dtype=np.float32)


def as_documents(
    objects: Sequence[WeaviateObject], vector_name: str, *, texts: bool, metadata: bool
) -> kayak.LateDocuments:
    """Return objects, at least one, as a batch of documents in one block."""
    matrices = [read_matrix(found, vector_name) for found in objects]
    vectors = matrices[0] if len(matrices) == 1 else np.concatenate(matrices)
    vectors.flags.writeable = False
    offsets = np.cumsum([0, *(len(matrix) for matrix in matrices)], dtype=np.int64)
    found_texts = tuple(found.properties.get(TEXT) for found in objects) if texts else None
    if found_texts is not None and all(text is None for text in found_texts):
        found_texts = None
    rows = tuple(read_metadata_row(found) for found in objects) if metadata else None
    ids = tuple(read_doc_id(found) for found in objects)
    return kayak.LateDocuments(ids, kayak.IndexBlock(offsets, vectors), found_texts, rows)


def _damaged(found: WeaviateObject, what: str, value: object) -> kayak.StoreCorruptError:
    return kayak.StoreCorruptError(
        f"the object {found.uuid} (document {found.properties.get(DOC_ID)!r:.80}) has an unreadable {what}: "
        f"{value!r:.80}; upsert the document again, or delete it"
    )
