"""Writes and deletes objects in batches, and says exactly what was written where a batch fails."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Final

import attrs
import kayak
from weaviate.classes.query import Filter
from weaviate.collections import Collection
from weaviate.exceptions import WeaviateInsertManyAllFailedError

from kayak_weaviate.errors import CLIENT_ERRORS, advice, is_read_only, translate_error, translated
from kayak_weaviate.rows import data_object, object_uuid

BATCH_BYTES: Final = 4 * 2**20
BATCH_ROWS: Final = 256
LARGEST_DOCUMENT: Final = 100 * 10**6
"""Bytes that one document may have: the server accepts gRPC messages of 104,858,000 bytes, unless told otherwise."""

_REQUESTS = 4
_DELETIONS = 1_000


@attrs.frozen
class Outcome:
    """What became of one batch.

    Attributes:
        written: ids of the documents that the server acknowledged.
        refused: document id and what the server says about it.
        failure: why the batch as a whole failed, or None.
    """

    written: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    failure: Exception | None = None


@attrs.frozen(eq=False)
class ObjectWriter:
    """Writes the objects of one collection.

    Attributes:
        collection: the collection.
        vector_name: the vector's name.
        place: the collection, for messages.
    """

    collection: Collection[Any, None]
    vector_name: str
    place: str

    def write(self, documents: Sequence[kayak.StoredDocument]) -> None:
        """Insert or replace documents, in batches of which several are on their way at once.

        Raises:
            InvalidInputError: a document is larger than a message may be; nothing is written.
            StoreWriteError: part of the documents was written.
            StoreError: the server fails before it has acknowledged any.
        """
        _check_sizes(documents)
        batches = list(kayak.row_batches(documents, max_bytes=BATCH_BYTES, max_rows=BATCH_ROWS))
        if len(batches) == 1:
            outcomes = [self._send(batches[0])]
        else:
            stop = Event()

            def send(batch: tuple[kayak.StoredDocument, ...]) -> Outcome:
                if stop.is_set():
                    return Outcome()
                outcome = self._send(batch)
                if outcome.failure is not None or outcome.refused:
                    stop.set()
                return outcome

            with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="kayak-weaviate") as pool:
                outcomes = list(pool.map(send, batches))
        require_written(outcomes, len(documents), self.place)

    def delete(self, doc_ids: Sequence[str]) -> None:
        """Delete documents; unknown ids are ignored.

        Raises:
            StoreError: the server fails; what it had deleted before stays deleted.
        """
        for start in range(0, len(doc_ids), _DELETIONS):
            part = doc_ids[start : start + _DELETIONS]
            with translated("delete documents", self.place):
                answer = self.collection.data.delete_many(
                    Filter.by_id().contains_any([object_uuid(doc_id) for doc_id in part])
                )
            if answer.failed:
                raise kayak.StoreError(
                    f"Weaviate could not delete {answer.failed} of {answer.matches} documents in {self.place}; delete "
                    "them again"
                )

    def _send(self, batch: Sequence[kayak.StoredDocument]) -> Outcome:
        try:
            answer = self.collection.data.insert_many([data_object(document, self.vector_name) for document in batch])
        except WeaviateInsertManyAllFailedError as error:
            return Outcome(refused=tuple((document.doc_id, str(error)) for document in batch))
        except CLIENT_ERRORS as error:
            return Outcome(failure=error)
        refused = {number: error.message for number, error in answer.errors.items()}
        return Outcome(
            written=tuple(document.doc_id for number, document in enumerate(batch) if number not in refused),
            refused=tuple((batch[number].doc_id, message) for number, message in sorted(refused.items())),
        )


def require_written(outcomes: Sequence[Outcome], document_count: int, place: str) -> None:
    """Do nothing where every document was written; otherwise say what was.

    Args:
        outcomes: one for each batch.
        document_count: number of documents in all batches.
        place: the collection, for messages.

    Raises:
        StoreWriteError: part of the documents was written, or the server refused some.
        StoreError: the server failed before it had acknowledged any.
    """
    written = tuple(doc_id for outcome in outcomes for doc_id in outcome.written)
    if len(written) == document_count:
        return
    failure = next((outcome.failure for outcome in outcomes if outcome.failure is not None), None)
    refused = [each for outcome in outcomes for each in outcome.refused]
    partly = (
        f"{len(written)} of {document_count} documents are known to be written to {place}; writing the same batch "
        "again completes it"
    )
    if failure is not None:
        translated_failure = translate_error(failure, "write documents", place)
        if not written:
            raise translated_failure from failure
        raise kayak.StoreWriteError(f"{partly}. {translated_failure}", written_doc_ids=written) from failure
    doc_id, message = refused[0]
    if not written and is_read_only(message):
        raise kayak.StoreAccessError(
            f"{place}: could not write documents: {advice(message)}Weaviate says: {message:.500}"
        )
    raise kayak.StoreWriteError(
        f"{partly}. Weaviate refused {len(refused)}, the first of them {doc_id!r:.80}: {advice(message)}Weaviate "
        f"says: {message:.500}",
        written_doc_ids=written,
    )


def _check_sizes(documents: Sequence[kayak.StoredDocument]) -> None:
    for document in documents:
        size = document.vectors.nbytes + len((document.text or "").encode())
        size += 2 * len(kayak.metadata_json(document.metadata).encode())  # as metadata, and as terms
        if size > LARGEST_DOCUMENT:
            raise kayak.InvalidInputError(
                f"document {document.doc_id!r:.80} has {size:,} bytes ({document.vectors.shape[0]:,} vectors), more "
                f"than the {LARGEST_DOCUMENT:,} that fit into one message to Weaviate; divide it into several documents"
            )
