"""`QdrantLateStore`: documents as multivectors in one Qdrant collection."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import kayak
from qdrant_client import models

from kayak_qdrant.connection import Connection
from kayak_qdrant.filters import OPERATORS, split_filter
from kayak_qdrant.payloads import HAS_METADATA, HAS_TEXT, doc_id_of
from kayak_qdrant.postings import Postings
from kayak_qdrant.reading import Reader, bounded_limit, count_points, selection_filter
from kayak_qdrant.schema import COUNT_FIELD, VECTOR_NAME, CollectionState, inspect_collection, update_metadata
from kayak_qdrant.transport import transport_of
from kayak_qdrant.writing import Writer

_FACET_LIMIT = 10_000
_SCORE_BYTES = 4


class QdrantLateStore(kayak.PostingsDatabaseStore):
    """Keeps each document as one point: its token matrix as a multivector, ids, text and metadata as payload.

    The collection is created by the first upsert, which fixes the dimension. Candidates are chosen by Qdrant's own
    exact MaxSim, with filters inside. Safe to use from several threads.

    Args:
        connection: the client and the collection.
    """

    kind: ClassVar[str] = "qdrant"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport = transport_of(connection)
        self._guard = threading.RLock()
        self._pending_fingerprint: str | None = None  # known before there is a collection to keep it
        try:
            self._state = inspect_collection(connection)
        except kayak.StoreError:
            connection.close()
            raise
        self._writer = Writer(connection, self._transport)
        self.postings = Postings(connection, self._transport)

    def vector_dim(self) -> int | None:
        """Return the dimension that the collection was made for, or None where there is no collection yet."""
        state = self._known_state()
        return None if state is None else state.vector_dim

    def write_documents(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Insert or replace documents, in requests of bounded size.

        Raises:
            InvalidInputError: a document is larger than a server's multivectors can be; nothing was written.
            StoreWriteError: some of the requests were carried out.
        """
        self._writer.check(rows)
        with self._guard:
            self._state = self._writer.prepare(rows, self._pending_fingerprint)
        self._writer.write(rows)

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        """Delete documents; unknown ids are ignored."""
        if self._known_state() is not None:
            self._writer.delete(doc_ids)

    def read_batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        """Yield the selected documents, ordered by point id; see `DatabaseLateStore.read_batches`."""
        state = self._known_state()
        if state is not None:
            yield from Reader(self._connection, self._transport, state.vector_dim).batches(selection)

    def read_metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield ids and metadata without vectors; see `DatabaseLateStore.read_metadata`."""
        state = self._known_state()
        if state is not None:
            yield from Reader(self._connection, self._transport, state.vector_dim).metadata(selection)

    def split_filter(self, where: kayak.Where) -> tuple[kayak.Where | None, kayak.Where | None]:
        """Push down everything but ranges of strings and of numbers from 2**53 on."""
        return split_filter(where)

    def find_candidates(self, search: kayak.CandidateSearch) -> kayak.FoundCandidates:
        """Return the documents with the highest MaxSim, computed by Qdrant over every selected document."""
        conditions = selection_filter(search.where, search.doc_ids)
        limit = bounded_limit(self._connection, search.k, conditions)
        client = self._connection.client
        # `exact` holds also where somebody prepared the collection with an HNSW graph or quantization.
        params = None if self._connection.is_local else models.SearchParams(exact=True)
        with self._connection.request():
            hits = client.query_points(
                self._connection.collection_name,
                query=search.vectors.tolist(),
                using=VECTOR_NAME,
                query_filter=conditions,
                search_params=params,
                limit=limit,
                with_payload=["id"],
                with_vectors=False,
            ).points
        ids = tuple(doc_id_of(hit.payload) for hit in hits)
        bytes_read = sum(len(doc_id.encode()) + _SCORE_BYTES for doc_id in ids)
        return kayak.FoundCandidates(ids, [hit.score for hit in hits], bytes_read=bytes_read)

    def stats(self) -> kayak.LateStoreStats:
        """Count by Qdrant's own counters, without reading documents."""
        self._check_open()
        state = self._known_state()
        count = vectors = 0
        has_texts = has_metadata = False
        if state is not None:
            count = count_points(self._connection, None)
            vectors = self._vector_count(state, count)
            has_texts, has_metadata = self._any_has(HAS_TEXT), self._any_has(HAS_METADATA)
        return kayak.LateStoreStats(
            self.kind,
            count,
            vectors,
            None if state is None else state.vector_dim,
            has_texts,
            has_metadata,
            None,
            encoder_fingerprint=self.encoder_fingerprint(),
        )

    def capabilities(self) -> kayak.StoreCapabilities:
        """Return what the store can do; an upsert of several requests is not atomic."""
        return kayak.StoreCapabilities(
            self.kind,
            persistent=self._connection.is_persistent,
            native_candidates="exact",
            filter_pushdown=OPERATORS,
            atomic_upsert=False,
            stores_encoder_fingerprint=True,
            postings="sum",
        )

    def encoder_fingerprint(self) -> str | None:
        """Return what encoded the corpus, from the collection's metadata; None where unknown."""
        self._check_open()
        state = inspect_collection(self._connection)
        return self._pending_fingerprint if state is None else state.encoder

    def write_encoder_fingerprint(self, fingerprint: str) -> None:
        """Remember what encodes the corpus; before the first upsert in this object, then in the collection."""
        with self._guard:
            self._pending_fingerprint = fingerprint
            if self._known_state() is not None:
                update_metadata(self._connection, fingerprint)

    def release(self) -> None:
        """Close the client, unless it was given."""
        self._connection.close()

    def _known_state(self) -> CollectionState | None:
        """Return what is known of the collection; it is looked at again until there is one."""
        if self._state is None:
            self._state = inspect_collection(self._connection)
        return self._state

    def _vector_count(self, state: CollectionState, count: int) -> int:
        if self._connection.is_local or COUNT_FIELD in state.indexed_fields:
            with self._connection.request():
                facet = self._connection.client.facet(
                    self._connection.collection_name, COUNT_FIELD, limit=_FACET_LIMIT, exact=True
                )
            if sum(hit.count for hit in facet.hits) == count:
                return sum(int(hit.value) * hit.count for hit in facet.hits)
        # No index yet, more different lengths than a facet lists, or a writer in between.
        return Reader(self._connection, self._transport, state.vector_dim).vector_count()

    def _any_has(self, part: str) -> bool:
        condition = models.FieldCondition(key="has", match=models.MatchValue(value=part))
        with self._connection.request():
            records, _ = self._connection.client.scroll(
                self._connection.collection_name,
                scroll_filter=models.Filter(must=[condition]),
                limit=1,
                with_payload=False,
                with_vectors=False,
            )
        return bool(records)
