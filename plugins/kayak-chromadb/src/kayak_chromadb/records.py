"""Documents as Chroma records, and back, to the bit.

A record has one pooled vector, which Chroma searches; the token vectors travel in its `uri` as base64, the one field
of unbounded text that Chroma does not index for full-text search.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import kayak
import numpy as np
import pybase64
from kayak.typing import Float32Matrix

from kayak_chromadb.filter_values import RESERVED, filter_values

METADATA_KEY = f"{RESERVED}metadata"
COUNT_KEY = f"{RESERVED}vectors"
TEXT_KEY = f"{RESERVED}text"
NO_METADATA = "{}"


def pooled(vectors: Float32Matrix) -> Float32Matrix:
    """Return the mean of token vectors at length 1, float32 of shape (dimension,); zeros where they cancel out."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    largest = np.abs(mean).max()
    if largest == 0:
        return np.zeros(vectors.shape[1], dtype=np.float32)
    mean /= largest  # so that no square leaves the range of float64
    unit: Float32Matrix = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit


def encode_vectors(vectors: Float32Matrix) -> str:
    """Return the bytes of a matrix, little-endian float32 row by row, as base64."""
    return pybase64.b64encode(vectors.astype("<f4", copy=False).tobytes()).decode("ascii")


def record_metadata(row: kayak.StoredDocument) -> dict[str, str | int | float | bool | None]:
    """Return the Chroma metadata of a document: an exact JSON copy, and values that filters compare."""
    values: dict[str, str | int | float | bool | None] = dict(filter_values(row.metadata))
    values[METADATA_KEY] = kayak.metadata_json(row.metadata)
    values[COUNT_KEY] = row.vectors.shape[0]
    if row.text is not None:
        values[TEXT_KEY] = True
    return values


def stale_keys(record: Mapping[str, Any]) -> dict[str, None]:
    """Return the filter values of a record that its JSON copy does not have, ready to be set to nothing.

    Two clients that replace one document at the same time can leave values of both: Chroma merges metadata.
    """
    expected = filter_values(json.loads(record[METADATA_KEY]))
    return {key: None for key in record if key not in expected and key not in (METADATA_KEY, COUNT_KEY, TEXT_KEY)}


def decode_documents(
    ids: Sequence[str],
    uris: Sequence[str | None],
    records: Sequence[Mapping[str, Any] | None],
    texts: Sequence[str | None] | None,
    *,
    dim: int,
    place: str,
    metadata: bool,
) -> kayak.LateDocuments:
    """Return records as one batch over one block of vectors.

    Raises:
        StoreCorruptError: a record does not hold what a store wrote.
    """
    parts: list[bytes] = []
    counts = [0]
    for doc_id, uri, record in zip(ids, uris, records, strict=True):
        count = (record or {}).get(COUNT_KEY)
        try:
            part = pybase64.b64decode(uri or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise _damaged(place, doc_id, f"its uri is no base64 ({error})") from error
        if not isinstance(count, int) or count < 1 or len(part) != 4 * dim * count:
            raise _damaged(
                place, doc_id, f"its uri holds {len(part)} bytes, expected {count!r} vectors of {dim} float32"
            )
        parts.append(part)
        counts.append(count)
    vectors = np.frombuffer(b"".join(parts), dtype="<f4").reshape(-1, dim)
    block = kayak.IndexBlock(np.cumsum(counts, dtype=np.int64), vectors)
    rows = tuple(map(partial(read_metadata, place), ids, records)) if metadata else None
    kept = None
    if texts is not None and any((record or {}).get(TEXT_KEY) for record in records):
        kept = tuple(
            text if (record or {}).get(TEXT_KEY) else None for text, record in zip(texts, records, strict=True)
        )
    return kayak.LateDocuments(tuple(ids), block, kept, rows)


def read_metadata(place: str, doc_id: str, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a document's metadata from its exact copy.

    Raises:
        StoreCorruptError: there is none.
    """
    try:
        row = json.loads((record or {})[METADATA_KEY])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(place, doc_id, f"its metadata have no JSON object {METADATA_KEY!r}") from error
    if not isinstance(row, dict):
        raise _damaged(place, doc_id, f"its metadata {METADATA_KEY!r} are no JSON object")
    return row


def _damaged(place: str, doc_id: str, problem: str) -> kayak.StoreCorruptError:
    return kayak.StoreCorruptError(
        f"record {doc_id!r} of {place} was not written by Kayak, or was altered: {problem}. Delete it with "
        f"store.delete([{doc_id!r}]) and upsert the document again"
    )
