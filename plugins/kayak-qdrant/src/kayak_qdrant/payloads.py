"""Documents as Qdrant points: ids and payloads."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import kayak

from kayak_qdrant.filters import index_fields

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/kayak-qdrant/")

HAS_TEXT = "text"
HAS_METADATA = "metadata"

REVISION = "revision"
"""Payload field that changes whenever the document is written."""

POSTED = "posted"
"""Payload field that names the codebook of the document's terms."""

CLAIM = "posted_by"
"""Payload field that names who is writing the document's terms."""


def point_id(doc_id: str) -> str:
    """Return the id of a document's point: Qdrant takes only integers and UUIDs."""
    return str(uuid.uuid5(_NAMESPACE, doc_id))


def payload_of(row: kayak.StoredDocument) -> dict[str, Any]:
    """Return what is stored beside the vectors: the exact row, and the fields by which it is found."""
    terms, numbers = index_fields(row.metadata)
    payload: dict[str, Any] = {
        "id": row.doc_id,
        "vector_count": len(row.vectors),
        "has": [],
        REVISION: uuid.uuid4().hex,
    }
    if row.text is not None:
        payload["text"] = row.text
        payload["has"].append(HAS_TEXT)
    if row.metadata:
        # JSON text keeps every value as it is; as a payload, 1.0 could come back as 1.
        payload |= {"metadata": kayak.metadata_json(row.metadata), "terms": terms, "numbers": numbers}
        payload["has"].append(HAS_METADATA)
    return payload


def doc_id_of(payload: Mapping[str, Any] | None) -> str:
    """Return the document id that `payload_of` stored.

    Raises:
        StoreCorruptError: there is none.
    """
    doc_id = (payload or {}).get("id")
    if not isinstance(doc_id, str):
        raise _foreign("its payload has no document id")
    return doc_id


def own_point_id(stored: int | str | uuid.UUID) -> str:
    """Return the id of a point that was listed.

    Raises:
        StoreCorruptError: it is no UUID.
    """
    if isinstance(stored, int):
        raise _foreign(f"its id is {stored}, no UUID")
    return str(stored)


def _foreign(difference: str) -> kayak.StoreCorruptError:
    return kayak.StoreCorruptError(
        f"a point of the collection was not written by Kayak: {difference}. Delete the point, or use another collection"
    )


def metadata_of(stored: str | None) -> dict[str, Any]:
    """Return the metadata row that `payload_of` stored."""
    row: dict[str, Any] = {} if not stored else json.loads(stored)
    return row
