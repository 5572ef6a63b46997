"""Reading documents in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import kayak
import numpy as np
from qdrant_client import models

from kayak_qdrant.connection import Connection
from kayak_qdrant.filters import compile_filter
from kayak_qdrant.payloads import doc_id_of, metadata_of, own_point_id, point_id
from kayak_qdrant.transport import StoredPoint, Transport

_ID_PAGE = 10_000
_LARGE_K = 1_000
_FIRST_FETCH = 32
_LARGEST_FETCH = 1_000
_BATCH_BYTES = 16 << 20


@attrs.frozen(eq=False)
class Reader:
    """Reads one collection.

    The ids of the selected points are listed first, without anything else. Their documents are then fetched by id, as
    many at a time as the sizes of the documents seen so far allow.
    """

    connection: Connection
    transport: Transport
    vector_dim: int

    def batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        """Yield the selected documents; see `kayak.DatabaseLateStore.read_batches`."""
        needs_metadata = selection.metadata or selection.where is not None
        fields = ["id", *(["text"] if selection.texts else []), *(["metadata"] if needs_metadata else [])]
        count = _FIRST_FETCH
        largest = 1
        for page in self._id_pages(selection):
            start = 0
            while start < len(page):
                points = list(self.transport.fetch(page[start : start + count], fields, self.vector_dim))
                start += count
                batch = self._batch(points, selection)
                if batch is not None:
                    yield batch
                largest = max(largest, *(point.vectors.nbytes for point in points), 1)
                count = max(1, min(_LARGEST_FETCH, _BATCH_BYTES // largest))

    def metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield id and metadata; see `kayak.DatabaseLateStore.read_metadata`."""
        for records in self._scroll(selection, ["id", "metadata"]):
            for record in records:
                payload = record.payload or {}
                row = metadata_of(payload.get("metadata"))
                if selection.where is None or selection.where.matches(row):
                    yield doc_id_of(payload), row

    def _batch(self, points: Sequence[StoredPoint], selection: kayak.StoreSelection) -> kayak.LateDocuments | None:
        rows: tuple[dict[str, Any], ...] | None = None
        if selection.metadata or selection.where is not None:
            rows = tuple(metadata_of(point.payload.get("metadata")) for point in points)
        if selection.where is not None and rows is not None:
            # A document may have been replaced since its id was listed.
            kept = [number for number, row in enumerate(rows) if selection.where.matches(row)]
            points = [points[number] for number in kept]
            rows = tuple(rows[number] for number in kept)
        if not points:
            return None
        ids = tuple(doc_id_of(point.payload) for point in points)
        counts = [len(point.vectors) for point in points]
        if 0 in counts:
            raise kayak.StoreCorruptError(
                f"document {ids[counts.index(0)]!r} of {self.connection.place} has no token vectors. Write it again"
            )
        vectors = np.concatenate([point.vectors for point in points])
        vectors.flags.writeable = False
        block = kayak.IndexBlock(np.cumsum([0, *counts], dtype=np.int64), vectors)
        texts = tuple(point.payload.get("text") for point in points) if selection.texts else None
        if texts is not None and all(text is None for text in texts):
            texts = None
        return kayak.LateDocuments(ids, block, texts, rows if selection.metadata else None)

    def _id_pages(self, selection: kayak.StoreSelection) -> Iterator[list[str]]:
        if selection.doc_ids is not None and selection.where is None:
            yield [point_id(doc_id) for doc_id in selection.doc_ids]
            return
        for records in self._scroll(selection, []):
            yield [own_point_id(record.id) for record in records]

    def vector_count(self) -> int:
        """Add up the documents' vector counts, one by one."""
        pages = self._scroll(kayak.StoreSelection(), ["vector_count"])
        return sum(int((record.payload or {})["vector_count"]) for records in pages for record in records)

    def _scroll(self, selection: kayak.StoreSelection, fields: Sequence[str]) -> Iterator[Sequence[models.Record]]:
        """Yield pages of points without vectors, ordered by point id."""
        conditions = selection_filter(selection.where, selection.doc_ids)
        return scrolled(self.connection, conditions, list(fields) or False)


def scrolled(
    connection: Connection,
    conditions: models.Filter | None,
    with_payload: list[str] | bool,
    collection_name: str | None = None,
    *,
    page: int = _ID_PAGE,
) -> Iterator[Sequence[models.Record]]:
    """Yield pages of the points that match, without vectors, ordered by point id.

    Args:
        connection: the client.
        conditions: which points; None for all.
        with_payload: payload fields to read, True for all.
        collection_name: another collection than the connection's.
        page: points a page.
    """
    offset: models.ExtendedPointId | None = None
    while True:
        with connection.request():
            records, offset = connection.client.scroll(
                collection_name or connection.collection_name,
                scroll_filter=conditions,
                limit=page,
                offset=offset,
                with_payload=with_payload,
                with_vectors=False,
            )
        yield records
        if offset is None:
            return


def field_is(field: str, value: str) -> models.FieldCondition:
    """Return the condition that a payload field has a value."""
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def count_points(connection: Connection, conditions: models.Filter | None) -> int:
    """Count the points that match."""
    with connection.request():
        return connection.client.count(connection.collection_name, count_filter=conditions, exact=True).count


def bounded_limit(connection: Connection, wanted: int, conditions: models.Filter | None) -> int:
    """Return how many hits to ask for, no more than there are: servers reserve memory for that many."""
    return wanted if wanted <= _LARGE_K else max(1, min(wanted, count_points(connection, conditions)))


def selection_filter(where: kayak.Where | None, doc_ids: Sequence[str] | None) -> models.Filter | None:
    """Return the Qdrant filter for a filter and ids; None where every document is selected."""
    conditions: list[models.Condition] = []
    if where is not None:
        conditions.append(compile_filter(where))
    if doc_ids is not None:
        conditions.append(models.HasIdCondition(has_id=[point_id(doc_id) for doc_id in doc_ids]))
    return models.Filter(must=conditions) if conditions else None
