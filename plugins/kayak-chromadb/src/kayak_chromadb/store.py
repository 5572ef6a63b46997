"""`ChromaLateStore`: documents with token vectors in one Chroma collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import kayak
import numpy as np

from kayak_chromadb.candidates import find_candidates
from kayak_chromadb.collection import FINGERPRINT_KEY, collection_metadata, open_collection
from kayak_chromadb.connection import Connection
from kayak_chromadb.errors import chroma_calls
from kayak_chromadb.filters import PUSHED_OPERATORS, chroma_where, split
from kayak_chromadb.records import (
    COUNT_KEY,
    METADATA_KEY,
    NO_METADATA,
    TEXT_KEY,
    decode_documents,
    encode_vectors,
    pooled,
    read_metadata,
    record_metadata,
    stale_keys,
)

_WRITE_BYTES = 16 * 2**20  # as base64 in JSON, with texts, well below the 40 MiB that a server takes
_READ_BYTES = 16 * 2**20
_FIRST_READ_ROWS = 64
_MOST_ROWS = 2_000  # ids of one request, bounded by the values that SQLite below Chroma takes


class ChromaLateStore(kayak.DatabaseLateStore):
    """Keeps documents in one Chroma collection; open it with `kayak.open_store("chromadb", …)`.

    A document is one record: its pooled vector as the embedding, which Chroma searches, its token vectors to the bit
    in the record's uri, its text as the document, its metadata as an exact JSON copy and as values for filters.
    Documents come back in the order of their first insertion. Threads may share a store.

    Args:
        connection: the client and what may be assumed about it.
        collection_name: the collection.
        create: whether to create it where it does not exist.
    """

    kind: ClassVar[str] = "chromadb"

    def __init__(self, connection: Connection, *, collection_name: str, create: bool) -> None:
        self._connection = connection
        try:
            # Chroma's clients in memory share one database a process: a name of its own keeps each store to itself.
            self._collection = open_collection(
                connection.client, connection.place, collection_name, create=create, unique=connection.private
            )
            self._place = f"collection {self._collection.name!r} of {connection.place}"
            with chroma_calls(connection.place):
                self._write_rows = min(_MOST_ROWS, connection.client.get_max_batch_size())
        except BaseException:
            connection.close()
            raise
        self._dim: int | None = None

    def vector_dim(self) -> int | None:
        """Return the dimension, which Chroma fixes with the first record; None before."""
        if self._dim is None:
            with chroma_calls(self._place):
                client = self._connection.client
                model = client.get_collection(self._collection.name, embedding_function=None).get_model()
            self._dim = model.dimension
        return self._dim

    def write_documents(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Insert or replace documents, in requests within Chroma's limits, each of which is written whole or not.

        Raises:
            StoreWriteError: a later request failed after earlier ones were written.
        """
        written: list[str] = []
        with self._connection.writing:
            for batch in kayak.row_batches(rows, max_bytes=_WRITE_BYTES, max_rows=self._write_rows):
                try:
                    with chroma_calls(self._place):
                        self._write(batch)
                except kayak.KayakError as error:
                    if not written:
                        raise
                    raise kayak.StoreWriteError(
                        f"{len(written)} of {len(rows)} documents were written, then: {error}. Upsert the same batch "
                        "again to complete it",
                        written_doc_ids=tuple(written),
                    ) from error
                written += [row.doc_id for row in batch]

    def _write(self, batch: Sequence[kayak.StoredDocument]) -> None:
        """Write one request. Chroma merges metadata and keeps a text that is not given: clear what must go."""
        ids = [row.doc_id for row in batch]
        found = self._collection.get(ids=ids, include=["metadatas"])
        known: dict[str, Mapping[str, Any]] = {
            doc_id: record or {} for doc_id, record in zip(found["ids"], found["metadatas"] or (), strict=True)
        }
        records: Any = [dict.fromkeys(known.get(row.doc_id, ())) | record_metadata(row) for row in batch]
        texts: Any = ["" if row.text is None and row.doc_id in known else row.text for row in batch]
        self._collection.upsert(
            ids=ids,
            embeddings=np.stack([pooled(row.vectors) for row in batch]),
            metadatas=records,
            documents=texts,
            uris=[encode_vectors(row.vectors) for row in batch],
        )
        if not self._connection.exclusive:
            self._clear_stale(ids)

    def _clear_stale(self, ids: list[str]) -> None:
        """Remove values that another client wrote to the same documents meanwhile."""
        found = self._collection.get(ids=ids, include=["metadatas"])
        stale = {
            doc_id: keys
            for doc_id, record in zip(found["ids"], found["metadatas"] or (), strict=True)
            if (keys := stale_keys(record))
        }
        if stale:
            self._collection.update(ids=list(stale), metadatas=list(stale.values()))

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        """Delete the documents; unknown ids are ignored."""
        with self._connection.writing, chroma_calls(self._place):
            for start in range(0, len(doc_ids), self._write_rows):
                self._collection.delete(ids=list(doc_ids[start : start + self._write_rows]))

    def read_batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        """Yield the selected documents in batches of about 16 MiB."""
        dim = self.vector_dim()
        if dim is None:
            return
        where = chroma_where(selection.where)
        pending = iter(self._ids(where) if selection.doc_ids is None else selection.doc_ids)
        size = _FIRST_READ_ROWS
        while ids := list(islice(pending, size)):
            with chroma_calls(self._place):
                found = self._collection.get(
                    ids=ids,
                    where=where,
                    include=["metadatas", "uris", "documents"] if selection.texts else ["metadatas", "uris"],
                )
            if not found["ids"]:
                continue
            uris = found["uris"] or ()
            yield decode_documents(
                found["ids"],
                uris,
                found["metadatas"] or (),
                found["documents"] if selection.texts else None,
                dim=dim,
                place=self._place,
                metadata=selection.metadata,
            )
            mean_size = sum(len(uri or "") for uri in uris) * 3 // 4 // len(uris)
            size = max(1, min(_MOST_ROWS, _READ_BYTES // max(1, mean_size)))

    def read_metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield id and metadata of the selected documents."""
        for doc_id, record in self._records(chroma_where(selection.where), selection.doc_ids):
            yield doc_id, read_metadata(self._place, doc_id, record)

    def _ids(self, where: dict[str, Any] | None) -> list[str]:
        """Return the ids that a filter selects, in the order of insertion."""
        with chroma_calls(self._place):
            return self._collection.get(where=where, include=[])["ids"]

    def _records(
        self, where: dict[str, Any] | None, doc_ids: Sequence[str] | None
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        pending = iter(self._ids(where) if doc_ids is None else doc_ids)
        while ids := list(islice(pending, _MOST_ROWS)):
            with chroma_calls(self._place):
                found = self._collection.get(ids=ids, where=where, include=["metadatas"])
            for doc_id, record in zip(found["ids"], found["metadatas"] or (), strict=True):
                yield doc_id, record or {}

    def split_filter(self, where: kayak.Where) -> tuple[kayak.Where | None, kayak.Where | None]:
        """Divide a filter into the part that Chroma evaluates exactly and the rest."""
        return split(where)

    def find_candidates(self, search: kayak.CandidateSearch) -> kayak.FoundCandidates:
        """Return the documents whose pooled vectors are nearest to the query's, by Chroma's HNSW index.

        Scores are cosines between the normalised mean of the query's vectors and that of the document's.
        """
        with chroma_calls(self._place):
            return find_candidates(self._collection, search, chroma_where(search.where), _MOST_ROWS)

    def stats(self) -> kayak.LateStoreStats:
        """Count what the store holds; vectors are summed over the records' metadata."""
        self._check_open()
        count = vectors = 0
        for doc_id, record in self._records(None, None):
            read_metadata(self._place, doc_id, record)
            count += 1
            vectors += record[COUNT_KEY]
        with chroma_calls(self._place):
            has_texts = self._any({TEXT_KEY: {"$eq": True}})
            has_metadata = self._any({METADATA_KEY: {"$ne": NO_METADATA}})
        return kayak.LateStoreStats(
            self.kind,
            count,
            vectors,
            self.vector_dim(),
            has_texts,
            has_metadata,
            None,
            encoder_fingerprint=self.encoder_fingerprint(),
        )

    def _any(self, where: dict[str, Any]) -> bool:
        return bool(self._collection.get(where=where, limit=1, include=[])["ids"])

    def capabilities(self) -> kayak.StoreCapabilities:
        """Return what the store can do."""
        return kayak.StoreCapabilities(
            self.kind,
            persistent=self._connection.persistent,
            native_candidates="approximate",
            filter_pushdown=PUSHED_OPERATORS,
            atomic_upsert=False,
            preserves_insertion_order=True,
            stores_encoder_fingerprint=True,
        )

    def encoder_fingerprint(self) -> str | None:
        """Return what encoded the corpus, or None where unknown."""
        self._check_open()
        with chroma_calls(self._place):
            found = collection_metadata(self._connection.client, self._collection.name).get(FINGERPRINT_KEY)
        return found if isinstance(found, str) else None

    def write_encoder_fingerprint(self, fingerprint: str) -> None:
        """Remember what encodes the corpus, in the collection's metadata; the rest of them stays."""
        with self._connection.writing, chroma_calls(self._place):
            metadata = collection_metadata(self._connection.client, self._collection.name)
            self._collection.modify(metadata=metadata | {FINGERPRINT_KEY: fingerprint})

    def release(self) -> None:
        """Close the client if it is the store's own; a store in memory ends here."""
        try:
            if self._connection.private:
                with chroma_calls(self._place):
                    self._connection.client.delete_collection(self._collection.name)
        finally:
            self._connection.close()
