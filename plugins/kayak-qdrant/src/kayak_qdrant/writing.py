"""Writing documents in requests of bounded size."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import kayak
from qdrant_client import models

from kayak_qdrant.connection import Connection
from kayak_qdrant.filters import index_fields, number_field
from kayak_qdrant.payloads import point_id
from kayak_qdrant.schema import CollectionState, create_indexes, prepare_collection
from kayak_qdrant.transport import Transport

LARGEST_MULTIVECTOR = 1 << 20
"""Numbers that a server keeps in one multivector, tokens × dimension."""

_LARGEST_DELETE = 10_000
_MOST_NUMBER_INDEXES = 64


class Writer:
    """Writes to one collection.

    Args:
        connection: the client and the collection.
        transport: how documents travel.
    """

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._prepared: CollectionState | None = None

    def check(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Refuse documents that a server would refuse, before any is written.

        Raises:
            InvalidInputError: a document has too many token vectors.
        """
        if self._connection.is_local:
            return
        for row in rows:
            if row.vectors.size > LARGEST_MULTIVECTOR:
                tokens, dim = row.vectors.shape
                raise kayak.InvalidInputError(
                    f"document {row.doc_id!r} has {tokens} vectors of dimension {dim}; Qdrant servers keep at most "
                    f"{LARGEST_MULTIVECTOR // dim} of that dimension in one document. Split the document; nothing of "
                    "this batch was written"
                )

    def prepare(self, rows: Sequence[kayak.StoredDocument], encoder: str | None) -> CollectionState:
        """Create the collection at the first write, and payload indexes for numbers that filters may range over."""
        if self._prepared is None:
            self._prepared = prepare_collection(self._connection, rows[0].vectors.shape[1], encoder)
        if not self._connection.is_local:
            numbers = {number_field(key) for row in rows for key in index_fields(row.metadata)[1]}
            indexed = self._prepared.indexed_fields
            # Beyond these, ranges still work, but read the payload of each document.
            room = max(0, _MOST_NUMBER_INDEXES - sum(name.startswith(number_field("")) for name in indexed))
            wanted = sorted(numbers - indexed)[:room]
            create_indexes(self._connection, dict.fromkeys(wanted, models.PayloadSchemaType.FLOAT))
            self._prepared = attrs.evolve(self._prepared, indexed_fields=indexed.union(wanted))
        return self._prepared

    def write(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Insert or replace documents.

        Raises:
            StoreWriteError: a request failed after others were carried out.
        """
        written: list[str] = []
        for batch in kayak.row_batches(rows, max_bytes=self._transport.batch_bytes):
            try:
                self._transport.upsert(batch)
            except kayak.StoreError as error:
                if not written:
                    raise
                raise kayak.StoreWriteError(
                    f"{len(written)} of {len(rows)} documents were written before a request failed ({error}). Its "
                    f"documents, from {batch[0].doc_id!r} to {batch[-1].doc_id!r}, may have been written or not; "
                    "write the whole batch again, which completes it",
                    written_doc_ids=tuple(written),
                ) from error
            written += [row.doc_id for row in batch]

    def delete(self, doc_ids: Sequence[str]) -> None:
        """Delete documents."""
        for start in range(0, len(doc_ids), _LARGEST_DELETE):
            points: list[models.ExtendedPointId] = [point_id(each) for each in doc_ids[start : start + _LARGEST_DELETE]]
            with self._connection.request():
                self._connection.client.delete(
                    self._connection.collection_name,
                    points_selector=models.PointIdsList(points=points),
                    wait=True,
                    ordering=models.WriteOrdering.STRONG,
                )
