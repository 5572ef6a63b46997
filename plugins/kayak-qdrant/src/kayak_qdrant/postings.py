"""Term postings in Qdrant: a sparse vector beside the token matrix.

A document's terms are the indices of its sparse vector, each with value 1, so Qdrant's dot product with a query is the
sum of the weights of the terms that it holds. The payload field `posted` names the codebook that they are of. An upsert
replaces the point as a whole, and so takes both away.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import kayak
from qdrant_client import models

from kayak_qdrant.codebooks import Codebooks
from kayak_qdrant.connection import Connection
from kayak_qdrant.errors import status_of
from kayak_qdrant.payloads import CLAIM, POSTED, REVISION, doc_id_of, point_id
from kayak_qdrant.reading import Reader, bounded_limit, count_points, field_is, scrolled, selection_filter
from kayak_qdrant.schema import TERMS_NAME, inspect_collection
from kayak_qdrant.transport import Transport


class Postings(kayak.PostingsEngine):
    """The terms of one collection's documents.

    Args:
        connection: the client and the collection.
        transport: how documents travel.
    """

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._codebooks = Codebooks(connection)

    def load_codebook(self) -> kayak.Codebook | None:
        """Return the codebook, or None."""
        return self._codebooks.read()

    def save_codebook(self, codebook: kayak.Codebook) -> None:
        """Make this the current codebook; terms of another one are replaced as new ones are written."""
        self._codebooks.write(codebook)

    def unposted(self, codebook: str) -> Iterator[kayak.UnpostedDocuments]:
        """Yield documents without terms of a codebook.

        Raises:
            CodebookMismatchError: the collection has another one.
        """
        self._require(codebook)
        state = inspect_collection(self._connection)
        if state is None:
            return
        reader = Reader(self._connection, self._transport, state.vector_dim)
        missing = models.Filter(must_not=[field_is(POSTED, codebook)])
        for records in scrolled(self._connection, missing, ["id", REVISION]):
            # Revisions first: a document that is written before its vectors are read keeps its place here.
            revisions = {doc_id_of(each.payload): str((each.payload or {}).get(REVISION)) for each in records}
            if revisions:
                selection = kayak.StoreSelection(tuple(revisions), texts=False, metadata=False)
                for batch in reader.batches(selection):
                    yield kayak.UnpostedDocuments(batch, tuple(revisions[doc_id] for doc_id in batch.doc_ids))

    def save(self, codebook: str, postings: kayak.DocumentPostings) -> int:
        """Write terms of the documents that are as they were; return how many these are.

        Raises:
            CodebookMismatchError: the collection has another codebook.
        """
        with self._connection.request():  # in local mode, nobody else changes anything meanwhile
            self._require(codebook)
            points = {point_id(doc_id): _terms_of(postings, number) for number, doc_id in enumerate(postings.doc_ids)}
            if self._connection.is_local:
                return self._save_locally(codebook, points, dict(zip(points, postings.revisions, strict=True)))
            return self._save_claimed(codebook, points, postings.revisions)

    def refresh(self) -> None:
        """Nothing to do: Qdrant keeps its index of sparse vectors up to date."""

    def stats(self) -> kayak.PostingsStats:
        """Count documents with and without terms."""
        codebook = self._codebooks.identity()
        if codebook is None:
            known = inspect_collection(self._connection) is not None
            documents = count_points(self._connection, None) if known else 0
            return kayak.PostingsStats(None, 0, documents)
        posted = count_points(self._connection, models.Filter(must=[field_is(POSTED, codebook)]))
        return kayak.PostingsStats(
            codebook, posted, count_points(self._connection, models.Filter(must_not=[field_is(POSTED, codebook)]))
        )

    def search(self, search: kayak.PostingsSearch) -> kayak.FoundPostings:
        """Return the documents with the greatest sum of weights, and some of those without terms."""
        codebook = search.query.codebook
        chosen = selection_filter(search.where, search.doc_ids)
        selection: list[models.Condition] = [] if chosen is None else [chosen]
        terms, weights = search.query.summed()
        limit = bounded_limit(self._connection, search.k, chosen)
        with self._connection.request():
            hits = self._connection.client.query_points(
                self._connection.collection_name,
                query=models.SparseVector(indices=terms.tolist(), values=weights.tolist()),
                using=TERMS_NAME,
                query_filter=models.Filter(must=[*selection, field_is(POSTED, codebook)]),
                limit=limit,
                with_payload=["id"],
                with_vectors=False,
            ).points
            without, _ = self._connection.client.scroll(
                self._connection.collection_name,
                scroll_filter=models.Filter(must=selection, must_not=[field_is(POSTED, codebook)]),
                limit=search.unposted_k,
                with_payload=["id"],
                with_vectors=False,
            )
            # Asked last: where the codebook was replaced meanwhile, the answer says so.
            held = self._codebooks.identity()
        ids = tuple(doc_id_of(hit.payload) for hit in hits)
        found = kayak.FoundCandidates(
            ids,
            [hit.score for hit in hits],
            bytes_read=sum(len(doc_id.encode()) + 4 for doc_id in ids),
            notes=("postings as a sparse vector: the sum of the weights of all terms",),
        )
        return kayak.FoundPostings(held, found, tuple(doc_id_of(each.payload) for each in without))

    def _require(self, codebook: str) -> None:
        held = self._codebooks.identity()
        if held != codebook:
            raise kayak.codebook_mismatch("qdrant", held, codebook)

    def _save_locally(self, codebook: str, points: dict[str, models.SparseVector], revisions: dict[str, str]) -> int:
        client, name = self._connection.client, self._connection.collection_name
        records = client.retrieve(name, list(points), with_payload=[REVISION])
        kept = [str(each.id) for each in records if (each.payload or {}).get(REVISION) == revisions[str(each.id)]]
        if kept:
            client.update_vectors(
                name, [models.PointVectors(id=each, vector={TERMS_NAME: points[each]}) for each in kept]
            )
            client.set_payload(name, {POSTED: codebook}, points=list(kept))
        return len(kept)

    def _save_claimed(self, codebook: str, points: dict[str, models.SparseVector], revisions: Sequence[str]) -> int:
        """Claim the documents, write their terms, and mark them: each step only where the one before still holds.

        Whoever claims or replaces a document in between makes the later steps pass it by; it is then left without a
        mark, and listed as a document without terms.
        """
        claim = uuid.uuid4().hex
        selected: list[models.Condition] = [
            models.HasIdCondition(has_id=list(points)),
            models.FieldCondition(key=REVISION, match=models.MatchAny(any=list(revisions))),
        ]
        claimed = models.Filter(must=[*selected, field_is(CLAIM, claim)])
        client, name = self._connection.client, self._connection.collection_name
        options: dict[str, Any] = {"wait": True, "ordering": models.WriteOrdering.STRONG}
        client.set_payload(name, {CLAIM: claim, POSTED: ""}, points=models.Filter(must=selected), **options)
        held, _ = client.scroll(name, scroll_filter=claimed, limit=len(points), with_payload=False)
        vectors = [models.PointVectors(id=each.id, vector={TERMS_NAME: points[str(each.id)]}) for each in held]
        if not vectors:
            return 0
        try:
            client.update_vectors(name, vectors, update_filter=claimed, **options)
        except Exception as error:
            if status_of(error) != "NOT_FOUND":  # some were deleted since; the others are written
                raise
        client.set_payload(name, {POSTED: codebook}, points=claimed, **options)
        return count_points(self._connection, claimed)


def _terms_of(postings: kayak.DocumentPostings, number: int) -> models.SparseVector:
    terms = postings.of(number).tolist()
    return models.SparseVector(indices=terms, values=[1.0] * len(terms))
